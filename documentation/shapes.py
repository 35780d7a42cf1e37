"""The shape of an answer: which keys, which types; and whether another answer has it, too.

A shape is the name of a JSON type, ``{"*": shape}`` for an object with any keys, ``{key: shape}``, or a list with the
one shape of its elements (none for an empty list). The key of a member that not all elements have ends with ``?``.
"""

from collections.abc import Collection, Iterator
from typing import Any

ANY = "anything"
_NAMES = {bool: "boolean", int: "number", float: "number", str: "text", type(None): ANY}


def shape(value: Any, any_keys: Collection[str] = ()) -> Any:
    """Return the shape of a JSON value; the objects named ``any_keys`` have any keys."""
    if isinstance(value, dict):
        return {
            key: {"*": _merged([shape(part, any_keys) for part in member.values()])}
            if key in any_keys and isinstance(member, dict)
            else shape(member, any_keys)
            for key, member in value.items()
        }
    if isinstance(value, list):
        return [_merged([shape(part, any_keys) for part in value])] if value else []
    return _NAMES[type(value)]


def _merged(shapes: list[Any]) -> Any:
    """Return the one shape that all of these fit."""
    if not shapes:
        return ANY
    if all(isinstance(one, dict) for one in shapes):
        keys = sorted({key.removesuffix("?") for one in shapes for key in one})
        merged = {}
        for key in keys:
            members = [one[name] for one in shapes for name in (key, f"{key}?") if name in one]
            everywhere = all(key in one for one in shapes)
            merged[key if everywhere else f"{key}?"] = _merged(members)
        return merged
    if all(isinstance(one, list) for one in shapes):
        parts = [part for one in shapes for part in one]
        return [_merged(parts)] if parts else []
    names = [one for one in shapes if one != ANY]
    return names[0] if names and all(one == names[0] for one in names) else ANY


def differences(recorded: Any, now: Any, place: str = "answer") -> Iterator[str]:
    """Give a line for each place where a shape is not the recorded one."""
    if ANY in (recorded, now):
        return
    if isinstance(recorded, dict) and isinstance(now, dict):
        yield from _members(recorded, now, place)
    elif isinstance(recorded, list) and isinstance(now, list):
        if recorded and now:
            yield from differences(recorded[0], now[0], f"{place}[]")
    elif recorded != now:
        yield f"{place}: {now}, recorded as {recorded}"


def _members(recorded: dict[str, Any], now: dict[str, Any], place: str) -> Iterator[str]:
    if "*" in recorded and "*" in now:
        yield from differences(recorded["*"], now["*"], f"{place}.*")
        return
    known = {key.removesuffix("?"): part for key, part in recorded.items()}
    seen = {key.removesuffix("?"): part for key, part in now.items()}
    for key in sorted(known.keys() | seen.keys()):
        if key not in known:
            yield f"{place}.{key}: is new"
        elif key in seen:
            yield from differences(known[key], seen[key], f"{place}.{key}")
        elif key in recorded:
            yield f"{place}.{key}: is no longer there"
