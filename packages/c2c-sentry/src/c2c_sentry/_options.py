"""Options of the SDK's ``init`` as they come from the environment: typed from the SDK itself."""

import inspect
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from c2c_broadcast import ConfigurationError, mask, names_secret

_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0"})
_OPTIONAL = re.compile(r"Optional\[(.*)\]$")
_LITERAL = re.compile(r"Literal\[(.*)\]$")


def parse_options(client: Mapping[str, str], init: Callable[..., Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the options with the types that ``init`` declares, and a warning for each that it does not have.

    Raises:
        ConfigurationError: A value is not of its option's type.
    """
    options: dict[str, Any] = {}
    warnings: list[str] = []
    known = {
        name: parameter
        for name, parameter in inspect.signature(init).parameters.items()
        if name != "self" and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    for name, raw in client.items():
        variable = f"SENTRY_CLIENT_{name.upper()}"
        if name not in known:
            near = get_close_matches(name, known, 3)
            hint = f" (near: {', '.join(f'SENTRY_CLIENT_{one.upper()}' for one in near)})" if near else ""
            warnings.append(f"{variable} is no option of the Sentry SDK{hint}")
            continue
        parse = _parser(known[name].annotation)
        if parse is None:
            warnings.append(f"{variable}: this option can't be given by a variable")
            continue
        try:
            options[name] = parse(raw)
        except ValueError as error:
            shown = "its value (not shown, it is a secret)" if names_secret(name) else repr(mask(raw))
            raise ConfigurationError(f"environment {variable}: {shown}: {error}") from None
    return options, warnings


def _parser(annotation: Any) -> Callable[[str], Any] | None:
    """Return what reads a value of an annotation, which the SDK writes as text; None for what is no text's matter."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    text = text.strip("'\" ")
    if match := _OPTIONAL.match(text):
        text = match[1].strip("'\" ")
    if match := _LITERAL.match(text):
        return _choice([choice.strip("'\" ") for choice in match[1].split(",")])
    return _PARSERS.get(text.replace(" ", ""))


def _bool(raw: str) -> bool:
    if raw.lower() not in _TRUE | _FALSE:
        raise ValueError("must be true or false")
    return raw.lower() in _TRUE


def _int(raw: str) -> int:
    try:
        return int(raw)
    except ValueError:
        raise ValueError("must be a whole number") from None


def _float(raw: str) -> float:
    try:
        return float(raw)
    except ValueError:
        raise ValueError("must be a number") from None


def _list(raw: str) -> list[str]:
    return [part.strip() for part in raw.split(",") if part.strip()]


def _dict(raw: str) -> dict[str, str]:
    found = {}
    for part in _list(raw):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError("must look like name=value,name=value")
        found[name.strip()] = value.strip()
    return found


def _numbers(raw: str) -> frozenset[int]:
    return frozenset(_int(part) for part in _list(raw))


def _bool_or_text(raw: str) -> bool | str:
    return _bool(raw) if raw.lower() in _TRUE | _FALSE else raw


def _choice(choices: list[str]) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return raw

    return parse


_PARSERS: dict[str, Callable[[str], Any]] = {
    "bool": _bool,
    "int": _int,
    "float": _float,
    "str": str,
    "List[str]": _list,
    "Sequence[str]": _list,
    "Sequence[Union[type,str]]": _list,
    "Dict[str,str]": _dict,
    "AbstractSet[int]": _numbers,
    "Union[bool,str]": _bool_or_text,
}
