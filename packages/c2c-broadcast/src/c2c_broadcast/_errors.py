"""The errors of the base."""

from pyramid.exceptions import ConfigurationError as PyramidConfigurationError


class ConfigurationError(PyramidConfigurationError):
    """A setting or a directive that can't be followed: the service does not start.

    The message names the thing (variable and ini key, or name of the directive) and the remedy, never a secret's value.
    """


class BroadcastError(Exception):
    """A broadcast that could not be made: the message says why and what to do."""
