"""Setting logging up: ini files as one writes them, no ini file, and the console."""

import io
import json
import logging
import logging.config
import os
import subprocess
import sys

import pytest
from pyramid import testing
from pyramid.request import Request

from c2c_broadcast import ConfigurationError
from c2c_logging import ConsoleLogHandler, JsonLogHandler, PyramidCeeSysLogHandler, init

INI = """
[app:main]
use = egg:x
broken = %(NOT_DEFINED_AND_NOT_OURS)s

[loggers]
keys = root, app

[logger_root]
level = %(OTHER_LOG_LEVEL)s
handlers = json

[logger_app]
level = %(LOG_LEVEL)s
handlers =
qualname = test_setup_app

[handlers]
keys = json

[handler_json]
class = c2c_logging.JsonLogHandler
args = (sys.stdout,)
level = NOTSET
formatter = message

[formatters]
keys = message

[formatter_message]
format = %(message)s
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch, root_logging):
    """Variables as in a container, and logging as it was afterwards."""
    for name, value in {"OTHER_LOG_LEVEL": "WARNING", "LOG_LEVEL": "DEBUG"}.items():
        monkeypatch.setenv(name, value)
    for name in ("C2CWSGIUTILS_CONFIG", "LOG_TYPE", "LOG_JSON_DIALECT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ini(tmp_path):
    """A function that writes an ini file and returns its path."""

    def write(text=INI, **replacements):
        for old, new in replacements.items():
            text = text.replace(old, new)
        path = tmp_path / "production.ini"
        path.write_text(text)
        return path

    return write


def replaced(old, new):
    """Return the usual ini file with a part replaced."""
    assert old in INI
    return INI.replace(old, new)


def test_the_ini_file_is_followed(ini, capsys, strict):
    """Levels and handlers of the file, with variables of the environment, whatever its other sections say."""
    path = ini()
    assert init(path) == str(path)
    assert logging.getLogger().level == logging.WARNING
    assert logging.getLogger("test_setup_app").level == logging.DEBUG
    logging.getLogger("test_setup_app").debug("100%% %s", "done")
    (line,) = capsys.readouterr().out.splitlines()
    assert strict(line)["msg"] == "100% done"


def test_defaults_are_for_every_section(ini, capsys):
    """A key of [DEFAULT] holds where a section has none, and where it says the same; others are not looked at."""
    text = "[DEFAULT]\nlevel = INFO\nhere_too = %(NOT_DEFINED)s\ntarget_level = INFO\n" + replaced(
        "level = %(OTHER_LOG_LEVEL)s", "level = INFO"
    ).replace("level = %(LOG_LEVEL)s\n", "")
    init(ini(text.replace("level = NOTSET", "level = %(target_level)s")))
    assert logging.getLogger().level == logging.INFO
    assert logging.getLogger("test_setup_app").level == logging.INFO
    assert logging.getLogger().handlers[0].level == logging.INFO


def test_the_variable_names_it(ini, monkeypatch):
    """C2CWSGIUTILS_CONFIG, as for the service."""
    path = ini()
    monkeypatch.setenv("C2CWSGIUTILS_CONFIG", str(path))
    assert init() == str(path)


def test_values_with_percent_signs_and_names_that_differ_by_case(ini, monkeypatch):
    """A variable's value is taken as it is, and PATH is not Path."""
    monkeypatch.setenv("Other_Log_Level", "100%(no)s %%")
    monkeypatch.setenv("SYSLOG_HOST", "h%o%%st")
    text = replaced("args = (sys.stdout,)", 'args = (("%(SYSLOG_HOST)s", 514),)')
    init(ini(text.replace("JsonLogHandler", "PyramidCeeSysLogHandler")))
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, PyramidCeeSysLogHandler)
    assert handler.address == ("h%o%%st", 514)


@pytest.mark.parametrize(
    "arguments",
    [
        'args = (("127.0.0.1", %(SYSLOG_PORT)s),)',
        'args = (["127.0.0.1", "%(SYSLOG_PORT)s"],)',
        'kwargs = {"address": ("127.0.0.1", %(SYSLOG_PORT)s), "facility": handlers.SysLogHandler.LOG_LOCAL3}',
        'args = []\nkwargs = {"address": ["127.0.0.1", %(SYSLOG_PORT)s], "facility": "local3"}',
    ],
)
def test_args_and_kwargs(ini, monkeypatch, syslog_sink, arguments):
    """Each way of giving arguments works."""
    monkeypatch.setenv("SYSLOG_PORT", str(syslog_sink.port))
    text = replaced("args = (sys.stdout,)", arguments)
    init(ini(text.replace("JsonLogHandler", "PyramidCeeSysLogHandler")))
    logging.getLogger().error("hello")
    (message,) = syslog_sink.wait()
    assert message.cee()["msg"] == "hello"
    assert message.facility == (19 if "facility" in arguments else 1)


@pytest.mark.parametrize("arguments", ['kwargs = {"stream": "ext://sys.stdout"}', 'args = ("ext://sys.stdout",)'])
@pytest.mark.parametrize("kind", ["c2c_logging.JsonLogHandler", "c2c_logging.ConsoleLogHandler", "StreamHandler"])
def test_streams_by_the_words_of_dict_config(ini, capsys, arguments, kind):
    """``ext://sys.stdout`` is a stream, for any handler, as in the files of c2cwsgiutils 6."""
    init(ini(replaced("args = (sys.stdout,)", arguments).replace("c2c_logging.JsonLogHandler", kind)))
    logging.getLogger().error("hello")
    out, err = capsys.readouterr()
    assert "hello" in out
    assert not err


def test_other_handlers_by_the_words_of_dict_config(ini, capsys, monkeypatch):
    """``cfg://`` finds another part of the configuration; any name is passed on."""
    text = replaced("keys = json", "keys = json, buffer, odd").replace("handlers = json", "handlers = buffer, odd")
    text += (
        "[handler_buffer]\nclass = handlers.MemoryHandler\n"
        "kwargs = {'capacity': 'cfg://version'}\n"
        "[handler_odd]\nclass = logging.OddHandler\nargs = ('ext://sys.stdout',)\nkwargs = {'level': 'ext://sys.stderr'}\n"
    )
    monkeypatch.setattr(logging, "OddHandler", Odd, raising=False)
    init(ini(text))
    logging.getLogger().error("hello")
    buffer, odd = logging.getLogger().handlers
    assert buffer.capacity == 1
    assert odd.given == ((sys.stdout,), sys.stderr)


class Odd(logging.NullHandler):
    """A handler with arguments that have no names, and one that dictConfig would take for its own."""

    def __init__(self, *args, level):
        """Keep them."""
        super().__init__()
        self.given = (args, level)


def test_the_words_of_dict_config_for_file_config(ini, capsys):
    """``fileConfig`` hands the text over; our handlers know what it means, and say what they can't use."""
    text = replaced("args = (sys.stdout,)", 'kwargs = {"stream": "ext://sys.stdout"}')
    logging.config.fileConfig(ini(text.replace("%(OTHER_LOG_LEVEL)s", "INFO").replace("%(LOG_LEVEL)s", "INFO")))
    logging.getLogger().error("hello")
    assert "hello" in capsys.readouterr().out
    with pytest.raises(ConfigurationError, match=r"stream of a log handler: 'stdout': must be a stream"):
        JsonLogHandler("stdout")


def test_a_class_that_is_not_there_is_named_with_its_line(ini):
    """File, line, section and key."""
    path = ini(replaced("JsonLogHandler", "JsonLogHandlr"))
    line = path.read_text().splitlines().index("class = c2c_logging.JsonLogHandlr") + 1
    with pytest.raises(ConfigurationError) as caught:
        init(path)
    assert str(caught.value).startswith(f"{path}:{line}: [handler_json] class = c2c_logging.JsonLogHandlr: ")


def test_the_file_alone_is_enough_for_logging(ini):
    """``logging.config.fileConfig``, which pserve and gunicorn call, takes the same file."""
    path = ini(INI.replace("%(OTHER_LOG_LEVEL)s", "INFO").replace("%(LOG_LEVEL)s", "INFO"))
    logging.config.fileConfig(path, disable_existing_loggers=False)
    assert isinstance(logging.getLogger().handlers[0], JsonLogHandler)


def test_loggers_that_exist_keep_working(ini):
    """A module that was imported before has its logger still."""
    logger = logging.getLogger("test_setup_before")
    init(ini())
    assert not logger.disabled


def test_warnings_are_logged(ini, capsys, strict):
    """``warnings.warn`` does not go round the log."""
    import warnings

    init(ini())
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    assert "old thing" in strict(capsys.readouterr().out.splitlines()[0])["msg"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "c2c_logging.JsonLogHandler",
            "c2c_logging.JsonLogHandlr",
            r"\[handler_json\] class = .*Handlr: there is no such class \(did you mean JsonLogHandler\?\)",
        ),
        ("c2c_logging.JsonLogHandler", "c2c_loging.JsonLogHandler", r"\[handler_json\] class = .*can't be imported"),
        ("c2c_logging.JsonLogHandler", "StreemHandler", r"\[handler_json\].*did you mean StreamHandler"),
        ("(sys.stdout,)", "(sys.nothing,)", "can't be set up: AttributeError"),
        ("(sys.stdout,)", "(1, 2, 3, 4)", "can't be set up: TypeError"),
        ("(sys.stdout,)", "(", "can't be set up: SyntaxError"),
        (
            "%(OTHER_LOG_LEVEL)s",
            "%(OTHER_LOG_LEVL)s",
            r"\[logger_root\] level: uses %\(OTHER_LOG_LEVL\)s.*did you mean OTHER_LOG_LEVEL\?\): set OTHER_LOG_LEVL",
        ),
        ("%(OTHER_LOG_LEVEL)s", "50%", r"\[logger_root\] level: a % that begins no"),
        ("%(OTHER_LOG_LEVEL)s", "%(level)s", r"\[logger_root\] level: uses %\(level\)s, which is defined neither"),
        ("%(OTHER_LOG_LEVEL)s", "LOUD", r"\[logger_root\] level = 'LOUD': must be one of CRITICAL, .*NOTSET"),
        ("%(OTHER_LOG_LEVEL)s", "INFO\n DEBUG", r"\[logger_root\] level = 'INFO\\nDEBUG': must be one of"),
        (
            "handlers = json",
            "handlers = jason",
            r"\[logger_root\] handlers: 'jason' is not in \[handlers\] keys \(did you mean json\?\)",
        ),
        (
            "formatter = message",
            "formatter = massage",
            r"\[handler_json\] formatter: 'massage' is not in \[formatters\] keys \(did you mean message\?\)",
        ),
        ("[handler_json]", "[handler_jsn]", r"\[handler_json\] is missing: \[handlers\] names it"),
        ("[formatters]", "[formaters]", r"\[formatters\] is missing"),
        ("[handlers]", "[loggers]", "loggers"),
        ("[app:main]", "app:main", "no section headers"),
    ],
)
def test_a_file_that_can_not_be_followed(ini, old, new, expected):
    """One line that names file, section and key, and what would be right."""
    path = ini(replaced(old, new))
    with pytest.raises(ConfigurationError, match=expected) as caught:
        init(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_levels_in_small_letters(ini, monkeypatch):
    """They are what they mean, as everywhere else."""
    monkeypatch.setenv("OTHER_LOG_LEVEL", "error")
    assert init(ini(INI))
    assert logging.getLogger().level == logging.ERROR


def test_a_missing_file(tmp_path, monkeypatch):
    """Named by the caller it is an error; named by the variable, logging says so and goes on."""
    with pytest.raises(ConfigurationError, match="no such file"):
        init(tmp_path / "no.ini")
    monkeypatch.setenv("C2CWSGIUTILS_CONFIG", str(tmp_path / "no.ini"))
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    assert init() is None
    assert "which is no file" in stream.getvalue()


def test_a_file_that_is_not_there_is_said_once_a_service(tmp_path):
    """Workers of one master say it once in all; the next script, and the service started anew, say it again."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, c2c_logging\n"
        "for _ in range(3):\n"
        "    if not os.fork():\n"
        "        c2c_logging.init()\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
        "c2c_logging.init()\n"
    )
    environ = {**os.environ, "C2CWSGIUTILS_CONFIG": str(tmp_path / "no.ini")}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, program], env=environ, capture_output=True, text=True, check=True, timeout=120
        )
        assert done.stderr.count("which is no file") == 1


def test_no_secret_in_an_error(ini):
    """Arguments may be passwords."""
    with pytest.raises(ConfigurationError) as caught:
        init(ini(replaced("(sys.stdout,)", "(int('password=s3cr3t-canary'),)")))
    assert "s3cr3t-canary" not in str(caught.value)


@pytest.mark.parametrize("with_file", [False, True])
def test_without_loggers_the_variables_say(ini, monkeypatch, capsys, strict, with_file):
    """LOG_TYPE, LOG_LEVEL for the caller's package, OTHER_LOG_LEVEL for the rest."""
    monkeypatch.setenv("LOG_TYPE", "json")
    assert init(ini("[app:main]\nuse = egg:x\n") if with_file else None) is None
    assert logging.getLogger().level == logging.WARNING
    assert logging.getLogger("__main__").level == logging.DEBUG
    assert logging.getLogger(__name__.partition(".")[0]).level == logging.DEBUG
    logging.getLogger("__main__").debug("hello")
    logging.getLogger("other").info("not this")
    (line,) = capsys.readouterr().out.splitlines()
    assert strict(line)["msg"] == "hello"


def test_a_bad_variable_is_named(monkeypatch):
    """An unknown type or level stops the script, saying which there are."""
    monkeypatch.setenv("LOG_TYPE", "xml")
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    with pytest.raises(ConfigurationError, match=r"LOG_TYPE.*console, json.*LOG_LEVEL.*CRITICAL"):
        init()


def test_the_console_is_for_people():
    """Time, level, logger, message, extras; the traceback below."""
    stream = io.StringIO()
    logger = logging.Logger("app")  # noqa: LOG001 # of this test alone
    logger.addHandler(ConsoleLogHandler(stream))
    logger.info("hello %s", "world", extra={"answer": 42, "password": "s3cr3t-canary"})
    logger.error("failed", exc_info=ValueError("x"))
    logger.warning("bad %d", "format")
    first, second, third, fourth = stream.getvalue().splitlines()
    assert first[12:] == " INFO     app                      hello world  answer=42 password=***"
    assert second.endswith("failed")
    assert third == "ValueError: x"
    assert "format_error=" in fourth
    assert "\033" not in stream.getvalue()


def test_the_console_names_the_request():
    """Its id is at the end."""
    stream = io.StringIO()
    with testing.testConfig(request=Request.blank("/", headers={"X-Request-ID": "42 is the answer"})):
        ConsoleLogHandler(stream).emit(logging.makeLogRecord({"msg": "x", "levelno": 20, "levelname": "INFO"}))
    assert stream.getvalue().rstrip().endswith("request_id=42 is the answer")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        """Say so."""
        return True


def test_colours_on_a_terminal(monkeypatch):
    """There, and not with NO_COLOR; what a message brings is shown, not followed."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    handler = ConsoleLogHandler(stream)
    handler.emit(logging.makeLogRecord({"msg": "\033[2Jgone\rforged\u202e", "levelno": 40, "levelname": "ERROR"}))
    assert "\033[31mERROR" in stream.getvalue()
    assert "\\x1b[2Jgone\\rforged\\u202e" in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    stream.truncate(0)
    handler.emit(logging.makeLogRecord({"msg": "x", "levelno": 40, "levelname": "ERROR"}))
    assert "\033" not in stream.getvalue()


def test_the_console_takes_any_record(capfd):
    """A record without a level, an extra that raises: a line all the same, or one complaint."""
    stream = io.StringIO()
    handler = ConsoleLogHandler(stream)
    handler.handle(logging.makeLogRecord({"msg": "x"}))
    stream.close()
    for _ in range(3):
        handler.handle(logging.makeLogRecord({"msg": "x", "levelno": 20}))
    assert capfd.readouterr().err.count("can't be written") <= 1


def test_a_script_alone(ini, tmp_path):
    """A script of a package logs as the service does."""
    script = tmp_path / "script.py"
    script.write_text("import logging, c2c_logging\nc2c_logging.init()\nlogging.getLogger(__name__).info('hello')\n")
    text = INI.replace("level = %(OTHER_LOG_LEVEL)s", "level = INFO")
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "C2CWSGIUTILS_CONFIG": str(ini(text))},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(done.stdout)["msg"] == "hello"
    assert done.stderr == ""


def test_importing_does_nothing():
    """No optional package, no thread, no handler, no patch, no hook of forks; whatever the environment says."""
    code = (
        "import os, sys, threading, logging, requests\n"
        "before, hooks = requests.Session.send, []\n"
        "os.register_at_fork = lambda **_: hooks.append(sys._getframe(1).f_globals['__name__'])\n"
        "import c2c_logging\n"
        "assert not [name for name in hooks if name.startswith('c2c_logging')]\n"
        "assert not [m for m in ('sqlalchemy', 'psycopg', 'pyramid') if m in sys.modules]\n"
        "assert threading.active_count() == 1 and not logging.getLogger().handlers\n"
        "assert requests.Session.send is before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env={**os.environ, "LOG_JSON_DIALECT": "x"})
