"""Two distributions with one import name can't be installed side by side."""

from importlib.metadata import PackageNotFoundError, distribution

_REAL = "c2cwsgiutils"


def refuse() -> None:
    """Let nobody go on where the real c2cwsgiutils is installed too.

    Raises:
        ImportError: It is. What to do is said in one line: each has overwritten files of the other.
    """
    try:
        found = distribution(_REAL)
    except PackageNotFoundError:
        return
    version = found.metadata["Version"] if found.metadata else None
    raise ImportError(
        f"c2c-compat has the import name c2cwsgiutils, and so has the distribution {_REAL} {version or ''}".rstrip()
        + ", which is installed too, and files of one are in the place of the other's: "
        "pip uninstall c2cwsgiutils; pip install --force-reinstall --no-deps c2c-compat",
        name=_REAL,
    )
