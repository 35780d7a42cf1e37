"""Scripts and daemons. Importing this sets the process up in era 3, and does nothing in era 6."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

import c2c_logging
from c2c_compat._era import called
from c2c_compat._refusal import refuse
from c2c_compat._setup import path_of, set_up, set_up_by_import

_CONFIG = "c2c:///app/production.ini"


class PyramidEnv(TypedDict):
    """What ``bootstrap_application`` returns, as ``pyramid.paster.bootstrap``."""

    root: Any
    closer: Callable[..., Any]
    registry: Any
    request: Any
    root_factory: object
    app: Any


def fill_arguments(
    parser: ArgumentParser,
    use_attribute: bool = False,  # the documented call
    default_config_uri: str = _CONFIG,
) -> None:
    """Add ``config_uri`` and ``config_vars`` (``name=value``) to the arguments of a script; options if asked for."""
    uri: dict[str, Any] = {"help": "the ini file, which may use the environment"}
    more: dict[str, Any] = {"help": "more names for the file: name=value", "nargs": "*", "metavar": "NAME=VALUE"}
    if use_attribute:
        parser.add_argument("--config-uri", default=default_config_uri, **uri)
        parser.add_argument("--config-vars", default=(), **more)
    else:
        parser.add_argument("config_uri", nargs="?", default=default_config_uri, **uri)
        parser.add_argument("config_vars", default=(), **more)


def init(config_file: str = _CONFIG) -> None:
    """Set this process up without the application: coverage, logging, Sentry, metrics, broadcasts.

    Raises:
        ConfigurationError: A setting, or what the ini file says about logging, can't be followed.
    """
    called(6, "setup_process.init")
    set_up(config_file if config_file != _CONFIG else None)


def init_logging(config_file: str = _CONFIG) -> None:
    """Set up logging alone, as the ini file says, or by the environment where there is none.

    Raises:
        ConfigurationError: What the file says can't be followed.
    """
    called(6, "setup_process.init_logging")
    refuse()
    c2c_logging.init(path_of(config_file) if config_file != _CONFIG else None)


def bootstrap_application(config_uri: str = _CONFIG, options: Mapping[str, str] | None = None) -> PyramidEnv:
    """Set this process up as the service is, and load the application; see ``c2c_meta.bootstrap``.

    Raises:
        IniError: The file is missing or broken.
    """
    called(6, "setup_process.bootstrap_application")
    refuse()
    from c2c_compat._driver import keep_driver
    from c2c_meta import bootstrap

    keep_driver()
    environment: PyramidEnv = bootstrap(config_uri, options=options)
    return environment


def bootstrap_application_from_options(options: Namespace) -> PyramidEnv:
    """Do the same as the arguments of ``fill_arguments`` say.

    Raises:
        SystemExit: A variable is not ``name=value``; one line, status 2.
        IniError: The file is missing or broken.
    """
    return bootstrap_application(options.config_uri, _variables(options.config_vars))


def _variables(given: Iterable[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    wrong = [name for name, equals, _ in pairs if not name or not equals]
    if wrong:
        ArgumentParser().error(f"{wrong[0]!r} is not name=value")
    return {name: value for name, _, value in pairs}


set_up_by_import()
