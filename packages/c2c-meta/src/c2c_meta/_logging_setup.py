"""Logging as an ini file says it."""

import configparser
import logging
import logging.config

from c2c_meta._ini import Ini, IniError
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
    # fileConfig by itself would lower the case of names, so that PATH and Path were one name given twice.
    parser = configparser.RawConfigParser()
    parser.read_dict(logging_values(ini))
    try:
        logging.config.fileConfig(parser, disable_existing_loggers=False)
    except Exception as error:  # the file may name any class, with any arguments
        from c2c_broadcast import mask

        problem = mask(str(error).partition("\n")[0])
        raise IniError(f"{ini.path}: logging can't be set up: {type(error).__name__}: {problem}") from error
    return True
