"""The import name and the commands of c2cwsgiutils 3, on top of the c2c packages."""
