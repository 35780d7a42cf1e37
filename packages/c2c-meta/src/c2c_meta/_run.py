"""``c2c-run``: read what was asked for, become gunicorn, check the service and serve it.

It becomes gunicorn by ``exec``, so that nothing of its own start is left, neither time nor memory: it begins with the
standard library only. Everything of gunicorn's works as always: its arguments, GUNICORN_CMD_ARGS, ``gunicorn.conf.py``,
``--config``. Hooks set there run too.
"""

import argparse
import contextlib
import importlib
import importlib.metadata
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

CONFIG = "C2CWSGIUTILS_CONFIG"
DEFAULT_CONFIG = "/app/production.ini"
_CHECK = "--check"
PARAMS = "GUNICORN_PARAMS"
DEFAULT_PARAMS = "-b :8080 --worker-class gthread --threads 10 --workers 5 --max-requests 1000 --max-requests-jitter 50"
# Arguments of gunicorn: the kind of workers, the file.
_OPTIONS = (r"(?<!\S)(?:-k|--worker-class)[ =]?(\S+)", r"(?<!\S)(?:-c|--config)[ =]?(\S+)")
# -P: the folder where it starts takes no part in finding gunicorn; gunicorn itself adds it for the application.
PROGRAM = [sys.executable, "-P", "-m", "c2c_meta"]


def refuse(what: object) -> NoReturn:
    """Say in one line what can't be, and end with status 2."""
    sys.stderr.write(f"c2c-run: {' '.join(str(what).split())}\n")
    sys.exit(2)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Replace this process by gunicorn; exit 2 with one line when that can't be."""
    argv = sys.argv[1:] if argv is None else argv
    environ, command = prepare(argv, os.environ)
    if _CHECK in _split(argv)[0]:
        _check(environ[CONFIG])
    os.execve(command[0], command, environ)  # noqa: S606 - becoming gunicorn is what this command does


def prepare(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the environment and the command line of gunicorn; exit 2 where they can't be followed."""
    ours, theirs = _split(argv)
    path = os.path.abspath(_parse(ours) or config_path(environ))  # noqa: PTH100 # pathlib costs every start its import
    try:
        params = shlex.split(environ.get(PARAMS) or DEFAULT_PARAMS)
    except ValueError as error:
        refuse(f"{PARAMS} can't be read as a command line: {str(error).lower()}")
    return {**environ, CONFIG: path}, [*PROGRAM, "c2c_meta.wsgi:application", *_yielding(params, theirs), *theirs]


def config_path(environ: Mapping[str, str]) -> str:
    """Return the path of the ini file that the environment names."""
    return (environ.get(CONFIG) or DEFAULT_CONFIG).removeprefix("c2c://")


def _split(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    at = [*argv, "--"].index("--")
    return argv[:at], argv[at + 1 :]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        refuse(f"{message} (c2c-run --help says what there is)")


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
    parser.add_argument("--version", action="version", version=f"c2c-run {importlib.metadata.version('c2c-meta')}")
    return str(parser.parse_args(argv).ini).removeprefix("c2c://")


def _check(path: str) -> NoReturn:
    """Say whether the service could start: the ini file, logging, and the settings of all packages."""
    from c2c_broadcast.settings import misspelt
    from c2c_meta._ini import IniError, ini_settings, set_up_logging_once

    try:
        set_up_logging_once(path)
    except IniError as error:
        refuse(error)
    if (problem := check_settings(path)) is not None:
        refuse(problem)
    values = ini_settings(path)
    for name, near in misspelt(settings_classes(values), values).items():
        sys.stderr.write(f"c2c-run: nothing reads {name}: is it {near}?\n")
    sys.stdout.write(f"{path}: nothing is wrong\n")
    sys.exit(0)


def serve() -> None:
    """Be gunicorn, with logging from the ini file, until told to stop; exit 2 with one line when that can't be."""
    path = config_path(os.environ)
    # What the file names may be beside it, wherever this is started; gunicorn's own folder (--chdir) comes first.
    sys.path.append(os.path.dirname(os.path.abspath(path)))  # noqa: PTH100, PTH120
    if uses_gevent(sys.argv[1:], os.environ):
        # Before anybody looks at the standard library: gunicorn does it in the worker only, when locks and queues have
        # been made that would stop all greenlets.
        try:
            from gevent import monkey
        except ImportError as error:
            refuse(f"--worker-class gevent needs gevent ({error}): pip install 'c2c-meta[gevent]'")
        monkey.patch_all()
    from c2c_broadcast import ConfigurationError
    from c2c_meta._coverage import start_coverage
    from c2c_meta._ini import IniError, ini_settings, set_up_logging_once

    try:
        start_coverage()
        set_up_logging_once(path)
        sys.argv[0] = "c2c-run"  # what this program is called, in messages and among the members of a broadcast
        from c2c_meta._gunicorn import GunicornApplication

        application = GunicornApplication("%(prog)s [INI] [-- gunicorn arguments]", prog="c2c-run")
        # Once for all workers, who share the memory; not where they read all anew, or patch the standard library first.
        anew = application.cfg.reload or "eventlet" in application.cfg.worker_class_str
        for name in () if anew else _taking_part(ini_settings(path)):
            with contextlib.suppress(Exception):  # what is missing is said by those who need it
                importlib.import_module(name)
    except (IniError, ConfigurationError) as error:
        refuse(error)
    if not _is_right(path):
        sys.exit(2)
    application.run()


def uses_gevent(argv: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Tell whether gunicorn's workers are gevent's: by its arguments, else GUNICORN_CMD_ARGS, else its file.

    The file is Python, and is read for a plain ``worker_class = "gevent"`` only.
    """
    given = [" ".join(argv), environ.get("GUNICORN_CMD_ARGS", "")]
    kinds, files = ([found for words in given for found in re.findall(option, words)[-1:]] for option in _OPTIONS)
    path = (files or ["gunicorn.conf.py"])[0].removeprefix("file:")
    return "gevent" in ((kinds or [_worker_class_in(path)])[0] or "")


def _worker_class_in(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 # pathlib costs every start its import
            found = re.search(r"""^worker_class\s*=\s*["']([^"']+)["']""", file.read(), re.MULTILINE)
    except (OSError, UnicodeDecodeError):  # "python:module", or none
        return None
    return found[1] if found else None


# os.fork and os.waitpid as they are before gevent.
def _is_right(path: str, fork: Callable[[], int] = os.fork, wait: Callable[..., Any] = os.waitpid) -> bool:
    """Tell whether all settings can be read, and say what can't be: in a child, which may import the application."""
    sys.stdout.flush()
    pid = fork()
    if pid == 0:
        problem = None
        with contextlib.suppress(BaseException):  # the application meets what this is, and says it with its traceback
            problem = check_settings(path)
            if problem is not None:
                print(f"c2c-run: {problem}", file=sys.stderr, flush=True)  # noqa: T201 # _exit flushes nothing
        os._exit(0 if problem is None else 2)
    return os.waitstatus_to_exitcode(wait(pid, 0)[1]) != 2  # noqa: PLR2004 # as above


def check_settings(path: str) -> str | None:
    """Look for what makes the application, read all packages' settings; return what is wrong, None if nothing is."""
    from c2c_broadcast import ConfigurationError, load
    from c2c_meta._ini import Ini, IniError, application_values, check_factories

    try:
        ini = Ini(path)
        values = application_values(ini)
        check_factories(ini)
        for settings in settings_classes(values):
            load(settings, values)
    except (ConfigurationError, IniError) as error:
        return " ".join(str(error).split())
    except ImportError as error:
        return f"a package can't be imported: {error}: pip install c2c-meta"
    return None


def settings_classes(values: Mapping[str, str]) -> list[type[Any]]:
    """Return the settings classes of all packages that take part, imported for that."""
    taking_part = {"c2c_meta", *_taking_part(values)}
    points = importlib.metadata.entry_points(group="c2c.settings")
    return [point.load() for point in points if point.module.partition(".")[0] in taking_part]


def _taking_part(values: Mapping[str, str]) -> list[str]:
    from c2c_broadcast import load
    from c2c_meta._glue import MetaSettings
    from c2c_meta._names import PACKAGES

    exclude = load(MetaSettings, values).exclude
    return [name for name in (*PACKAGES, "c2c_auth") if name not in exclude]
