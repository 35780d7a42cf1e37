"""The errors of the base."""

from pyramid.exceptions import ConfigurationError as PyramidConfigurationError


class ConfigurationError(PyramidConfigurationError):
    """A setting or a directive that can't be followed: the service does not start.

    The message names the thing (variable and ini key, or name of the directive) and the remedy, never a secret's value.
    """


ANSWERS_EXCEPTIONS = "c2c.answers_exceptions"
"""The registry has this key where a package answers every exception: others then register no views for theirs.

It says so in its ``includeme``; the others look in an action, when all are included. Such a package takes the status
of an exception from its class's ``http_status``, and seconds for ``Retry-After`` from ``retry_after``.
"""
