"""JSON renderers, and the serializer of c2cwsgiutils 6 by itself."""

from typing import Any

import ujson

from c2c_compat._include import including

init = includeme = including("c2c_rest")


class _FastDumps:
    """Write an object as JSON by ujson: called with the object."""

    def __init__(self, pretty_print: bool, sort_keys: bool) -> None:  # the documented call
        self._keywords: dict[str, Any] = {
            "indent": 2 if pretty_print else 0,
            "sort_keys": sort_keys,
            "ensure_ascii": False,
            "escape_forward_slashes": False,
        }

    def __call__(self, value: Any, **_more: Any) -> str:
        """Return the JSON, without any space unless it is indented."""
        return str(ujson.dumps(value, **self._keywords))
