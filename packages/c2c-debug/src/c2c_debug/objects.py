"""Objects as an operator sees them: found by the name of their type, with a short text without secrets."""

import difflib
import re
import reprlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from pyramid.httpexceptions import HTTPException, HTTPNotFound

from c2c_broadcast import json_error

Mask = Callable[[str], str]

LONGEST_REPR = 200
_MOST_NEAR = 8
# A secret is found as a whole only: the text is masked before it is cut.
_LONGEST_UNMASKED = 4_000
_MOST_IN_REPR = 20
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_LONG = (dict, list, tuple, set, frozenset, deque, bytearray, memoryview, str, bytes)


def is_a(thing: object, kinds: type | tuple[type, ...]) -> bool:
    """Tell whether a thing is of one of these types; a proxy's ``__class__``, which may run any code, is not asked."""
    return issubclass(type(thing), kinds)


def type_name(thing: object) -> str:
    """Return the name of the thing's type with its module, as objgraph says it."""
    kind = type(thing)
    module = getattr(kind, "__module__", None)
    return f"{module}.{kind.__name__}" if module else kind.__name__


def kilobytes(size: int) -> float:
    """Return bytes in kB, as answers have them."""
    return round(size / 1024, 1)


class _Repr(reprlib.Repr):
    """Limits that keep a huge container's repr cheap, long enough for secrets to be whole."""

    def __init__(self, mask: Mask) -> None:
        super().__init__()
        self._mask = mask
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdeque = _MOST_IN_REPR
        self.maxarray = _MOST_IN_REPR
        self.maxlevel = 3
        self.maxstring = self.maxlong = self.maxother = _LONGEST_UNMASKED

    def repr_instance(self, x: Any, level: int) -> str:  # noqa: ARG002 # the signature of reprlib
        """Return the repr of anything else; a subclass of a container may be huge, so only its length is told."""
        if is_a(x, (bytes, bytearray)):
            return repr(x[:_LONGEST_UNMASKED])
        if is_a(x, _LONG) and type(x) is not str and len(x) > _MOST_IN_REPR:
            return f"<{type_name(x)} of {len(x)} items>"
        return repr(x)

    def repr_str(self, x: str, level: int) -> str:
        """Return the repr of a text, masked before it: what repr escapes the masker would not know."""
        return super().repr_str(self._mask(x[:_LONGEST_UNMASKED]), level)

    def repr_Pattern(self, x: re.Pattern[Any], level: int) -> str:  # noqa: N802 # reprlib finds it by the type's name
        """Return the repr of a compiled pattern, unless it is made of secrets, as a masker's own is."""
        plain = _ESCAPED.sub(r"\1", str(x.pattern))
        if self._mask(plain) != plain:
            return f"<re.Pattern of {len(x.pattern)} characters>"
        return self.repr_instance(x, level)


def short_repr(thing: Any, mask: Mask) -> str:
    """Return the repr, masked, of at most 200 characters."""
    try:
        text = _Repr(mask).repr(thing)
    except Exception as error:  # noqa: BLE001 # a foreign __repr__ may raise anything
        text = f"<{type_name(thing)}, whose repr raises {type(error).__name__}>"
    return cut(mask(text[:_LONGEST_UNMASKED]))


def cut(text: str, length: int = LONGEST_REPR) -> str:
    """Return the text, of at most so many characters."""
    return text if len(text) <= length else text[: length - 3] + "..."


def by_name(name: str, things: Iterable[object]) -> list[Any] | None:
    """Return the things whose type, or a base class of it, has this name, with or without its module.

    An empty list where only a class of this name is among the things, None where nothing is called so.
    """
    kinds: dict[type, bool] = {}
    found, known = [], False
    for thing in things:
        kind = type(thing)
        fits = kinds.get(kind)
        if fits is None:
            fits = kinds[kind] = any(_is_called(name, one) for one in (kind, *kind.__mro__[1:-1]))
        if fits:
            found.append(thing)
        elif not known and issubclass(kind, type):
            known = _is_called(name, thing)
    return found if found or known else None


def _is_called(name: str, kind: Any) -> bool:
    last = type.__getattribute__(kind, "__name__")
    if name == last:
        return True
    return name.endswith(f".{last}") and name == f"{getattr(kind, '__module__', '')}.{last}"


def near(name: str, things: Iterable[object]) -> list[str]:
    """Return which types may be meant: those whose last name is the same, or nearly so."""
    lasts: dict[str, list[str]] = {}
    for one in sorted({type_name(thing) for thing in things}):
        lasts.setdefault(one.rpartition(".")[2].lower(), []).append(one)
    alike = difflib.get_close_matches(name.rpartition(".")[2].lower(), lasts, n=_MOST_NEAR)
    return [one for last in alike for one in lasts[last]][:_MOST_NEAR]


def unknown(name: str, found: Iterable[str]) -> HTTPException:
    """Make the 404 of a type that no object has, with those that may be meant."""
    meant = f": do you mean {', '.join(found)}?" if found else ""
    return json_error(HTTPNotFound, f"analyze_type: there is no {name[:LONGEST_REPR]}{meant}")
