"""The same interface over local processes, which are real ones."""

import json
import os
import signal
import socket
import sys
import time
import urllib.request

import pytest

from c2c_testing import servers, utils
from c2c_testing.composition import CommandError, ContainerDiedError, LocalComposition, _local

# Serves what its argument says on its port; /die ends it, after it told the log.
PROGRAM = """
import http.server, os, signal, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/die":
            sys.stdout.write("out of cheese")
            sys.stdout.flush()
            os._exit(3)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(" ".join([sys.argv[1], os.environ.get("WORD", "-"), str(os.getpid())]).encode())

    def log_message(self, *_):
        pass

def end(*_):
    print("ends in order")
    sys.exit()

signal.signal(signal.SIGTERM, end)
print(sys.argv[1], "starts")
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

DESCRIPTION = """
[ports]
WEB_PORT = 0
DB_PORT = 0

[environment]
WORD = "hello"

[services.web]
command = "python server.py web"
environment = { PORT = "${WEB_PORT}" }
ready = "http://127.0.0.1:${WEB_PORT}/"
depends = ["db", "migrate"]

[services.migrate]
command = ["python", "-c", "open('migrated', 'w').write('done')"]
ready = "exit"
depends = ["db"]

[services.db]
command = ["python", "server.py", "db of ${OWNER}"]
environment = { PORT = "${DB_PORT}", WORD = "other" }
ready = "${DB_PORT}"
"""


class Request:
    """As pytest's fixture, for a composition whose processes die: this test itself does not use it."""

    fixturename = "another"

    def __init__(self, request):
        self.config = request.config
        self.finalizers = []
        self.addfinalizer = self.finalizers.append

    def end(self):
        """End what was begun, last first."""
        while self.finalizers:
            self.finalizers.pop()()


@pytest.fixture
def begin(request, tmp_path, monkeypatch):
    """Give a function that begins a composition of such a description, and ends it with the test."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "server.py").write_text(PROGRAM)
    mine = Request(request)

    def begin(description=DESCRIPTION, **options):
        (tmp_path / "composition.toml").write_text(description)
        options.setdefault("environment", {"OWNER": "us"})
        return LocalComposition(mine, "shop", "composition.toml", **options)

    begin.end = mine.end
    yield begin
    mine.end()


def ask(composition, variable="WEB_PORT", path="/"):
    """Return the words that a service answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{composition.environment[variable]}{path}", timeout=30) as answer:
        return answer.read().decode().split()


def wait_death(composition):
    """Wait until one is known, without the tools that it would end."""
    deadline = time.monotonic() + 30
    while not composition._journal.deaths and time.monotonic() < deadline:
        composition.logs()
        time.sleep(0.02)
    assert composition._journal.deaths


def test_starts_stops_and_commands(begin, tmp_path):
    """In the order of what depends on what, each ready; stop, start, restart, run, exec; ended in order."""
    composition = begin(coverage_paths=["web:migrated"])
    assert (tmp_path / "migrated").read_text() == "done"
    *words, first = ask(composition)
    assert words == ["web", "hello"]
    assert ask(composition, "DB_PORT")[:-1] == ["db", "of", "us", "other"]
    assert [line for line in composition.logs() if "starts" in line] == ["db | db of us starts", "web | web starts"]

    assert composition.run("db", "sh", "-c", "echo $WORD; pwd") == f"other\n{tmp_path}\n"
    assert composition.exec("web", "cat", input="text") == "text"
    assert composition.exec("web", "sh", "-c", "echo $WORD", env={"WORD": "more"}) == "more\n"
    (tmp_path / "migrated").unlink()
    assert composition.run("migrate") == "", "without a command, its own"
    assert (tmp_path / "migrated").exists()
    with pytest.raises(CommandError, match=r"ended with 3:\nout\nerr$"):
        composition.exec("db", "sh", "-c", "echo out; echo err >&2; exit 3")

    composition.restart("web")
    assert ask(composition)[-1] != first
    assert "ends in order" in composition.logs("web")
    composition.stop("web")
    with pytest.raises(OSError, match="refused"):
        ask(composition)
    with pytest.raises(RuntimeError, match="web is not running"):
        composition.exec("web", "true")
    composition.start("web")
    pid = int(ask(composition)[-1])
    with pytest.raises(ValueError, match=r"composition\.toml has no service 'wbe'; it has db, migrate, web"):
        composition.stop("wbe")

    begin.end()
    assert not os.path.exists(f"/proc/{pid}")  # noqa: PTH110 - shortest
    assert composition.logs()[-2:] == ["web | ends in order", "db | ends in order"]
    assert (tmp_path / "reports/coverage/web").read_text() == "done"


def test_a_death_ends_all_waiting(begin, http_sink):
    """With its last lines, the unfinished one too; a start mends it."""
    composition = begin()
    with pytest.raises(OSError, match=r"closed|reset"):
        ask(composition, path="/die")
    http_sink.answer(status=503)
    start = time.monotonic()
    with pytest.raises(ContainerDiedError) as raised:
        utils.wait_url(http_sink.url, timeout=600)
    assert time.monotonic() - start < 300
    assert str(raised.value) == "web died with status 3; its last lines:\nweb starts\nout of cheese"
    composition.start("web")
    assert ask(composition)
    pid = int(ask(composition, "DB_PORT")[-1])
    os.kill(pid, signal.SIGKILL)
    wait_death(composition)
    with pytest.raises(ContainerDiedError, match="db died with status -9"):
        begin.end()


def test_a_death_during_the_start(begin):
    """At once, not after the time-out; what started before ends."""
    description = DESCRIPTION.replace("open('migrated', 'w').write('done')", "import no_such_module")
    with pytest.raises(ContainerDiedError, match=r"(?s)migrate died with status 1.*No module named 'no_such_module'"):
        begin(description)
    begin.end()


def test_an_early_end_during_the_start(begin):
    """A server that ends with status 0 is not ready either."""
    with pytest.raises(servers.ServerError, match=r"web: .* ended with 0:\nbye"):
        begin('[services.web]\ncommand = "echo bye"\nready = 1024')


def test_a_command_that_ends_between_two_looks(begin, monkeypatch):
    """Who ended after it was looked at whether it has, and before the look whether it runs, is ready nevertheless."""
    looks, real = [], _local.LocalProcess._is_ready

    def first_too_early(process, pid):
        looks.append(process)
        if len(looks) > 1:
            return real(process, pid)
        while process.running:
            time.sleep(0.01)
        return False

    monkeypatch.setattr(_local.LocalProcess, "_is_ready", first_too_early)
    begin('[services.once]\ncommand = "true"\nready = "exit"')
    assert len(looks) > 1


def test_not_ready_in_time(begin):
    """The error has the last lines."""
    with pytest.raises(servers.ServerError, match=r"web: .* did not answer in 0\.5 s:\nthinking"):
        begin("[services.web]\ncommand = \"sh -c 'echo thinking; sleep 600'\"\nready = 1024\ntimeout = 0.5")


def test_no_program_and_a_busy_port(begin):
    """The error names the service."""
    with pytest.raises(servers.ServerError, match=r"web: FileNotFoundError: .*no-such-program"):
        begin('[services.web]\ncommand = "no-such-program"')
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(servers.PortBusyError, match=rf"web: Port {port} of 127\.0\.0\.1 is busy"):
            begin(f'[services.web]\ncommand = "true"\nready = "http://localhost:{port}/"')


def test_docker_start_0(begin, http_sink, monkeypatch):
    """It waits for the services that run, and touches none."""
    monkeypatch.setenv("docker_start", "0")
    http_sink.answer(status=503, times=2)
    composition = begin(f'[services.web]\ncommand = "false"\nready = "{http_sink.url}/up"')
    assert [request.path for request in http_sink.requests] == ["/up"] * 3
    with pytest.raises(RuntimeError, match=r"web was not started here \(docker_start=0\)"):
        composition.stop("web")


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("[services", "Expected ']'"),
        ("", "services: there is none"),
        ("[service.web]", "service: unknown; there are environment, ports, services"),
        ("[services]\nweb = 1", "services.web: not a table"),
        ("[services.web]\nready = 80", "services.web.command: missing"),
        (
            "[services.web]\ncomand = 'x'",
            "services.web.comand: unknown; there are command, environment, folder, ready, depends, timeout",
        ),
        ("[services.web]\ncommand = 1", "services.web.command: 1 is of a wrong type"),
        ("[services.web]\ncommand = [1.5]", "services.web.command: 1.5 is not a text"),
        ("[services.web]\ncommand = 'x ${NOT_THERE}'", "services.web.command: there is no variable NOT_THERE"),
        ("[services.web]\ncommand = 'x $(y)'", "services.web.command: '$(y)': a $ that is none of a variable"),
        ("[services.web]\ncommand = 'x'\nready = 'now'", "services.web.ready: 'now' is neither a URL, nor a port"),
        ("[services.web]\ncommand = 'x'\nready = 70000", "services.web.ready: 70000 is neither a URL, nor a port"),
        ("[services.web]\ncommand = 'x'\ndepends = ['db']", "services: one depends on db, which there is not"),
        ("[services.web]\ncommand = 'x'\ndepends = ['web']", "services: they depend on each other: web, web"),
        ("[ports]\nA = '80'\n[services.web]\ncommand = 'x'", "ports.A: '80' is no port; 0 is a free one"),
    ],
)
def test_bad_descriptions(begin, description, message):
    """The error names the file, the place and what is wrong; nothing is started."""
    with pytest.raises(ValueError, match=r"composition\.toml: ") as raised:
        begin(description)
    assert message in str(raised.value)


def test_variables(begin):
    """``${NAME}`` and ``$$``; the service's own win over the file's, these over those given, these over our own."""
    names = ("A", "B", "C", "D")
    composition = begin(
        """
        [environment]
        B = "file ${A}"
        C = "file"
        FLAG = 1
        [services.web]
        command = ["sleep", "600"]
        environment = { C = "service ${B}", D = "$$x" }
        """,
        environment={"A": "given", "B": "given"},
    )
    code = f"import json, os; print(json.dumps([os.environ[name] for name in {(*names, 'FLAG')}]))"
    words = json.loads(composition.run("web", sys.executable, "-c", code))
    assert words == ["given", "file given", "service file given", "$x", "1"]
    assert composition.environment["C"] == "file"


def test_all_ends_with_a_killed_pytest(pytester):
    """SIGKILL of the test run in the middle of a test: no process is left."""
    pytester.makefile(".toml", composition="[services.web]\ncommand = \"sh -c 'sleep 600; true'\"")
    pytester.makepyfile(
        """
        import os, signal
        from c2c_testing.composition import LocalComposition

        def test_it(request):
            composition = LocalComposition(request, "shop", "composition.toml")
            pids = composition._processes["web"].pids()
            open("pids", "w").write(" ".join(map(str, pids)))
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert pytester.runpytest_subprocess().ret == -signal.SIGKILL
    pids = (pytester.path / "pids").read_text().split()
    assert pids
    gone = lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids)  # noqa: E731, PTH110 - shortest
    assert utils.retry_timeout(gone, interval=0.05)
