"""``c2c-run``: check what was asked for, then become gunicorn.

It imports the standard library only, so that nothing of its own start is left, neither time nor memory.
"""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import NoReturn

from c2c_meta._ini import Ini, IniError, check, ini_settings, set_up_logging_once

CONFIG = "C2CWSGIUTILS_CONFIG"
DEFAULT_CONFIG = "/app/production.ini"
_CHECK = "--check"
PARAMS = "GUNICORN_PARAMS"
CMD_ARGS = "GUNICORN_CMD_ARGS"
DEFAULT_PARAMS = "-b :8080 --worker-class gthread --threads 10 --workers 5 --max-requests 1000 --max-requests-jitter 50"
APPLICATION = "c2c_meta.wsgi:application"


class UsageError(Exception):
    """A command line or an environment that can't be followed; the message is one line."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Replace this process by gunicorn; exit 2 with one line when that can't be."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        environ, command = prepare(argv, os.environ)
        if _CHECK in _split(argv)[0]:
            _check(environ[CONFIG])
    except (UsageError, IniError) as error:
        sys.stderr.write(f"c2c-run: {error}\n")
        sys.exit(2)
    os.execve(command[0], command, environ)  # noqa: S606 - becoming gunicorn is what this command does


def _check(path: str) -> NoReturn:
    """Say whether the service could start: the ini file, logging, and the settings of all packages.

    Raises:
        UsageError: a setting can't be read
        IniError: logging can't be set up
    """
    from c2c_meta._gunicorn import check_settings, settings_classes

    set_up_logging_once(path)
    problem = check_settings(path)
    if problem is not None:
        raise UsageError(problem)
    from c2c_broadcast.settings import misspelt

    values = ini_settings(path)
    for name, near in misspelt(settings_classes(values), values).items():
        sys.stderr.write(f"c2c-run: nothing reads {name}: is it {near}?\n")
    sys.stdout.write(f"{path}: nothing is wrong\n")
    sys.exit(0)


def prepare(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the environment and the command line of gunicorn.

    Raises:
        UsageError: a wrong argument or GUNICORN_PARAMS that can't be split
        IniError: the ini file is missing or broken
    """
    ours, theirs = _split(argv)
    ini = Ini(_parse(ours) or config_path(environ), environ)
    check(ini)
    try:
        params = shlex.split(environ.get(PARAMS) or DEFAULT_PARAMS)
    except ValueError as error:
        raise UsageError(f"{PARAMS} can't be read as a command line: {str(error).lower()}") from None
    params = _yielding(params, theirs)
    # -P: the folder where it starts takes no part in finding gunicorn; gunicorn itself adds it for the application.
    command = [sys.executable, "-P", "-m", "c2c_meta._gunicorn", APPLICATION, *params, *theirs]
    return {**environ, CONFIG: str(ini.path)}, command


def config_path(environ: Mapping[str, str]) -> str:
    """Return the path of the ini file that the environment names."""
    return (environ.get(CONFIG) or DEFAULT_CONFIG).removeprefix("c2c://")


def _split(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    if "--" not in argv:
        return argv, ()
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def uses_gevent(argv: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Tell whether gunicorn's workers are gevent's: by its arguments, else GUNICORN_CMD_ARGS, else its file.

    The file is Python, and is read for a plain ``worker_class = "gevent"`` only.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("-k", "--worker-class")
    parser.add_argument("-c", "--config")
    try:
        given = [parser.parse_known_args(words)[0] for words in (argv, shlex.split(environ.get(CMD_ARGS, "")))]
    except (UsageError, ValueError):  # which gunicorn says better
        return False
    path = next((one.config for one in given if one.config), "gunicorn.conf.py").removeprefix("file:")
    found = next((one.worker_class for one in given if one.worker_class), None) or _worker_class_in(path)
    return "gevent" in (found or "")


def _worker_class_in(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 # pathlib costs every start its import
            found = re.search(r"""^worker_class\s*=\s*["']([^"']+)["']""", file.read(), re.MULTILINE)
    except (OSError, UnicodeDecodeError):  # "python:module", or none
        return None
    return found[1] if found else None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (c2c-run --help says what there is)")


def _yielding(params: list[str], winners: Sequence[str]) -> list[str]:
    """Leave addresses out of ``params`` where ``winners`` has some: gunicorn would listen on all of them."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("-b", "--bind", action="append")
    return parser.parse_known_args(params)[1] if parser.parse_known_args(winners)[0].bind else params


def _parse(argv: Sequence[str]) -> str:
    parser = _Parser(
        prog="c2c-run",
        usage="c2c-run [INI] [-- gunicorn arguments]",
        description="Serve the application of an ini file with gunicorn.",
        epilog=f"{PARAMS} holds gunicorn arguments too (default: {DEFAULT_PARAMS}); those after -- win.",
    )
    parser.add_argument("ini", metavar="INI", nargs="?", default="", help=f"default: ${CONFIG}, then {DEFAULT_CONFIG}")
    parser.add_argument(_CHECK, action="store_true", help="say whether it could start, and do not")
    parser.add_argument("--version", action="version", version=f"c2c-run {version('c2c-meta')}")
    return str(parser.parse_args(argv).ini).removeprefix("c2c://")
