"""``c2c-health-check``: over HTTP, and of an application in its own process."""

import subprocess
import sys
import threading
from functools import partial
from importlib.metadata import version
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from c2c_health._command import main, report_url

_COMMAND = Path(sys.executable).with_name("c2c-health-check")

_APP = """
from pyramid.config import Configurator
from c2c_health import HealthCheck

def factory(global_config, **settings):
    if settings.get("broken"):
        raise ValueError("password=hunter22 is wrong")
    config = Configurator(settings=settings)
    if not settings.get("without"):
        health = HealthCheck(config)
        health.add_custom_check("good", lambda request: None)
        health.add_custom_check("bad", lambda request: 1 / 0, level=2)
    return config.make_wsgi_app()
"""


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def url(service):
    """Serve an application with a good check of level 1 and a bad one of level 2."""
    made = service()
    made.health.add_custom_check("good", lambda request: None)
    made.health.add_custom_check("bad", lambda request: 1 / 0, level=2)
    server = make_server("127.0.0.1", 0, made.app.app, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_over_http(url, capsys):
    """0 when all pass, 1 when one fails; one line a check."""
    assert main([url]) == 0
    assert capsys.readouterr().out.startswith("pass good level=1 ")
    assert main([f"{url}/", "--max-level", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("fail bad level=2 ")
    assert lines[0].endswith("division by zero")
    assert main([f"{url}/c2c/health_check?checks=bad"]) == 1
    assert main([f"{url}/c2c/health/ready"]) == 0
    assert main([f"{url}/c2c/health_check?max_level=0"]) == 0


def test_the_command_itself(url):
    """As a container's HEALTHCHECK runs it."""
    assert subprocess.run([_COMMAND, url], capture_output=True, check=False).returncode == 0
    assert subprocess.run([_COMMAND, url, "--max-level", "2"], capture_output=True, check=False).returncode == 1


def test_nobody_answers(http_sink, capsys, monkeypatch):
    """1, and the reason."""
    with http_sink.down():
        assert main([http_sink.url]) == 1
    assert "no answer: the connection was refused" in capsys.readouterr().out
    monkeypatch.setattr("c2c_health._command._TIMEOUT", 0.2)
    http_sink.answer(delay=60)
    assert main([http_sink.url]) == 1
    assert "no answer: no answer within 0.2 s (time-out)" in capsys.readouterr().out
    assert main(["http://nowhere.invalid"]) == 1
    assert "no answer: its name can't be resolved (DNS)" in capsys.readouterr().out
    http_sink.clear()
    for body in (b"<html>", b"[]", b'{"status": 200}'):
        http_sink.answer(body=body)
        assert main([http_sink.url]) == 1


@pytest.mark.parametrize(
    "body",
    [b'{"successes": ["a"], "failures": {}}', b'{"successes": {"a": {}}, "failures": {}}', b'{"successes": {}}', b"3"],
)
def test_the_report_of_another_program(http_sink, capsys, body):
    """What is no report of ours is a failure, whatever it looks like."""
    http_sink.answer(body=body)
    assert main([http_sink.url]) == 1
    assert "answered 200, not with a report" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["http://[::1"], ["http://x", "--max-level", "x"], ["http://x", "--nothing"], []]
)
def test_what_makes_no_sense(arguments):
    """2, in words."""
    done = subprocess.run([_COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("c2c-health-check: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["c2c-health-check", "c2c-genversion"])
def test_version_and_help(command):
    """The package's version; what there is, in plain text."""
    run = partial(subprocess.run, capture_output=True, text=True, check=True)
    assert run([_COMMAND.with_name(command), "--version"]).stdout == f"{command} {version('c2c-health')}\n"
    assert f"usage: {command}" in run([_COMMAND.with_name(command), "--help"]).stdout


def test_a_wrong_name_over_http(url, capsys):
    """2, with what the service says."""
    assert main([f"{url}/c2c/health_check?checks=goood"]) == 2
    assert "Unknown health check: goood" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("http://h:1", "http://h:1/c2c/health_check?max_level=3"),
        ("http://h:1/api/", "http://h:1/api/c2c/health_check?max_level=3"),
        ("http://h/c2c/health_check", "http://h/c2c/health_check?max_level=3"),
        ("http://h/c2c/health_check?max_level=1", "http://h/c2c/health_check?max_level=1"),
        ("http://h/x/health/ready", "http://h/x/health/ready"),
    ],
)
def test_report_url(target, found):
    """A service's address is completed; a report's is taken as it is."""
    assert report_url(target, "/c2c", "3") == found


@pytest.fixture
def ini(tmp_path):
    """Write ini files: ``ini("without = 1")``; their application is run in processes of their own."""
    (tmp_path / "checked_service.py").write_text(_APP)

    def write(more=""):
        path = tmp_path / "production.ini"
        path.write_text(f"[app:main]\npaste.app_factory = checked_service:factory\n{more}\n")
        return path

    return write


def _run(ini, *arguments):
    return subprocess.run(
        [_COMMAND, ini.name, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ini.parent,
        env={"PYTHONPATH": str(ini.parent), "PATH": ""},
    )


def test_an_ini_file(ini):
    """The application is built and checked in this process: no server is needed."""
    done = _run(ini())
    assert (done.returncode, done.stdout.split()[:2]) == (0, ["pass", "good"])
    done = _run(ini(), "--max-level", "2")
    assert done.returncode == 1
    assert "fail bad level=2" in done.stdout


def test_an_ini_file_in_another_folder(ini, tmp_path_factory):
    """What it imports is looked for beside it, as c2c-run does, wherever the command is started."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = subprocess.run(
        [_COMMAND, str(ini())], capture_output=True, text=True, check=False, cwd=elsewhere, env={"PATH": ""}
    )
    assert (done.returncode, done.stdout.split()[:2]) == (0, ["pass", "good"]), done.stderr


@pytest.mark.parametrize(
    ("more", "arguments", "message"),
    [
        ("without = 1", [], 'no config.include("c2c_health")'),
        ("broken = 1", [], "it does not start: ValueError: password=*** is wrong"),
        ("", ["--max-level", "-1"], "a whole number from 0"),
    ],
)
def test_what_can_not_be_checked(ini, more, arguments, message):
    """2, and one line without a secret."""
    done = _run(ini(more), *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_no_such_file(capsys):
    """2, naming both things that it could be."""
    assert main(["nowhere.ini"]) == 2
    assert "no such file, and it is no URL" in capsys.readouterr().err


def test_running_is_another_packages(capsys, tmp_path, monkeypatch):
    """``--running`` prints what a package tells by its entry point, and says what is missing where there is none."""
    with pytest.raises(SystemExit) as ended:
        main(["--running"])
    assert ended.value.code == 2
    assert "pip install c2c-debug" in capsys.readouterr().err
    (tmp_path / "teller-1.dist-info").mkdir()
    (tmp_path / "teller-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: teller\nVersion: 1\n")
    (tmp_path / "teller-1.dist-info" / "entry_points.txt").write_text("[c2c.running]\nteller = teller:text\n")
    (tmp_path / "teller.py").write_text("def text():\n    return 'GET /slow\\n'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["--running"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "GET /slow\n"
