"""Scripts and daemons: ``setup_process``, and the ``init`` that they call themselves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pyramid.config import Configurator

import c2c_broadcast
import c2cwsgiutils.redis_utils
from c2c_testing.servers import Redis
from c2c_testing.sinks import SentrySink, StatsdSink

INI = """
[app:main]
use = egg:nothing_that_is_imported
c2c.redis_url = redis://127.0.0.1:1/0
c2c.statsd_address = %(STATSD_HOST)s
c2c.statsd_prefix = of_the_ini
{more}
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = WARNING
handlers = console
[handler_console]
class = c2cwsgiutils.pyramid_logging.JsonLogHandler
args = (sys.stdout,)
[formatter_generic]
"""


def python(folder: Path, code: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run code in a folder, with the ini file of that folder where there is one."""
    environment = {"PATH": os.environ["PATH"], "C2CWSGIUTILS_CONFIG": str(folder / "production.ini"), **environ}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_settings_of_the_ini_file(tmp_path: Path, statsd_sink: StatsdSink) -> None:
    """Logging and the application's keys count, and the application is not imported."""
    (tmp_path / "production.ini").write_text(INI.format(more=""))
    code = (
        "import c2cwsgiutils.setup_process, logging, sys\nfrom c2cwsgiutils import stats\n"
        "from c2c_broadcast import broadcast\n"
        "stats.increment_counter(['ran'])\nlogging.getLogger('script').warning('said')\n"
        "print(broadcast.get_broadcaster().source.name)"
    )
    done = python(tmp_path, code, STATSD_HOST=statsd_sink.address)
    assert done.returncode == 0, done.stderr
    assert '"msg":"said"' in done.stdout.replace(": ", ":")
    assert done.stdout.endswith("redis://127.0.0.1:1/0\n")
    statsd_sink.wait(lambda metric: metric.name == "of_the_ini.ran")


def test_a_variable_that_a_script_has_not(tmp_path: Path, statsd_sink: StatsdSink) -> None:
    """What the application needs and the script has not is one warning; the environment counts, and the script runs."""
    (tmp_path / "production.ini").write_text(INI.format(more="sqlalchemy.url = %(OF_THE_SERVICE)s"))
    code = "import c2cwsgiutils.setup_process\nfrom c2cwsgiutils import stats\nstats.increment_counter(['ran'])"
    done = python(tmp_path, code, STATSD_ADDRESS=statsd_sink.address, STATSD_HOST="h:1")
    assert done.returncode == 0, done.stderr
    assert "settings of this process are those of the environment alone" in done.stdout
    assert "OF_THE_SERVICE" in done.stdout
    statsd_sink.wait(lambda metric: metric.name == "ran")


def test_a_wrong_setting_stops_the_script(tmp_path: Path) -> None:
    """It is named."""
    done = python(tmp_path, "import c2cwsgiutils.setup_process", STATS_VIEW="perhaps")
    assert done.returncode == 1
    assert "STATS_VIEW" in done.stderr.splitlines()[-1]


def test_in_the_process_of_a_service(tmp_path: Path) -> None:
    """A service that runs its migrations itself keeps what it has set up: metrics, broadcasts."""
    code = (
        "from pyramid.config import Configurator\nimport c2cwsgiutils.pyramid, c2cwsgiutils.stats as stats\n"
        "config = Configurator(settings={'c2c.stats_view': 'true'})\nconfig.include(c2cwsgiutils.pyramid.includeme)\n"
        "stats.increment_counter(['before'])\nimport c2cwsgiutils.setup_process\n"
        "from webtest import TestApp\napp = TestApp(config.make_wsgi_app())\n"
        "print(app.get('/c2c/stats.json').json['counters']['before'], 'before' in app.get('/metrics').text)"
    )
    done = python(tmp_path, code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("1 True\n")


def test_forked_afterwards(tmp_path: Path, redis_server: Redis) -> None:
    """Processes that a script forks after its set-up take part, each for itself."""
    code = (
        "import c2cwsgiutils.setup_process, os, time\nfrom c2cwsgiutils import broadcast\n"
        "broadcast.subscribe('who', lambda: {})\n"
        "children = []\n"
        "for _ in range(2):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        from c2c_broadcast import broadcast as b; b.start()\n"
        "        time.sleep(1000)\n"
        "    children.append(pid)\n"
        "end = time.monotonic() + 60\n"
        "while time.monotonic() < end:\n"
        "    answers = broadcast.broadcast('who', expect_answers=True)\n"
        "    pids = {one['pid'] for one in answers if one}\n"
        "    if pids == {os.getpid(), *children}: break\n"
        "for child in children: os.kill(child, 9)\n"
        "print(pids == {os.getpid(), *children})"
    )
    done = python(tmp_path, code, C2C_REDIS_URL=redis_server.url, C2C_BROADCAST_PREFIX="of_forks_")
    assert done.stdout == "True\n", done.stderr


def test_init_of_broadcasts(tmp_path: Path, redis_server: Redis) -> None:
    """``broadcast.init()`` in a script listens at once, by the environment alone or by settings."""
    code = (
        "from c2cwsgiutils import broadcast\nfrom c2c_broadcast import broadcast as b\n"
        "broadcast.init({settings})\nmine = b.get_broadcaster()\nprint(mine.source is not None, mine.started)"
    )
    by_environment = python(tmp_path, code.format(settings=""), C2C_REDIS_URL=redis_server.url)
    by_settings = python(tmp_path, code.format(settings={"c2c.redis_url": redis_server.url}))
    assert by_environment.stdout == by_settings.stdout == "True True\n", by_settings.stderr


def test_init_of_sentry(tmp_path: Path, sentry_sink: SentrySink) -> None:
    """``sentry.init()`` in a script reports what ``capture_exceptions`` sees."""
    code = "from c2cwsgiutils import sentry\nsentry.init()\nwith sentry.capture_exceptions(): 1 / 0"
    assert python(tmp_path, code, SENTRY_URL=sentry_sink.dsn).returncode == 1
    (event,) = sentry_sink.wait_events(1)
    assert event["exception"]["values"][0]["type"] == "ZeroDivisionError"


def test_daemon_without_debug_view(tmp_path: Path) -> None:
    """``init_daemon`` does nothing where the views are not switched on, by environment, settings or configurator."""
    code = (
        "import c2cwsgiutils.debug as debug\nfrom c2c_broadcast import broadcast\n"
        "from pyramid.config import Configurator\n"
        "debug.init_daemon()\nprint(not broadcast._PROCESS)\n"
        "debug.init_daemon(Configurator(settings={'c2c.debug_view_enabled': 'false'}))\n"
        "print(not broadcast._PROCESS)\n"
        "debug.init_daemon({'c2c.debug_view_enabled': 'true'})\n"
        "print(not broadcast._PROCESS)"
    )
    assert python(tmp_path, code).stdout.split() == ["True", "True", "False"]
    assert python(tmp_path, code, C2C_DEBUG_VIEW_ENABLED="1").stdout.split() == ["False", "False", "False"]


def test_clients_of_redis(redis_server: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings' Redis, for writing and reading, decoding; Sentinel where it is configured; None without."""
    get = c2cwsgiutils.redis_utils.get
    assert get({}) == (None, None, None)
    primary, replica, sentinel = get({"c2c.redis_url": redis_server.url, "c2c.redis_options": "socket_timeout=3"})
    primary.set("of_the_test", "ü")
    assert replica.get("of_the_test") == "ü"
    assert primary.connection_pool.connection_kwargs["socket_timeout"] == 3
    assert sentinel is None
    primary.delete("of_the_test")
    monkeypatch.setenv("C2C_REDIS_SENTINELS", "127.0.0.1:1,127.0.0.1:2")
    monkeypatch.setenv("C2C_REDIS_SERVICENAME", "parcels")
    primary, replica, sentinel = get()
    assert len(sentinel.sentinels) == 2
    assert primary.connection_pool.service_name == "parcels"
    assert replica.connection_pool.is_master is False


def test_init_with_a_configurator() -> None:
    """``broadcast.init(config)`` gives the directives of the base."""
    config = Configurator(settings={"c2c.base_path": "/tools"})
    c2cwsgiutils.broadcast.init(config)
    config.commit()
    assert c2c_broadcast.settings_of(config.registry).base_path == "/tools"
