"""What c2c-run becomes: gunicorn, with logging from the ini file and the worker hooks of the toolkit.

Everything of gunicorn's works as always: its arguments, GUNICORN_CMD_ARGS, ``gunicorn.conf.py``, ``--config``. Hooks
set there run too.
"""

import os
import sys

from c2c_meta._run import config_path, uses_gevent


def main() -> None:
    """Serve until told to stop; exit 2 with one line when logging can't be set up."""
    if uses_gevent(sys.argv[1:], os.environ):
        _patch()
    from c2c_meta._application import set_up_logging_once, start_measuring
    from c2c_meta._ini import IniError

    try:
        start_measuring()
        set_up_logging_once(config_path(os.environ))
    except Exception as error:
        from c2c_broadcast import ConfigurationError

        if not isinstance(error, IniError | ConfigurationError):
            raise
        sys.stderr.write(f"c2c-run: {error}\n")
        sys.exit(2)
    sys.argv[0] = "c2c-run"  # what this program is called, in messages and among the members of a broadcast

    from c2c_meta._gunicorn_application import GunicornApplication

    GunicornApplication("%(prog)s [INI] [-- gunicorn arguments]", prog="c2c-run").run()


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
