"""The real gunicorn."""

import os
import signal
import time

import pytest
import requests

from c2c_testing import servers
from c2c_testing.gunicorn import gunicorn as manager

APP = """
import os

LOADED_IN = os.getpid()

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {LOADED_IN} {os.environ.get('WORD')}".encode()]
"""


@pytest.fixture
def folder(tmp_path):
    """Give a folder with an application."""
    (tmp_path / "served.py").write_text(APP)
    return tmp_path


def ask(server):
    """Return the worker that answered, the process that loaded the application, and the word of its environment."""
    worker, loaded, word = requests.get(server.url, timeout=30).text.split()
    return int(worker), int(loaded), word


def eventually(what):
    """Wait until it is so."""
    deadline = time.monotonic() + 60
    while not what() and time.monotonic() < deadline:
        time.sleep(0.05)
    return what()


def test_serves_with_several_workers(gunicorn, folder):
    """Every worker is a process of its own, and the answers come from them."""
    server = gunicorn("served:app", workers=2, cwd=folder, env={"WORD": "hello"})
    assert len(server.pids()) == 2
    assert server.master not in server.pids()
    worker, loaded, word = ask(server)
    assert worker in server.pids()
    assert loaded == worker
    assert word == "hello"
    assert "Booting worker" in server.log_text()


def test_preload_loads_before_forking(gunicorn, folder):
    """With preload, the application is loaded in the arbiter."""
    server = gunicorn("served:app", preload=True, cwd=folder)
    assert ask(server)[1] == server.master


def test_a_killed_worker_is_replaced(gunicorn, folder):
    """The arbiter is the real one."""
    server = gunicorn("served:app", workers=2, cwd=folder)
    before = server.pids()
    os.kill(before[0], signal.SIGKILL)
    assert eventually(lambda: len(server.pids()) == 2 and before[0] not in server.pids())
    assert before[1] in server.pids()


def test_signals_reach_the_arbiter(gunicorn, folder):
    """HUP reloads all workers."""
    server = gunicorn("served:app", workers=2, cwd=folder)
    before = set(server.pids())
    server.signal(signal.SIGHUP)
    assert eventually(lambda: len(server.pids()) == 2 and not before & set(server.pids()))


def test_arguments_go_through(gunicorn, folder):
    """Recycling, for example: each worker answers once."""
    server = gunicorn("served:app", cwd=folder, args=["--max-requests", "1"], ready=None)
    assert len({ask(server)[0] for _ in range(3)}) == 3


def test_stops_starts_and_ends_with_the_with(folder):
    """The port stays over stop and start; at the end no process is left."""
    with manager("served:app", cwd=folder) as server:
        url, old = server.url, server.master
        server.stop()
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=30)
        server.start()
        new = server.master
        assert server.url == url
        assert new != old
        assert ask(server)
    with pytest.raises(ProcessLookupError):
        os.kill(new, 0)


def test_an_application_that_does_not_load_says_why(gunicorn, folder):
    """The error has gunicorn's own words."""
    with pytest.raises(servers.ServerError, match="No module named 'no_such_module'"):
        gunicorn("no_such_module:app", cwd=folder)
