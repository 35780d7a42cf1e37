"""A tiny Pyramid service in a folder of its own, and what starts it for real."""

import contextlib
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from c2c_testing.servers import free_port

BIN = Path(sys.executable).parent
# What the tiny service has no use for. To start is half the time with these left out; test_exclude has all of them.
UNUSED = "c2c_sentry c2c_stats c2c_rest c2c_db c2c_page c2c_auth"
MASTERS = "c2c_health c2c_debug"

TINY = """
import gc, logging, os, re, signal, threading, time
from pathlib import Path
from pyramid.config import Configurator
from c2c_broadcast import broadcast

LOG = logging.getLogger("tiny")
LOG.warning("tiny is imported")


def slow(request):
    Path("slow").touch()
    end = time.monotonic() + 60
    while not Path("go").exists() and time.monotonic() < end:
        time.sleep(0.01)
    return {"pid": os.getpid()}


def main(global_config, **settings):
    LOG.warning("tiny is built")
    config = Configurator(settings=settings)
    broadcast.subscribe("tiny", lambda: {})
    views = {
        "hello": lambda request: {"pid": os.getpid(), "ppid": os.getppid(), "settings": dict(settings)},
        "host": lambda request: request.domain,
        "frozen": lambda request: gc.get_freeze_count(),
        "asked": lambda request: [answer["pid"] for answer in broadcast.ask("tiny").answers],
        "globals": lambda request: dict(global_config),
        "slow": slow,
        "sleep": lambda request: Path("sleeping").touch() or time.sleep(1000),
        "stuck": lambda request: re.match("(a+)+$", "a" * 50 + "b"),
    }
    for name, view in views.items():
        config.add_route(name, "/" + name)
        config.add_view(view, route_name=name, renderer="json")
    return config.make_wsgi_app()


class Marked:
    def __init__(self, app, global_conf, mark):
        self.app, self.mark = app, mark

    def __call__(self, environ, start_response):
        def start(status, headers, exc_info=None):
            return start_response(status, [*headers, ("X-Marked", self.mark)], exc_info)
        return self.app(environ, start)
"""

LOGGING = """
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = line
[logger_root]
level = INFO
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stdout,)
formatter = line
[formatter_line]
format = INI|%(process)d|%(levelname)s|%(name)s|%(message)s
"""

PRODUCTION = f"""
[app:main]
use = call:tiny:main
{LOGGING}
[server:main]
use = egg:waitress#main
listen = 127.0.0.1:%(TINY_PORT)s
"""


def until(true, seconds=120):
    """Wait until ``true()`` is truthy and return that; fail after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := true():
            return value
        time.sleep(0.02)
    raise AssertionError(f"still not true after {seconds} s")


@dataclass
class Process:
    """A server process: its log file holds both of its outputs."""

    popen: subprocess.Popen
    port: int
    log_path: Path

    @property
    def log(self):
        """What it has printed so far."""
        return self.log_path.read_text()

    def get(self, path, headers=None):
        """Return status, headers and JSON body; a connection a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), json.loads(answer.read())

    def up(self):
        """Wait until it answers."""

        def answers():
            assert self.popen.poll() is None, self.log
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.get("/hello")[0] == 200

        until(answers)
        return self

    def workers(self, count, but=()):
        """Ask until so many different workers have answered, and return their pids, without those in ``but``."""
        seen = set()
        until(lambda: seen.update({self.get("/hello")[2]["pid"]}.difference(but)) or len(seen) >= count)
        return seen

    def stop(self, number=signal.SIGTERM):
        """Send a signal and return the exit status."""
        self.popen.send_signal(number)
        return self.popen.wait(60)


@dataclass
class Folder:
    """A folder with tiny.py and ini files."""

    path: Path
    processes: list = field(default_factory=list)

    #: For C2C_EXCLUDE: what the tiny service does not use, and what gunicorn's master uses, too.
    unused, nothing = UNUSED, f"{UNUSED} {MASTERS}"
    free_port = staticmethod(free_port)
    until = staticmethod(until)

    def write(self, name, text):
        """Write a file and return its path."""
        (self.path / name).write_text(text)
        return self.path / name

    def setting(self, line):
        """Add a line to [app:main] of production.ini."""
        self.write("production.ini", PRODUCTION.replace("tiny:main", f"tiny:main\n{line}"))

    def logging(self, text):
        """Add lines to the end of production.ini, sections as they are named there replaced."""
        parts = {part.partition("]")[0]: part for part in f"{LOGGING}{text}".split("\n[") if part.strip()}
        self.write("production.ini", "[app:main]\nuse = call:tiny:main\n[" + "\n[".join(parts.values()))

    def environ(self, **more):
        """Return an environment without what the tests were started with."""
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("C2C", "GUNICORN"))}
        ours |= {"PYTHONPATH": str(self.path), "HOME": str(self.path), "PYTHONWARNINGS": "ignore"}
        return ours | {"C2C_HEALTH_LINGER": "0"} | more

    def run(self, *command, stdin="", **environ):
        """Run a command of the environment's bin to its end."""
        return subprocess.run(
            [BIN / command[0], *command[1:]],
            cwd=self.path,
            env=self.environ(**environ),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def call(self, name, *arguments, **environ):
        """Run a command's function here, as its script would do in a process of its own."""
        (point,) = entry_points(group="console_scripts", name=name)
        before, argv = dict(os.environ), sys.argv
        out, err = io.StringIO(), io.StringIO()
        os.environ.clear()
        os.environ.update(self.environ(**environ))
        sys.argv = [name, *arguments]
        try:
            with contextlib.chdir(self.path), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = point.load()()
        except SystemExit as error:
            status = error.code
        finally:
            os.environ.clear()
            os.environ.update(before)
            sys.argv = argv
        return subprocess.CompletedProcess([name, *arguments], status or 0, out.getvalue(), err.getvalue())

    def python(self, code, **environ):
        """Run Python code to its end and return what it prints."""
        done = self.run("python", "-c", code, **environ)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *command, port, **environ):
        """Start a server; its log file gets both of its outputs."""
        log = self.path / f"log-{len(self.processes)}"
        with log.open("w") as out:
            popen = subprocess.Popen(
                [BIN / command[0], *command[1:]],
                cwd=self.path,
                env=self.environ(**environ),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(popen)
        return Process(popen, port, log)

    def serve(self, *arguments, params="--worker-class gthread --threads 4 --workers 2", **environ):
        """Start c2c-run on a free port, and wait for it; without the packages that are of no use to it."""
        port = free_port()
        environ = {
            "C2C_EXCLUDE": UNUSED,
            "C2CWSGIUTILS_CONFIG": "production.ini",
            "GUNICORN_PARAMS": f"-b 127.0.0.1:{port} {params}",
        } | environ
        return self.start("c2c-run", *arguments, port=port, **environ).up()


@contextlib.contextmanager
def tiny_folder(path):
    """Put the tiny service into a folder; what is started there ends with the block."""
    folder = Folder(path)
    folder.write("tiny.py", TINY)
    folder.write("production.ini", PRODUCTION)
    yield folder
    # Not by the group of each: of one that has ended the number may be another's by now, of a test that runs beside.
    for pid in _inside(folder.path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for popen in folder.processes:
        popen.kill()
        popen.wait()


def _inside(path):
    """Yield the processes whose current folder is this one."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == path:
                yield int(process.name)


@pytest.fixture
def folder(tmp_path):
    """A folder with the tiny service; what is started there ends with the test."""
    with tiny_folder(tmp_path) as folder:
        yield folder


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory):
    """A folder with the tiny service for what several tests of a module look at."""
    with tiny_folder(tmp_path_factory.mktemp("shared")) as folder:
        yield folder
