"""Settings, scripts, and a Sentry that is away."""

import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sentry_sdk
from paste.deploy import loadapp
from pyramid.config import Configurator
from pyramid.request import Request

from c2c_broadcast import ConfigurationError, declarations
from c2c_sentry import SentrySettings, capture_exceptions, init
from c2c_sentry._options import parse_options
from c2c_sentry._reporting import REPORTING

HERE = Path(__file__).parent


@pytest.fixture
def start(sentry_sink, monkeypatch):
    """A function that sets variables and starts reporting."""

    def begin(settings=None, **variables):
        for name, value in {"SENTRY_URL": sentry_sink.dsn, **variables}.items():
            monkeypatch.setenv(name, value)
        init(settings)

    return begin


def report():
    """Report something."""
    with pytest.raises(ValueError, match="reported"), capture_exceptions():
        raise ValueError("reported")


def test_capture_exceptions_reports_and_raises(start, sent):
    """As a ``with`` and as a decorator."""
    start()
    report()

    @capture_exceptions()
    def work():
        raise LookupError

    with pytest.raises(LookupError):
        work()
    assert [event["exception"]["values"][-1]["type"] for event in sent.events()] == ["ValueError", "LookupError"]


def test_nested_captures_report_once(start, sent):
    """The same exception through two of them."""
    start()
    with capture_exceptions():
        report()
    with pytest.raises(ValueError, match="x"), capture_exceptions(), capture_exceptions():
        raise ValueError("x")
    assert len(sent.events()) == 2


def test_without_a_dsn_they_only_raise(sent):
    """Scripts run without Sentry."""
    init()
    report()
    assert sent.events() == []


def test_ends_that_are_no_errors(start, sent):
    """SystemExit is ignored by default, Ctrl-C always."""
    start()
    for kind in (SystemExit, KeyboardInterrupt):
        with pytest.raises(kind), capture_exceptions():
            raise kind
    assert sent.events() == []


def test_the_list_of_ignored_exceptions(start, sent):
    """It replaces the default."""
    start(SENTRY_CLIENT_IGNORE_EXCEPTIONS="KeyError, LookupError")
    for kind in (KeyError, SystemExit):
        with pytest.raises(kind), capture_exceptions():
            raise kind
    assert sent.one()["exception"]["values"][-1]["type"] == "SystemExit"


@pytest.mark.parametrize(
    ("variables", "release"),
    [
        ({"GIT_HASH": "abc123"}, "abc123"),
        ({"GIT_HASH": "abc123", "SENTRY_CLIENT_RELEASE": "1.2.3"}, "1.2.3"),
        ({"GIT_HASH": "abc123", "SENTRY_CLIENT_RELEASE": "latest"}, "abc123"),
        ({"SENTRY_CLIENT_RELEASE": "1.2.3"}, "1.2.3"),
    ],
)
def test_the_release(start, sent, variables, release):
    """SENTRY_CLIENT_RELEASE, unless it is ``latest``; else the commit."""
    start(**variables)
    report()
    assert sent.one()["release"] == release


def test_the_release_of_the_ini_file(start, sent):
    """``c2c.git_hash``."""
    start({"c2c.git_hash": "from-ini"})
    report()
    assert sent.one()["release"] == "from-ini"


@pytest.mark.parametrize("url", ["c2c.sentry.url", "c2c.sentry_url"])
@pytest.mark.parametrize("excludes", ["c2c.sentry.excludes", "c2c.sentry_excludes"])
def test_the_ini_file_alone(sentry_sink, sent, url, excludes):
    """DSN, excluded loggers and level by their keys, old ones too, and no variable."""
    init({url: sentry_sink.dsn, excludes: "noisy", "c2c.sentry_level": "WARNING"})
    logging.getLogger("noisy").error("not this")
    logging.getLogger("app").warning("this")
    assert sent.one()["logentry"]["message"] == "this"


def test_environment_and_tags(start, sent):
    """Names of tags are in lower case."""
    start(SENTRY_CLIENT_ENVIRONMENT="staging", SENTRY_TAG_SERVICE="map", SENTRY_TAG_Zone="Ch-1")
    report()
    event = sent.one()
    assert event["environment"] == "staging"
    assert event["tags"] == {"service": "map", "zone": "Ch-1"}


@pytest.mark.parametrize(("level", "count"), [("WARNING", 3), ("error", 2), ("CRITICAL", 1)])
def test_the_level(start, sent, level, count):
    """Records from it on are events."""
    start(SENTRY_LEVEL=level)
    log = logging.getLogger("app")
    for number in (logging.WARNING, logging.ERROR, logging.CRITICAL):
        log.log(number, "x")
    assert len(sent.events()) == count


@pytest.mark.parametrize("excludes", ["noisy:quiet", "noisy,quiet", " noisy , other"])
def test_excluded_loggers(start, sent, excludes):
    """They, and those below them, are neither events nor breadcrumbs."""
    start(SENTRY_EXCLUDES=excludes)
    logging.getLogger("noisy").error("not this")
    logging.getLogger("noisy.child").error("nor this")
    logging.getLogger("noisy2").error("this")
    assert sent.one()["logger"] == "noisy2"


def test_any_option_of_the_sdk(start):
    """Typed from the SDK: bool, int, float, list, text."""
    start(
        SENTRY_CLIENT_SAMPLE_RATE="0.5",
        SENTRY_CLIENT_MAX_BREADCRUMBS="7",
        SENTRY_CLIENT_ATTACH_STACKTRACE="true",
        SENTRY_CLIENT_AUTO_SESSION_TRACKING="no",
        SENTRY_CLIENT_IN_APP_INCLUDE="app, lib",
        SENTRY_CLIENT_SERVER_NAME="me",
        SENTRY_CLIENT_PROXY_HEADERS="a=b",
        SENTRY_CLIENT_SHUTDOWN_TIMEOUT="1",
    )
    options = sentry_sdk.get_client().options
    assert options["sample_rate"] == 0.5
    assert options["max_breadcrumbs"] == 7
    assert options["attach_stacktrace"] is True
    assert options["auto_session_tracking"] is False
    assert options["in_app_include"] == ["app", "lib"]
    assert options["server_name"] == "me"
    assert options["proxy_headers"] == {"a": "b"}
    assert options["shutdown_timeout"] == 1.0


def test_unknown_options_warn_with_near_names(start, sent, caplog):
    """A typing error is named, with what was meant; reporting works."""
    start(SENTRY_CLIENT_ENVIROMENT="x", SENTRY_CLIENT_BEFORE_SEND="x", SENTRY_CLIENT_QWXZ="1")
    texts = [record.getMessage() for record in caplog.records]
    assert any("SENTRY_CLIENT_ENVIROMENT" in text and "SENTRY_CLIENT_ENVIRONMENT" in text for text in texts)
    assert any("SENTRY_CLIENT_BEFORE_SEND" in text and "can't be given" in text for text in texts)
    assert any("SENTRY_CLIENT_QWXZ" in text for text in texts)
    report()
    assert sent.one()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("SAMPLE_RATE", "much", "a number"),
        ("MAX_BREADCRUMBS", "1.5", "a whole number"),
        ("DEBUG", "maybe", "true or false"),
        ("PROXY_HEADERS", "nothing", "name=value"),
        ("TRACE_LIFECYCLE", "never", "one of static, stream"),
    ],
)
def test_a_value_of_the_wrong_type_stops_the_start(start, name, value, why):
    """The error names the variable, and what would be right."""
    with pytest.raises(ConfigurationError, match=f"SENTRY_CLIENT_{name}.*{value}.*{why}"):
        start(**{f"SENTRY_CLIENT_{name}": value})


def test_options_of_every_annotation():
    """Of whatever version of the SDK: text, types, optional and literal ones."""

    def fake(
        self,
        a: "Optional[bool]" = None,  # noqa: F821 # as the SDK writes it
        b: int = 1,
        c: "Union[bool, str]" = "",  # noqa: F821 # as above
        d: "AbstractSet[int]" = frozenset(),  # noqa: F821 # as above
        e: "Callable[[], None]" = print,  # noqa: F821 # as above
    ):
        """Take options."""

    options, warnings = parse_options({"a": "1", "b": "2", "c": "text", "d": "404,500", "e": "x"}, fake)
    assert options == {"a": True, "b": 2, "c": "text", "d": frozenset({404, 500})}
    assert len(warnings) == 1
    assert parse_options({"c": "false"}, fake)[0] == {"c": False}


def test_a_bad_dsn_is_one_line(start, caplog):
    """The service runs; neither the line nor anything else shows the value."""
    start(SENTRY_URL="https://s3cr3t-canary@")
    init()
    init()
    report()
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "SENTRY_URL" in errors[0]
    assert "s3cr3t-canary" not in errors[0]
    assert not REPORTING.active


@pytest.mark.parametrize(
    "dsn", ["no dsn", "http://", "https://key@host", "https://host/1", "ftp://key@host/1", "https://key@host:port/1"]
)
def test_each_bad_dsn_leaves_the_service_alone(start, dsn, caplog):
    """Whatever it is."""
    start(SENTRY_URL=dsn)
    report()
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


def test_once_a_process(start, sent, caplog):
    """Again is nothing; a second project is a warning."""
    start()
    client = sentry_sdk.get_client()
    init()
    assert sentry_sdk.get_client() is client
    init({"c2c.sentry.url": "x"})
    assert sentry_sdk.get_client() is client
    start(SENTRY_URL=sent.sink.dsn.replace("0123", "4567"))
    assert sentry_sdk.get_client() is client
    assert any("one Sentry project a process" in record.getMessage() for record in caplog.records)


def test_sentry_away_is_one_line(start, sent, caplog):
    """Reports are lost, nothing is slow, one line in all says it, none of urllib3's; it is said when it is back."""
    caplog.set_level(logging.WARNING)
    start()
    with sent.sink.down():
        begin = time.monotonic()
        for _ in range(20):
            report()
        assert time.monotonic() - begin < 20
        wait_for(lambda: said(caplog, "does not take events"))
        sentry_sdk.flush(timeout=30)
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING and "boom" not in str(record)]
    assert [record.name for record in lines if not record.exc_info] == ["c2c_sentry._transport"]
    report()
    wait_for(lambda: said(caplog, "takes events again"))
    assert len(sent.events()) >= 1


def test_sentry_away_at_the_end_of_a_script():
    """Nothing is written about events that are still to be sent, and the end is not long in coming."""
    program = (
        "import logging, c2c_sentry; logging.basicConfig(); c2c_sentry.init()\n"
        "try:\n with c2c_sentry.capture_exceptions(): raise ValueError\nexcept ValueError: pass"
    )
    environment = {**os.environ, "SENTRY_URL": "http://key@127.0.0.1:9/1"}
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, timeout=120, env=environment, capture_output=True, text=True
    )
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "does not take events" in done.stderr


def said(caplog, text):
    """Return the lines that were logged with a text in them."""
    return [record for record in caplog.records if text in record.getMessage()]


def wait_for(condition, timeout=60):
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)


def test_sentry_slow_slows_nothing(start, sent):
    """An answer that takes seconds is waited for by a thread of the SDK only."""
    start()
    sent.sink.answer(delay=3)
    begin = time.monotonic()
    for _ in range(20):
        report()
    assert time.monotonic() - begin < 20
    sent.sink.clear()


def test_a_rate_limit_is_respected(start, sent):
    """429 with Retry-After: nothing more is sent meanwhile, and nothing raises."""
    start()
    sent.sink.answer(status=429, headers={"Retry-After": "60"})
    report()
    sentry_sdk.flush(timeout=30)
    count = len(sent.sink.envelopes)
    for _ in range(5):
        report()
    sentry_sdk.flush(timeout=30)
    assert len([e for e in sent.sink.envelopes[count:] if any(item.type == "event" for item in e.items)]) == 0


def test_the_paste_filter(sentry_sink, sent, tmp_path):
    """``egg:c2c-sentry#sentry`` in a pipeline, its DSN in the ini file."""
    (tmp_path / "production.ini").write_text(
        f"""
[pipeline:main]
pipeline = sentry app

[filter:sentry]
use = egg:c2c-sentry#sentry
c2c.sentry.url = {sentry_sink.dsn}

[app:app]
use = call:paste_app:factory
"""
    )
    sys.path.insert(0, str(HERE))
    try:
        application = loadapp(f"config:{tmp_path}/production.ini")
    finally:
        sys.path.remove(str(HERE))
    with pytest.raises(ZeroDivisionError):
        Request.blank("/").get_response(application)
    assert sent.one()["exception"]["values"][-1]["type"] == "ZeroDivisionError"


def test_a_script(sentry_sink):
    """What a script logs and raises is sent before it ends."""
    code = (
        "import logging, c2c_sentry\n"
        "c2c_sentry.init()\n"
        "logging.error('logged')\n"
        "with c2c_sentry.capture_exceptions():\n"
        "    raise LookupError('raised')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "SENTRY_URL": sentry_sink.dsn},
        timeout=120,
        check=False,
        capture_output=True,
    )
    assert done.returncode == 1
    first, second = sentry_sink.wait_events(2)
    assert first["logentry"]["message"] == "logged"
    assert second["exception"]["values"][-1]["type"] == "LookupError"


MULTIPROCESSING = """
import logging, multiprocessing
import c2c_sentry

def work(number):
    logging.getLogger("app").error("logged %s", number)

if __name__ == "__main__":
    c2c_sentry.init()
    for number in range(3):
        child = multiprocessing.get_context("fork").Process(target=work, args=(number,))
        child.start()
        child.join()
"""


def test_processes_of_multiprocessing(sentry_sink, tmp_path):
    """They end without atexit, and have sent all nevertheless."""
    program = tmp_path / "program.py"
    program.write_text(MULTIPROCESSING)
    env = {**os.environ, "SENTRY_URL": sentry_sink.dsn}
    subprocess.run([sys.executable, program], env=env, check=True, timeout=120)
    assert [event["logentry"]["formatted"] for event in sentry_sink.wait_events(3)] == [
        "logged 0",
        "logged 1",
        "logged 2",
    ]


def test_the_sdk_is_imported_with_a_dsn_only():
    """Neither importing nor including without a DSN takes its time and memory."""
    code = (
        "import sys, c2c_sentry\n"
        "from pyramid.config import Configurator\n"
        "assert 'sentry_sdk' not in sys.modules\n"
        "config = Configurator(); config.include('c2c_sentry'); config.make_wsgi_app()\n"
        "with c2c_sentry.capture_exceptions(): pass\n"
        "c2c_sentry.filter_wsgi_app(print)\n"
        "assert 'sentry_sdk' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env={**os.environ, "SENTRY_URL": ""})


def test_including_twice_changes_nothing(sentry_sink):
    """Nor does a commit in between."""
    config = Configurator(settings={"c2c.sentry.url": sentry_sink.dsn})
    config.include("c2c_sentry")
    config.commit()
    config.include("c2c_sentry")
    config.make_wsgi_app()


def test_the_integrations(start):
    """Logging, Pyramid, SQLAlchemy and Redis; none that the SDK finds by itself."""
    start()
    found = set(sentry_sdk.get_client().integrations)
    assert {"logging", "pyramid", "sqlalchemy", "redis"} <= found
    assert not {"flask", "django", "celery"} & found


@pytest.mark.parametrize("name", ["logging", "pyramid", "sqlalchemy", "redis", "asyncio"])
def test_an_integration_that_is_off(sentry_sink, name):
    """Each has a setting that leaves it out, and the others stay."""
    settings = {"c2c.sentry.url": sentry_sink.dsn, f"c2c.sentry_integration_{name}": "false"}
    # In a process of its own: the SDK keeps what was ever set up.
    code = f"import c2c_sentry, sentry_sdk as s; c2c_sentry.init({settings}); print(*s.get_client().integrations)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert {"logging", "pyramid", "sqlalchemy", "redis", "asyncio"} - set(done.stdout.split()) == {name}
    assert done.stderr == ""


def test_traces(start):
    """None by default; the setting says how many."""
    start()
    assert sentry_sdk.get_client().options["traces_sample_rate"] is None


def test_some_traces(start):
    """The setting says how many."""
    start({"c2c.sentry_traces_sample_rate": "0.25"})
    assert sentry_sdk.get_client().options["traces_sample_rate"] == 0.25


def test_the_rate_of_the_sdk(start):
    """The option of the SDK's own name wins."""
    start({"c2c.sentry_traces_sample_rate": "0.25"}, SENTRY_CLIENT_TRACES_SAMPLE_RATE="0.5")
    assert sentry_sdk.get_client().options["traces_sample_rate"] == 0.5


def test_the_readme_has_each_setting():
    """Variable, key, default and help, word by word."""
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in (HERE.parent / "README.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    rows = {re.sub(r"[`*]", "", cells[0]): cells[1:] for cells in lines if len(cells) == 4}
    shown = {"excludes": "sentry_sdk", "level": "ERROR", "client": "none", "tags": "none"}
    for name, (declaration, default) in declarations(SentrySettings).items():
        key, default_shown, text = rows[declaration.env]
        assert key.strip("`") == (declaration.key or "")
        assert default_shown.strip("`") == shown.get(
            name, "none" if default is None else str(default).replace("True", "true")
        )
        assert text == declaration.help


def test_in_gunicorns_workers(gunicorn, sentry_sink):
    """The application is built in the master, before the fork: the workers report, each error once."""
    import http.client

    server = gunicorn(
        "gunicorn_app:app", workers=2, preload=True, cwd=HERE, env={"SENTRY_URL": sentry_sink.dsn}, ready="/fine"
    )
    for _ in range(10):
        connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
        connection.request("GET", "/fails")
        assert connection.getresponse().status == 500
        connection.close()
    assert len(sentry_sink.wait_events(10, timeout=60)) == 10
    server.stop()
    assert len(sentry_sink.events) == 10
