"""Two distributions with one import name can't be installed side by side."""

from importlib.metadata import distributions

_REAL = "c2cwsgiutils"
_OURS = "provided by c2c-compat"


def refuse() -> None:
    """Let nobody go on where the real c2cwsgiutils is installed too.

    A distribution of that name is a part of c2c-compat, so that what requires it is satisfied: known by its summary.

    Raises:
        ImportError: It is. What to do is said in one line: each has overwritten files of the other.
    """
    for found in distributions(name=_REAL):
        metadata = found.metadata
        if metadata and metadata["Summary"] == _OURS:
            continue
        version = metadata["Version"] if metadata else None
        raise ImportError(
            f"c2c-compat has the import name c2cwsgiutils, and so has the distribution {_REAL} {version or ''}".rstrip()
            + ", which is installed too, and files of one are in the place of the other's: "
            "pip uninstall c2cwsgiutils; pip install --force-reinstall --no-deps c2c-compat",
            name=_REAL,
        )
