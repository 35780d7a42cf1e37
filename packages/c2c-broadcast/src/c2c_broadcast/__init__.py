"""The base of the c2c packages: settings, operator access, operator views, broadcast, shared state."""

from typing import TYPE_CHECKING, Any

from c2c_broadcast._call import Answers, BroadcastError, Failure, Missing
from c2c_broadcast._errors import ANSWERS_EXCEPTIONS, ConfigurationError, json_error
from c2c_broadcast._when_imported import when_imported
from c2c_broadcast.secrets import Masker, mask, masker_of, names_secret
from c2c_broadcast.sections import Field, Form, Link, Live, Section, sections
from c2c_broadcast.settings import (
    BroadcastSettings,
    Declaration,
    Resolved,
    declarations,
    family,
    load,
    misspelt,
    resolve,
    setting,
    settings_of,
)
from c2c_broadcast.shared_state import Entry, SharedState

if TYPE_CHECKING:
    from pyramid.config import Configurator

    from c2c_broadcast._access import Credentials, OperatorPolicy
    from c2c_broadcast.operators import auth_view, include_below, is_auth

__all__ = [
    "ANSWERS_EXCEPTIONS",
    "Answers",
    "BroadcastError",
    "BroadcastSettings",
    "ConfigurationError",
    "Credentials",
    "Declaration",
    "Entry",
    "Failure",
    "Field",
    "Form",
    "Link",
    "Live",
    "Masker",
    "Missing",
    "OperatorPolicy",
    "Resolved",
    "Section",
    "SharedState",
    "auth_view",
    "declarations",
    "family",
    "include_below",
    "includeme",
    "is_auth",
    "json_error",
    "load",
    "mask",
    "masker_of",
    "misspelt",
    "names_secret",
    "resolve",
    "sections",
    "setting",
    "settings_of",
    "when_imported",
]

# These need Pyramid: a script, a worker of a queue or an ASGI service does without.
_OF_OPERATORS = frozenset({"Credentials", "OperatorPolicy", "auth_view", "include_below", "is_auth"})


def __getattr__(name: str) -> Any:
    """Import what needs Pyramid when it is asked for."""
    if name not in _OF_OPERATORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from c2c_broadcast import operators

    return getattr(operators, name)


def includeme(config: "Configurator") -> None:
    """Add the base: ``config.include("c2c_broadcast")``.

    Gives ``config.add_operator_view(...)``, ``add_operator_policy``, ``add_section`` and ``add_request_attribute``,
    sets the process's broadcaster up (it begins to listen with the first request), and guards operator views.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    from c2c_broadcast.operators import include

    include(config)
