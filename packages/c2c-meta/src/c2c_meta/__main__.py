"""What c2c-run becomes: ``python -m c2c_meta``."""

from c2c_meta._run import serve

serve()
