"""The base of the c2c packages: settings, operator access, operator views, broadcast, shared state."""

from c2c_broadcast._access import auth_view, is_auth, json_error
from c2c_broadcast.settings import BroadcastSettings
from c2c_broadcast._call import Answers, BroadcastError, Failure, Missing
from c2c_broadcast._errors import ANSWERS_EXCEPTIONS, ConfigurationError
from c2c_broadcast._includeme import includeme, masker_of, settings_of
from c2c_broadcast._light_requests import add_request_attributes
from c2c_broadcast.secrets import Masker, mask, names_secret
from c2c_broadcast.sections import Field, Form, Link, Live, Section, sections
from c2c_broadcast.settings import Declaration, Resolved, declarations, family, load, resolve, setting
from c2c_broadcast._when_imported import when_imported
from c2c_broadcast.shared_state import Entry, SharedState

__all__ = [
    "ANSWERS_EXCEPTIONS",
    "Answers",
    "BroadcastError",
    "BroadcastSettings",
    "ConfigurationError",
    "Declaration",
    "Entry",
    "Failure",
    "Field",
    "Form",
    "Link",
    "Live",
    "Masker",
    "Missing",
    "Resolved",
    "Section",
    "SharedState",
    "add_request_attributes",
    "auth_view",
    "declarations",
    "family",
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
