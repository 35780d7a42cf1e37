"""Logging as an ini file says it."""

import logging

from c2c_meta._ini import Ini, IniError, locate
from c2c_meta._ini_check import logging_values


def setup_logging(ini: Ini) -> bool:
    """Configure logging from ``[loggers]``, ``[handlers]`` and ``[formatters]``; loggers that exist keep working.

    Values may use ``%(NAME)s`` as everywhere, except ``format``, ``datefmt`` and ``style`` of formatters, whose percent
    signs are for logging. A file without ``[loggers]`` gives ``logging.basicConfig()`` and False.

    Raises:
        IniError: the sections can't be followed
    """
    if "loggers" not in ini:
        logging.basicConfig()
        return False
    # Here, for c2c-run reads the file before anything of the toolkit is imported.
    from c2c_broadcast import ConfigurationError
    from c2c_logging import configure_logging

    try:
        configure_logging(logging_values(ini), lambda section, key: locate(ini.path, section, key))
    except ConfigurationError as error:
        raise IniError(str(error)) from error
    return True
