"""Names in the Prometheus data model: ``[a-zA-Z_:][a-zA-Z0-9_:]*``, labels ``[a-zA-Z_][a-zA-Z0-9_]*``."""

import re
from functools import lru_cache

_NOT_NAME = re.compile(r"[^a-zA-Z0-9_]")


@lru_cache(4096)
def prometheus_name(parts: tuple[str, ...], prefix: str) -> str:
    """Return the name of a metric: the parts of its key joined by underscores, after the prefix."""
    name = prefix + "_".join(_NOT_NAME.sub("_", part) for part in parts)
    return name if not name[:1].isdigit() else f"_{name}"


@lru_cache(4096)
def prometheus_label(name: str) -> str:
    """Return the name of a label; two leading underscores are Prometheus's own, a leading digit is not allowed."""
    label = _NOT_NAME.sub("_", name)
    if label.startswith("__"):
        label = "_" + label.lstrip("_")
    if not label or label[0].isdigit():
        label = f"_{label}"
    # "le" is a histogram's own.
    return "le_" if label == "le" else label
