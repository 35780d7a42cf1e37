"""Logging from an ini file, in processes of its own: it belongs to a process."""

import re

import pytest

PRINT_HANDLER = """
import logging, plaster
class Seen(logging.NullHandler):
    def __init__(self, *args, **kwargs):
        super().__init__()
        print(args, kwargs)
logging.Seen = Seen
before = logging.getLogger("before")
plaster.setup_logging("c2c://production.ini")
print("disabled", before.disabled)
"""


def test_arguments(folder):
    """``args`` and ``kwargs`` of handlers get values with percent signs, and names that differ only by case."""
    folder.logging(
        "\n[handler_console]\nclass = Seen\n"
        "args = ('%(SECRET)s', '%(secret)s', 'c%%d')\nkwargs = {'address': ('%(HOST)s', 514)}"
    )
    out = folder.python(PRINT_HANDLER, SECRET="a%b", secret="%(HOST)s", HOST="log.example")
    assert out == "('a%b', '%(HOST)s', 'c%d') {'address': ('log.example', 514)}\ndisabled False\n"


def test_the_words_of_dict_config(folder):
    """``kwargs = {'stream': 'ext://sys.stdout'}``, as in the files of c2cwsgiutils 6, is a stream."""
    folder.logging("\n[handler_console]\nclass = c2c_logging.JsonLogHandler\nkwargs = {'stream': 'ext://sys.stdout'}")
    out = folder.python(
        "import logging, plaster\nplaster.setup_logging('c2c://production.ini')\nlogging.error('hello')"
    )
    assert '"msg":"hello"' in out


def test_environment_with_same_names(folder):
    """Variables that differ only by case do no harm where nobody uses them."""
    folder.python(PRINT_HANDLER, Path="1", PATH="2", path="3", home="4")


def test_keys_of_any_case(folder):
    """Keys of logging sections may be written in any case, as ever, and so may levels."""
    folder.logging("\n[logger_root]\nLEVEL = %(LOG_LEVEL)s\nHandlers = console")
    out = folder.python(PRINT_HANDLER + "print(logging.root.level)", LOG_LEVEL="error")
    assert out.splitlines()[-1] == "40"


def test_no_logging(folder):
    """A file without [loggers] gives the standard library's basic configuration."""
    folder.write("production.ini", "[app:main]\nuse = call:tiny:main\n")
    out = folder.python(PRINT_HANDLER + "print(logging.root.handlers)")
    assert "<StreamHandler <stderr> (NOTSET)>" in out


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("class = nowhere.Handler", r":\d+: \[handler_console\] class = nowhere.Handler: can't be imported"),
        ("class = StreamHandler\nargs = (", r":\d+: \[handler_console\] args: logging can't be set up: SyntaxError: "),
        ("class = StreamHandler\nargs = (open('http://u:hunter2@h'),)", ".* args: .*FileNotFoundError: "),
        (
            "class = StreamHandler\nargs = ('%(NOWHERE)s',)",
            r":\d+: \[handler_console\] args: uses %\(NOWHERE\)s, which is defined neither in",
        ),
        ("[formatters]\nkeys = f", r": \[formatter_f\] is missing: \[formatters\] names it"),
        ("class = StreamHandler\nlevel = LOUD", r":\d+: \[handler_console\] level = 'LOUD': must be one of CRITICAL"),
    ],
)
def test_broken(folder, lines, expected):
    """What can't be followed is said in one line, with the file; c2c-run ends with status 2."""
    folder.logging(f"\n[handler_console]\n{lines}")
    done = folder.run("c2c-run", "production.ini", C2C_EXCLUDE=folder.nothing)
    assert done.returncode == 2
    assert re.match(rf"c2c-run: {folder.path}/production.ini{expected}", done.stderr), done.stderr
    assert done.stderr.count("\n") == 1
    assert "hunter2" not in done.stderr
