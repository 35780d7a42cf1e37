"""The base of the c2c packages: settings, operator access, operator views, broadcast, shared state."""

from typing import TYPE_CHECKING, Any

from c2c_broadcast._cached import cached
from c2c_broadcast._call import Answers, BroadcastError, Failure, Missing
from c2c_broadcast._errors import ANSWERS_EXCEPTIONS, ConfigurationError, json_error
from c2c_broadcast._when_imported import when_imported
from c2c_broadcast.secrets import Masker, mask, masker_of, names_secret
from c2c_broadcast.sections import Field, Form, Link, Live, Section, sections
from c2c_broadcast.settings import (
    BroadcastSettings,
    declarations,
    family,
    load,
    resolve,
    setting,
    settings_of,
)
from c2c_broadcast.shared_state import Entry, SharedState

if TYPE_CHECKING:
    from c2c_broadcast._access import Credentials
    from c2c_broadcast.operators import auth_view, include_below, includeme, is_auth

__all__ = [
    "ANSWERS_EXCEPTIONS",
    "Answers",
    "BroadcastError",
    "BroadcastSettings",
    "ConfigurationError",
    "Credentials",
    "Entry",
    "Failure",
    "Field",
    "Form",
    "Link",
    "Live",
    "Masker",
    "Missing",
    "Section",
    "SharedState",
    "auth_view",
    "cached",
    "declarations",
    "family",
    "include_below",
    "includeme",
    "is_auth",
    "json_error",
    "load",
    "mask",
    "masker_of",
    "names_secret",
    "resolve",
    "sections",
    "setting",
    "settings_of",
    "when_imported",
]

# These need Pyramid: a script, a worker of a queue or an ASGI service does without.
_OF_OPERATORS = frozenset({"Credentials", "auth_view", "include_below", "includeme", "is_auth"})


def __getattr__(name: str) -> Any:
    """Import what needs Pyramid when it is asked for."""
    if name not in _OF_OPERATORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from c2c_broadcast import operators

    return getattr(operators, name)
