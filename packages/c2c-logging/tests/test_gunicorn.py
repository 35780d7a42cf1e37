"""Real gunicorns: levels in all workers, logs of workers and of gunicorn itself, handlers built in the master."""

import os
import signal
import time
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa

HERE = Path(__file__).parent
KEY = {"X-API-Key": "0123456789abcdef-test"}
LOGGER = "watched"

INI = """
[loggers]
keys = root, gunicorn, access

[logger_root]
level = INFO
handlers = json

[logger_gunicorn]
level = INFO
handlers =
qualname = gunicorn.error

[logger_access]
level = INFO
handlers =
qualname = gunicorn.access

[handlers]
keys = json

[handler_json]
class = c2c_logging.JsonLogHandler
args = (sys.stdout,)

[formatters]
keys =
"""


@pytest.fixture
def serve(gunicorn):
    """A function that starts a gunicorn with the application of these tests."""

    def start(*, env=None, workers=3, **options):
        variables = {"C2C_REDIS_URL": None, "LOG_URL": None, **(env or {})}
        return gunicorn("gunicorn_app:app", workers=workers, cwd=HERE, env=variables, ready="/watch/ready", **options)

    return start


def levels(server, count=3, timeout=60):
    """Return pid -> level of ``count`` workers, asked until each of them has answered."""
    found = {}
    deadline = time.monotonic() + timeout
    while len(found) < count and time.monotonic() < deadline:
        answer = requests.get(f"{server.url}/watch/x", timeout=30).json()
        found[answer["pid"]] = answer["level"]
    assert len(found) >= count, f"only {found} answered"
    return found


def wait_for_level(server, level, timeout=60):
    """Wait until all three workers have the level."""
    deadline = time.monotonic() + timeout
    while set((found := levels(server)).values()) != {level}:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def ask(server, **parameters):
    """Ask the view."""
    answer = requests.get(f"{server.url}/c2c/logging/level", params=parameters, headers=KEY, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("preload", [False, True])
def test_levels_in_three_workers(serve, redis_server, preload):
    """Set, listed, kept by a worker born later, reset: the same in all."""
    prefix = f"levels_{preload}_"
    server = serve(preload=preload, env={"C2C_REDIS_URL": redis_server.url, "C2C_BROADCAST_PREFIX": prefix})
    wait_for_level(server, "WARNING")
    assert ask(server, name=LOGGER, level="DEBUG")["level"] == "DEBUG"
    before = wait_for_level(server, "DEBUG")
    assert ask(server)["overrides"] == {LOGGER: "DEBUG"}

    victim = next(iter(before))
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while victim in server.pids() or len(server.pids()) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    after = wait_for_level(server, "DEBUG")
    assert set(after) - set(before)

    ask(server, name=LOGGER, level="reset")
    wait_for_level(server, "WARNING")


def test_a_ttl_ends_without_redis(serve, new_redis_server):
    """Each worker ends an override by itself, though Redis is gone meanwhile."""
    redis_server = new_redis_server()
    server = serve(env={"C2C_REDIS_URL": redis_server.url})
    wait_for_level(server, "WARNING")
    ask(server, name=LOGGER, level="DEBUG", ttl="20")
    wait_for_level(server, "DEBUG")
    redis_server.kill()
    wait_for_level(server, "WARNING")
    assert ask(server, name=LOGGER, level="INFO")["complete"] is False, "it is of one process only, and says so"


def test_logs_of_gunicorn_and_of_the_workers(serve, strict, tmp_path):
    """One ini file for all: gunicorn's own lines, the access log and the application's are JSON."""
    ini = tmp_path / "production.ini"
    ini.write_text(INI)
    server = serve(args=["--log-config", str(ini), "--log-level", "info"], workers=2)
    requests.get(
        f"{server.url}/watch/me?secret=s3cr3t-canary", headers={"X-Request-ID": "42 is the answer"}, timeout=30
    )
    server.stop()
    # The first lines may be gunicorn's before it has read the file.
    lines = [strict(line) for line in server.log_text().splitlines() if line.startswith("{")]
    assert [line for line in lines if line["logger_name"] == "gunicorn.error" and "Listening at" in line["msg"]]
    (access,) = [line for line in lines if line["logger_name"] == "gunicorn.access" and "/watch/me" in line["msg"]]
    assert "s3cr3t-canary" not in access["msg"]
    assert '" 200 ' in access["msg"]
    (own,) = [line for line in lines if line["msg"] == "served me"]
    assert own["request_id"] == "42 is the answer"
    assert own["pid"] != server_master(lines)


def server_master(lines):
    """Return the process that said that it listens."""
    return next(line["pid"] for line in lines if "Listening at" in line["msg"])


def test_workers_that_end_while_the_reader_is_stopped(serve):
    """A log that nobody reads, ``max-requests``: a thousand are answered, workers end and come, SIGTERM ends all."""
    server = serve(preload=True, env={"STUCK": "1"}, workers=2, args=["--max-requests", "200"])
    answers = [requests.get(f"{server.url}/watch/{number}", timeout=60).json() for number in range(1_000)]
    assert len({answer["pid"] for answer in answers}) > 2
    assert any(answer["behind"] for answer in answers), "the pipe is full"
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < 25, "within gunicorn's 30 seconds of grace"


@pytest.mark.parametrize("preload", [False, True])
def test_a_database_handler_built_in_the_master(serve, postgres, preload):
    """It writes in the workers, each record once, those at the end of a worker's life too."""
    name = f"logs_gunicorn_{preload}".lower()
    url = postgres.url_of(name)
    server = serve(preload=preload, env={"LOG_URL": url}, workers=2)
    for number in range(40):
        requests.get(f"{server.url}/watch/{number}", timeout=30)
    server.stop()
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        messages = connection.execute(sa.text("SELECT msg FROM logs ORDER BY id")).scalars().all()
    engine.dispose()
    assert sorted(m for m in messages if m.removeprefix("served ").isdigit()) == sorted(
        f"served {n}" for n in range(40)
    )
    # The master's own record: once where it is built there, once a worker else.
    assert len([m for m in messages if "by nobody" in m]) == (1 if preload else 2)
    postgres.drop_database(name)
