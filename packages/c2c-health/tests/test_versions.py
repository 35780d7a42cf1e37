"""The version file: its view, its line at the start, and the check that all processes run one version."""

import json
import os
import subprocess
import sys
import time

import pytest
from pyramid.config import Configurator

from c2c_health import HealthCheck, VersionSeen
from c2c_health.version import read

_GOOD = {"main": {"git_hash": "4b0c1d2", "git_tag": "1.2.3"}, "packages": {"pyramid": "2.1"}}


@pytest.fixture
def file(tmp_path):
    """Give the path of a good version file."""
    path = tmp_path / "versions.json"
    path.write_text(json.dumps(_GOOD))
    return path


def _versions(file):
    return {"c2c.versions_path": str(file)}


def test_the_view(service, file):
    """Gives the file, to everybody."""
    assert service(**_versions(file)).get("/versions.json").json == _GOOD


def test_the_view_for_operators(service, file):
    """Gives it to operators alone, where the setting says so."""
    made = service(**_versions(file), **{"c2c.versions_public": "false", "c2c.secret": "changeme"})
    made.get("/versions.json", status=403)
    assert made.get("/versions.json", headers={"X-API-Key": "changeme"}).json == _GOOD


def test_the_line_at_the_start(service, file, caplog):
    """Tag and hash; the hash alone where there is no tag; what a log can't hold is replaced."""
    assert service(**_versions(file)).app
    file.write_text(json.dumps({"main": {"git_hash": "abc\ndef"}}))
    assert service(**_versions(file)).app
    lines = [record.getMessage() for record in caplog.records if record.name == "c2c_health._views"]
    assert lines == ["Starting version 1.2.3 (4b0c1d2)", "Starting version abc?def"]


def test_it_is_read_at_the_start(service, file):
    """What happens to the file later changes nothing."""
    made = service(**_versions(file))
    assert made.app
    file.unlink()
    assert made.get("/versions.json").json == _GOOD


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"main": []}',
        b'{"main": {"git_hash": ""}}',
        b'{"main": {"git_hash": 3}}',
        b'{"main": {"git_hash": "a", "git_tag": 3}}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_broken_file(service, file, caplog, content):
    """One error in the log that names file and remedy; no view; the service starts."""
    file.write_bytes(content)
    made = service(**_versions(file))
    made.get("/versions.json", status=404)
    assert made.get("/health_check?max_level=2").json["successes"] == {}
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert str(file) in record.getMessage()
    assert "c2c-genversion" in record.getMessage()


def test_a_folder_in_its_place(service, tmp_path, caplog):
    """As docker makes one for a mount of a file that is not there: it is said, once, and the service starts."""
    made = service(**{"c2c.versions_path": str(tmp_path)})
    made.get("/versions.json", status=404)
    [record] = caplog.records
    assert record.getMessage().startswith(f"The version file {tmp_path} can't be used: [Errno 21] Is a directory")


def test_no_file(service, tmp_path, caplog):
    """No view, no check, no complaint."""
    made = service(**_versions(tmp_path / "nothing.json"))
    made.get("/versions.json", status=404)
    assert caplog.records == []


def test_health_json_names_the_release(service, file):
    """As ``releaseId``."""
    answer = service(**_versions(file)).get(headers={"Accept": "application/health+json"})
    assert answer.json["releaseId"] == "4b0c1d2"


def test_the_version_check(service, file):
    """It comes by itself at level 2; the event tells how many run it."""
    made, heard = service(**_versions(file)), []
    made.config.add_subscriber(heard.append, VersionSeen)
    found = made.get("/health_check?max_level=2").json["successes"]["version"]
    assert found["result"] == {"version": "4b0c1d2", "count": 1}
    assert found["level"] == 2
    assert heard == [VersionSeen("4b0c1d2", 1)] * 2


def test_an_own_version_check(service, file):
    """Replaces the automatic one."""
    made = service(**_versions(file))
    made.health.add_version_check(name="same", level=1)
    assert set(made.get("/health_check?max_level=9").json["successes"]) == {"same"}


def test_a_version_check_without_a_version(service, tmp_path):
    """Is red, and says why."""
    made = service(**_versions(tmp_path / "nothing"))
    made.health.add_version_check(level=1)
    assert "no process told its version" in made.get(status=500).json["failures"]["version"]["message"]


_MEMBER = """
import sys
from pyramid.config import Configurator
from c2c_broadcast import broadcast
from c2c_health import HealthCheck

config = Configurator(settings={"c2c.versions_path": sys.argv[1]})
config.registry.package_name = "service"
HealthCheck(config)
app = config.make_wsgi_app()
broadcast.start()
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def member(tmp_path, redis_server):
    """Start processes that take part: ``member("hash")``."""
    processes = []

    def start(git_hash):
        path = tmp_path / f"{git_hash}.json"
        path.write_text(json.dumps({"main": {"git_hash": git_hash}}))
        environ = {**os.environ, "C2C_REDIS_URL": redis_server.url, "C2C_BROADCAST_PREFIX": "versions_"}
        process = subprocess.Popen(
            [sys.executable, "-c", _MEMBER, str(path)],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout.readline() == "up\n"
        return process

    yield start
    for process in processes:
        process.communicate()


def test_members_of_several_versions_are_named(service, file, member, redis_server):
    """One version: how many run it. Two: the check is red and names which processes run which."""
    made = service(**_versions(file), **{"c2c.redis_url": redis_server.url, "c2c.broadcast_prefix": "versions_"})
    made.config.registry.package_name = "service"
    member("4b0c1d2")

    def ask():
        answer = made.get("/health_check?checks=version", status="*").json
        return answer["successes"].get("version") or answer["failures"]["version"]

    def wait(done):
        deadline = time.monotonic() + 60
        while not done(ask()):
            assert time.monotonic() < deadline, ask()
            time.sleep(0.1)
        return ask()

    found = wait(lambda found: found["result"].get("count") == 2)
    assert found["result"] == {"version": "4b0c1d2", "count": 2}
    other = member("0ther00")
    found = wait(lambda found: "message" in found and "2 versions" in found["message"])
    assert found["message"] == "2 versions run: 4b0c1d2 (2), 0ther00 (1)"
    [name] = found["result"]["versions"]["0ther00"]
    assert name.endswith(f"/{other.pid}")
    assert len(found["result"]["versions"]["4b0c1d2"]) == 2


def test_with_redis_away_it_says_so(service, file, redis_server):
    """It passes with a warning: this process runs one version."""
    made = service(**_versions(file), **{"c2c.redis_url": redis_server.url})
    with redis_server.down():
        found = made.get("/health_check?checks=version").json["successes"]["version"]
    assert "Redis is away" in found["message"]
    assert found["result"] == {"version": "4b0c1d2", "count": 1}


def test_an_empty_tag(file):
    """It is none."""
    file.write_text('{"main": {"git_hash": "a", "git_tag": ""}}')
    assert read(str(file)).git_tag is None


def test_a_second_include_says_nothing_new(file, caplog):
    """The start is told once an application."""
    config = Configurator(settings=_versions(file))
    HealthCheck(config)
    config.commit()
    HealthCheck(config)
    assert len(caplog.records) == 1
