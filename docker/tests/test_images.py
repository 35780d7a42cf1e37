"""The images start, answer, and are healthy, as a user who is not root."""

import json
import subprocess  # noqa: TC003 # fixtures are called with it
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping

import pytest

from c2c_testing.servers import PostgresPair, Redis, free_port
from tools.docker_image import Image
from tools.docker_steps import Builder

Stop = Callable[["subprocess.Popen[bytes]"], None]
Run = Callable[..., "subprocess.Popen[bytes]"]


def _output(process: "subprocess.Popen[bytes]") -> tuple[int, str]:
    out, _ = process.communicate(timeout=300)
    return process.returncode, out.decode()


def _answer(url: str, process: "subprocess.Popen[bytes]") -> str:
    """Wait until the service answers, and return what."""
    deadline = time.monotonic() + 180
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert process.poll() is None, _output(process)[1]
            assert time.monotonic() < deadline, "it does not answer"
            time.sleep(0.5)


def _environ(servers: tuple[PostgresPair, Redis], port: int) -> Mapping[str, str]:
    pair, redis = servers
    return {
        "SQLALCHEMY_URL": pair.primary.url,
        "SQLALCHEMY_URL_SLAVE": pair.replica.url,
        "C2C_REDIS_URL": redis.url,
        "C2C_BROADCAST_PREFIX": f"image_{port}_",
        "C2C_SECRET": "a-secret-of-the-image-test",
        "C2C_HEALTH_URL": f"http://127.0.0.1:{port}/api",
        "GUNICORN_PARAMS": f"-b 127.0.0.1:{port} --worker-class gthread --threads 4 --workers 2",
    }


@pytest.fixture(scope="session")
def acceptance(builder: Builder) -> Image:
    """Give the demo's image, which stands on ``light``."""
    return builder.build("acceptance")


def test_light_has_every_command_and_no_compiler(builder: Builder, run: Run) -> None:
    """The image knows its ini file by name, says in one line that it is missing, and cannot build anything."""
    light = builder.build("light")
    assert light.command == ("c2c-run",)
    code, said = _output(run(light, light.command))
    assert (code, said.strip()) == (2, "c2c-run: /app/production.ini: no such file")
    code, said = _output(run(light, ("sh", "-c", "command -v gcc make psql; id -u; c2c-settings | head -1; pip check")))
    assert said.splitlines()[0] == "33333"
    assert "No broken requirements found" in said


@pytest.mark.parametrize("user", [None, "1000770000"], ids=["www", "a random user, as on OpenShift"])
def test_the_service_answers_and_is_healthy(
    acceptance: Image, servers: tuple[PostgresPair, Redis], run: Run, stop: Stop, user: str | None
) -> None:
    """The image's own command serves; its health check passes, and fails when the service is gone."""
    port = free_port()
    environ = _environ(servers, port)
    service = run(acceptance, acceptance.command, environ, user)
    url = f"http://127.0.0.1:{port}/api"
    assert json.loads(_answer(f"{url}/hello", service))["server"] == "replica"
    members = urllib.request.Request(f"{url}/c2c/members", headers={"X-API-Key": environ["C2C_SECRET"]})
    with urllib.request.urlopen(members, timeout=30) as answer:
        assert json.loads(answer.read())["complete"]
    assert json.loads(_answer(f"{url}/c2c/versions.json", service))["main"]["git_hash"] == "0a1b2c3"
    code, said = _output(run(acceptance, acceptance.healthcheck, environ, user))
    assert code == 0, said
    assert "pass db_engine_sqlalchemy " in said
    stop(service)
    assert _output(run(acceptance, acceptance.healthcheck, environ, user))[0] == 1


def test_nothing_of_the_image_is_the_users_own(acceptance: Image, run: Run) -> None:
    """Who breaks into the service can't change its code."""
    script = "id -u; find /app /venv -writable -not -type l | head -3; touch /app/x /venv/x"
    _, said = _output(run(acceptance, ("sh", "-c", script)))
    lines = said.splitlines()
    assert lines[0] == "33333"
    assert len(lines) == 3
    assert all("Permission denied" in line for line in lines[1:]), said


def test_migrations_run_in_the_image(acceptance: Image, servers: tuple[PostgresPair, Redis], run: Run) -> None:
    """The command of the composition's service ``migrations``."""
    command = ("alembic", "--config", "/app/alembic.ini", "upgrade", "head")
    code, said = _output(run(acceptance, command, _environ(servers, free_port())))
    assert code == 0, said


def test_full_builds_what_needs_a_compiler_and_gdal(builder: Builder, run: Run) -> None:
    """GDAL's programs and headers are there, and an extension that has no wheel can be built."""
    full = builder.build("full")
    program = '#include <gdal.h>\nint main(void) { return GDALVersionInfo("VERSION_NUM") == 0; }'
    script = (
        "gdalinfo --version && psql --version && cd /tmp && printf '%s' \"$PROGRAM\" > a.c"
        " && gcc a.c $(gdal-config --cflags) $(gdal-config --libs) -o a && ./a && id -u"
    )
    code, said = _output(run(full, ("bash", "-c", script), {"PROGRAM": program}))
    assert code == 0, said
    assert said.splitlines()[-1] == "33333"
