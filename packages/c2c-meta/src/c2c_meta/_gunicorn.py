"""What c2c-run becomes: gunicorn, with logging from the ini file and the worker hooks of the toolkit.

Everything of gunicorn's works as always: its arguments, GUNICORN_CMD_ARGS, ``gunicorn.conf.py``, ``--config``. Hooks
set there run too.
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from c2c_meta._run import config_path, uses_gevent


def main() -> None:
    """Serve until told to stop; exit 2 with one line when logging or a setting can't be what it says."""
    # What the file names may be beside it, wherever this is started; gunicorn's own folder (--chdir) comes first.
    sys.path.append(os.path.dirname(os.path.abspath(config_path(os.environ))))  # noqa: PTH100, PTH120
    checked = _check_in_a_child(config_path(os.environ))
    if uses_gevent(sys.argv[1:], os.environ):
        _patch()
    from c2c_broadcast import ConfigurationError
    from c2c_meta._coverage import start_coverage
    from c2c_meta._ini import IniError, set_up_logging_once

    try:
        start_coverage()
        set_up_logging_once(config_path(os.environ))
    except (IniError, ConfigurationError) as error:
        sys.stderr.write(f"c2c-run: {error}\n")
        sys.exit(2)
    sys.argv[0] = "c2c-run"  # what this program is called, in messages and among the members of a broadcast

    from c2c_meta._gunicorn_application import GunicornApplication

    application = GunicornApplication("%(prog)s [INI] [-- gunicorn arguments]", prog="c2c-run")
    if not checked():
        sys.exit(2)
    application.run()


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


def settings_classes(values: Mapping[str, str]) -> Iterator[type[Any]]:
    """Yield the settings classes of all packages that take part, imported for that."""
    from c2c_broadcast import load
    from c2c_meta._names import SHORT_NAMES
    from c2c_meta._settings import MetaSettings

    yield MetaSettings
    for name in set(SHORT_NAMES.values()) - set(load(MetaSettings, values).exclude):
        package = importlib.import_module(name)
        yield from (getattr(package, setting) for setting in package.__all__ if setting.endswith("Settings"))


def _check_in_a_child(path: str) -> Callable[[], bool]:
    """Begin to read all settings; what this returns waits for it, and tells whether nothing is wrong.

    What it takes to know is imported in a child: it is not in the master's memory, and costs half of its time.
    """
    sys.stdout.flush()
    wait = os.waitpid  # as it is before gevent
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            problem = check_settings(path)
            status = 0 if problem is None else 2
            if problem is not None:
                sys.stderr.write(f"c2c-run: {problem}\n")
                sys.stderr.flush()
        except Exception:  # noqa: BLE001 # the application meets what this is, and says it with its traceback
            status = 0
        finally:
            os._exit(status)
    return lambda: os.waitstatus_to_exitcode(wait(pid, 0)[1]) != 2  # noqa: PLR2004 # as above


def _patch() -> None:
    """Have the standard library work with greenlets before anybody looks at it.

    gunicorn does it in the worker only, when locks and queues have been made that would stop all greenlets.
    """
    try:
        from gevent import monkey
    except ImportError as error:
        sys.stderr.write(f"c2c-run: --worker-class gevent needs gevent ({error}): pip install 'c2c-meta[gevent]'\n")
        sys.exit(2)
    monkey.patch_all()


if __name__ == "__main__":
    main()
