"""Processes of one service on a host that reach each other without Redis, and with Redis dead."""

import contextlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from c2c_broadcast._call import MAX_MESSAGE, BadMessageError, Call
from c2c_broadcast._host import Exchange, _was_read, _whole
from c2c_testing.servers import stopped

_HERE = Path(__file__).parent


def get(server, path):
    """Return the JSON at a path."""
    with urllib.request.urlopen(server.url + path, timeout=60) as response:
        return json.load(response)


def pids(found):
    """Return the process ids in the answers."""
    return {answer["pid"] for answer in found["answers"]}


def all_answer(server):
    """Ask by a dozen connections at once, so that the idlest worker too is given one; tell whether all are heard."""
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda _: get(server, "/ask?timeout=5"), range(12)))
    return pids(found[-1]) == set(server.pids())


@pytest.fixture
def service(gunicorn, prefix):
    """Give a function that starts three workers, and returns the server when each has had a request."""

    def start(eventually, redis=None, **options):
        environment = {"C2C_BROADCAST_PREFIX": prefix, "C2C_REDIS_URL": getattr(redis, "url", "")}
        server = gunicorn("broadcast_app:app", cwd=_HERE, ready="/hello", env=environment, workers=3, **options)
        eventually(lambda: all_answer(server), 60)
        return server

    return start


def asked(server, stopped_pid):
    """Ask on a worker that goes on: a stopped one may be given the connection, so ask until another has it."""
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{server.url}/ask?timeout=1", timeout=3) as response:
            found = json.load(response)
            assert stopped_pid not in pids(found)
            return found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"preload": True},
        {"args": ["--threads", "4"]},
        {"args": ["-k", "gevent"]},
        {"args": ["-k", "gevent"], "preload": True},
    ],
)
def test_three_workers_without_a_setting(service, eventually, options):
    """All three answer; a stopped one is missing; a killed one is gone; a new one knows the state."""
    server = service(eventually, **options)
    found = get(server, "/ask")
    assert (len(found["answers"]), found["missing"], found["complete"]) == (3, [], True)
    assert all("c2c-broadcast-host" in answer["threads"] for answer in found["answers"])
    assert get(server, "/change?value=agreed") == {"everywhere": True}
    assert [answer["value"] for answer in get(server, "/ask")["answers"]] == ["agreed"] * 3
    first = server.pids()[0]
    with stopped(first):
        found = asked(server, first)
        assert [missing["pid"] for missing in found["missing"]] == [first]
        assert (len(found["answers"]), found["complete"]) == (2, False)
    eventually(lambda: get(server, "/ask")["complete"])
    os.kill(first, signal.SIGKILL)
    eventually(lambda: first not in server.pids() and len(server.pids()) == 3)
    found = get(server, "/ask?timeout=30")
    assert first not in pids(found) | {missing["pid"] for missing in found["missing"]}
    eventually(lambda: all_answer(server), 60)
    assert [answer["value"] for answer in get(server, "/ask")["answers"]] == ["agreed"] * 3


def test_reload_recycling_and_new_workers(service, eventually):
    """With HUP, TTIN and recycled workers nobody is forgotten, and those that are born know the state."""
    server = service(eventually, args=["--max-requests", "20"])
    get(server, "/change?value=kept")
    before = set(server.pids())
    server.signal(signal.SIGHUP)
    eventually(lambda: not before & set(server.pids()) and len(server.pids()) == 3, 60)
    server.signal(signal.SIGTTIN)
    eventually(lambda: len(server.pids()) == 4, 60)
    for _ in range(60):
        before = set(server.pids())
        found = get(server, "/ask?timeout=10")
        assert {answer["value"] for answer in found["answers"]} == {"kept"}
        named = pids(found) | {missing["pid"] for missing in found["missing"]}
        # Who lives before the question and after it is named, or it is not complete. One that has left is ending.
        unnamed = before & set(server.pids()) - named if found["complete"] else set()
        eventually(lambda unnamed=unnamed: not unnamed & set(server.pids()))
    # Each look replaces workers, too: on a slow machine they need a while to come.
    eventually(lambda: time.sleep(2) or all_answer(server), 120)


class Upgraded:
    """A gunicorn that can be told to start itself anew: as ``python -m gunicorn`` it can't."""

    def __init__(self, prefix):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [Path(sys.executable).with_name("gunicorn"), "--no-control-socket", "-b", f"127.0.0.1:{port}", "-w3"]
        environment = {**os.environ, "C2C_BROADCAST_PREFIX": prefix, "C2C_REDIS_URL": ""}
        self.masters = [subprocess.Popen([*command, "broadcast_app:app"], cwd=_HERE, env=environment)]

    def workers(self):
        """Return the masters of the workers that answer, and their values."""
        with contextlib.suppress(OSError):
            found = get(self, "/ask?timeout=5")
            return {(answer["parent"], answer["value"]) for answer in found["answers"]} if found["complete"] else None


def test_usr2(prefix, eventually):
    """The master that gunicorn starts anew is another family, and begins with what the one before it knows."""
    server = Upgraded(prefix)
    (old,), found = server.masters, set()
    try:
        assert eventually(server.workers, 60) == {(old.pid, None)}
        get(server, "/change?value=inherited")
        old.send_signal(signal.SIGUSR2)
        found = eventually(lambda: {one for one in server.workers() or () if one[0] != old.pid}, 60)
        old.send_signal(signal.SIGTERM)
        old.wait(60)
        assert {value for _, value in found} == {"inherited"}
        assert eventually(server.workers, 60) == found
    finally:
        old.kill()
        for parent, _ in found:
            os.kill(parent, signal.SIGTERM)


def test_a_worker_without_a_request_is_named(gunicorn, prefix, eventually):
    """A worker that has not begun to listen is no answer and no wait: it is named, and the answer is not complete."""
    environment = {"C2C_BROADCAST_PREFIX": prefix, "C2C_REDIS_URL": ""}
    server = gunicorn("broadcast_app:app", cwd=_HERE, ready=None, env=environment, workers=3)
    begin = time.monotonic()
    found = get(server, "/ask?timeout=60")
    assert time.monotonic() - begin < 50
    named = pids(found) | {missing["pid"] for missing in found["missing"]}
    assert named == set(server.pids())
    assert not found["complete"]
    # What is set now is known to those that begin later.
    assert get(server, "/change?value=early") == {"everywhere": True}
    eventually(lambda: len(pids(get(server, "/ask?timeout=5"))) == 3, 60)
    assert [answer["value"] for answer in get(server, "/ask")["answers"]] == ["early"] * 3


def test_redis_dead(service, new_redis_server, eventually):
    """With Redis killed all three still answer, at once; complete is false, as other hosts could not be asked."""
    redis = new_redis_server()
    server = service(eventually, redis)
    eventually(lambda: get(server, "/ask")["complete"])
    redis.kill()
    eventually(lambda: not get(server, "/ask?timeout=5")["complete"])
    begin = time.monotonic()
    found = get(server, "/ask?timeout=60")
    assert time.monotonic() - begin < 30
    assert (len(found["answers"]), found["missing"], found["complete"]) == (3, [], False)
    assert get(server, "/change?value=alone") == {"everywhere": False}
    assert [answer["value"] for answer in get(server, "/ask")["answers"]] == ["alone"] * 3
    first = server.pids()[0]
    os.kill(first, signal.SIGKILL)
    eventually(lambda: first not in server.pids() and len(server.pids()) == 3)
    eventually(lambda: all_answer(server), 60)
    assert [answer["value"] for answer in get(server, "/ask")["answers"]] == ["alone"] * 3
    redis.start()
    eventually(lambda: get(server, "/ask?timeout=5")["complete"], 30)


FAMILY = """
import json, os, sys, threading, time
from c2c_broadcast import SharedState, broadcast

broadcast.init({"c2c.broadcast_prefix": sys.argv[1]}, environ={})
state = SharedState("s")
broadcast.subscribe("who", lambda: {"value": state.get("k")})
broadcast.subscribe("big", lambda text: len(text))
broadcast.subscribe("slow", lambda seconds: time.sleep(seconds))
children = []
for _ in range(3):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        broadcast.start()
        os.write(writer, b"1")
        threading.Event().wait()
    os.read(reader, 1)
    children.append(child)
print(json.dumps(children), flush=True)
for line in sys.stdin:
    name, arguments = json.loads(line)
    if name == "ask":
        found = broadcast.ask(**arguments)
        line = {"answers": found.answers, "missing": [one.pid for one in found.missing],
                "late": [one.pid for one in found.late], "failed": len(found.failed), "complete": found.complete}
    elif name == "set":
        line = state.set("k", arguments["value"], timeout=arguments.get("timeout", 5)).everywhere
    elif name == "tell":
        begin = time.monotonic()
        broadcast.broadcast(**arguments)
        line = time.monotonic() - begin
    elif name == "fork":
        child = os.fork()
        if child == 0:
            known = state.get("k")
            broadcast.start()
            threading.Event().wait()
        line = child
    print(json.dumps(line), flush=True)
for child in children:
    os.kill(child, 9)
"""


class Family:
    """A process with three forked children that all take part; none of it is a server."""

    def __init__(self, prefix):
        self._process = subprocess.Popen(
            [sys.executable, "-c", FAMILY, prefix], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.children = json.loads(self._process.stdout.readline())
        self.pid = self._process.pid

    def __call__(self, name, **arguments):
        """Have the parent do something."""
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def ask(self, channel="who", **more):
        """Ask from the parent."""
        return self("ask", channel=channel, **more)

    def close(self):
        """End all of it."""
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._process.communicate(timeout=60)


@pytest.fixture
def family_of_four(prefix):
    """Give a family of four."""
    one = Family(prefix)
    yield one
    one.close()


def test_children_of_a_plain_program(family_of_four, eventually):
    """Forked children of a program are members; one that ends is gone at once; large messages go both ways."""
    one = family_of_four
    found = one.ask()
    assert pids(found) == {one.pid, *one.children}
    assert found["complete"]
    assert one.ask("big", params={"text": "x" * 9_000_000}, timeout=60)["answers"] == [9_000_000] * 4
    os.kill(one.children[0], signal.SIGKILL)
    found = one.ask(timeout=60)
    assert pids(found) == {one.pid, *one.children[1:]}
    assert (found["missing"], found["complete"]) == ([], True)


def test_partitions_and_faults(family_of_four, eventually):
    """Twenty times somebody is stopped, killed, born or slow: never is an answer called complete that is not."""
    one = family_of_four
    alive, silent = set(one.children), set()
    for number in range(20):
        kind = ("stop", "kill", "slow", "go", "born")[number % 5]
        victim = min(alive - silent, default=None)
        if kind == "stop":
            os.kill(victim, signal.SIGSTOP)
            # On a busy machine some threads go on for a while after the signal.
            tasks = Path(f"/proc/{victim}/task")
            eventually(lambda tasks=tasks: all(") T " in (one / "stat").read_text() for one in tasks.iterdir()))
            silent.add(victim)
        elif kind == "kill":
            os.kill(victim, signal.SIGKILL)
            alive.discard(victim)
        elif kind == "slow":
            found = one.ask("slow", params={"seconds": 5}, timeout=2)
            assert not found["complete"]
            assert set(found["late"]) == (alive - silent) | {one.pid}
            assert set(found["missing"]) == silent
        elif kind == "go":
            for pid in silent:
                os.kill(pid, signal.SIGCONT)
            silent = set()
        else:
            born = one("fork")
            one.children.append(born)
            alive.add(born)
            eventually(lambda born=born: born in pids(one.ask(timeout=5)), 60)
        found = one.ask(timeout=4 if silent else 30)
        assert set(found["missing"]) == silent, (number, kind)
        assert found["complete"] == (not silent), (number, kind)
        assert pids(found) == (alive - silent) | {one.pid}, (number, kind)


def test_state_of_a_family(family_of_four, eventually):
    """Everywhere is said where all acknowledged; one that is stopped makes it false; one that is born knows."""
    one = family_of_four
    assert one("set", value=1) is True
    assert [answer["value"] for answer in one.ask()["answers"]] == [1] * 4
    with stopped(one.children[0]):
        assert one("set", value=2, timeout=0.5) is False
    eventually(lambda: [answer["value"] for answer in one.ask(timeout=5)["answers"]] == [2] * 4)
    one.children.append(one("fork"))
    eventually(lambda: [answer["value"] for answer in one.ask(timeout=5)["answers"]] == [2] * 5)


def test_a_stopped_member_does_not_hold_up_who_wants_no_answer(family_of_four):
    """A small message is put down and read later; a large one is tried for a moment."""
    one = family_of_four
    with stopped(one.children[0]):
        assert one("tell", channel="who") < 20
        assert one("tell", channel="big", params={"text": "x" * 5_000_000}) < 20
        assert one.ask(timeout=3)["missing"] == [one.children[0]]


def test_without_a_folder_it_is_not_complete_unless_alone(new_broadcaster, monkeypatch, caplog):
    """Where no private folder can be had this process answers alone, that is said once, and workers are missing."""

    def refuse(name):
        raise OSError(f"no room for {name}")

    monkeypatch.setattr("c2c_broadcast._host.service_folder", refuse)
    one = new_broadcaster()
    one.subscribe("x", lambda: 1)
    found = one.ask("x")
    assert (found.answers, found.missing, found.complete) == ([1], [], True)
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(writer)
        os.read(reader, 1)  # until the parent closes its end
        os._exit(0)
    found = one.ask("x", timeout=1_000)
    os.close(writer)
    os.waitpid(pid, 0)
    os.close(reader)
    assert (found.answers, [member.pid for member in found.missing], found.complete) == ([1], [pid], False)
    assert caplog.text.count("can't be reached") == 1


def test_several_members_in_one_process(new_broadcaster):
    """Two broadcasters of one process and prefix are two members; another prefix is another service."""
    one, two, other = new_broadcaster(), new_broadcaster(), new_broadcaster(broadcast_prefix="another")
    for member in (one, two, other):
        member.subscribe("x", lambda: 1)
        member.start()
    assert one.ask("x").answers == [1, 1]
    assert len(one.members()) == 2
    assert other.ask("x").answers == [1]
    two.close()
    assert one.ask("x").complete
    assert one.ask("x").answers == [1]


def test_who_listens_without_a_callback_is_not_missing(new_broadcaster):
    """A member that has nothing subscribed says so, and nobody waits for it."""
    one, two = new_broadcaster(), new_broadcaster()
    two.start()
    one.subscribe("x", lambda: 1)
    found = one.ask("x", timeout=60)
    assert (found.answers, found.missing, found.complete) == ([1], [], True)


@pytest.mark.parametrize("data", [b"", b"junk!\n", b"\xff\xff\n", b"{}\n", b"half"])
def test_bad_messages(new_broadcaster, data):
    """What is no request is dropped; the listener lives."""
    one, two = new_broadcaster(), new_broadcaster()
    for member in (one, two):
        member.subscribe("x", lambda: 1)
        member.start()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(two.start().host.path))
        sock.sendall(data)
        assert one.ask("x", timeout=30).answers == [1, 1]
    assert two.health().listening


def test_a_message_without_an_end():
    """What is longer than any message is given up, not kept in memory until its end comes."""
    assert _whole(bytearray(b"half")) == b""
    assert _whole(bytearray(b"whole\n")) == b"whole\n"
    with pytest.raises(BadMessageError, match="without an end"):
        _whole(bytearray(MAX_MESSAGE + 10_000))


def test_read_or_not():
    """Bytes that the peer has not read are told from those that it has: late from missing."""
    near, far = socket.socketpair(socket.AF_UNIX)
    with near, far:
        assert _was_read(near)
        near.send(b"x")
        assert not _was_read(near)
        far.recv(1)
        assert _was_read(near)


def test_no_descriptor_for_a_connection(new_broadcaster):
    """A connection that can't be taken waits, and costs no processor time; it is served when one is free."""
    one = new_broadcaster()
    one.start()
    begin = time.process_time()
    with socket.socket(socket.AF_UNIX) as sock:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (sock.fileno() + 1, limits[1]))
        try:
            sock.connect(str(one.start().host.path))
            time.sleep(2)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert time.process_time() - begin < 1
        sock.sendall(b"\0\0\0\5junk!")
        sock.settimeout(30)
        assert sock.recv(1) == b""


@contextlib.contextmanager
def no_descriptor():
    """Let nothing be opened meanwhile."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_no_descriptor_to_ask_with(new_broadcaster):
    """The caller's own answer comes, at once, and the others are missing, not gone."""
    one, two = new_broadcaster(), new_broadcaster()
    for each in (one, two):
        each.subscribe("who", lambda: "me")
        each.start()
    assert one.ask("who", timeout=60).complete
    with no_descriptor():
        found = one.ask("who", timeout=1_000)
        assert len(one.members()) == 1
    assert (found.answers, len(found.missing), found.complete) == (["me"], 1, False)
    found = one.ask("who", timeout=60)
    assert (found.answers, found.complete) == (["me", "me"], True)


def test_no_descriptor_to_begin_with(new_broadcaster, eventually):
    """A process that can't open a socket for the others answers for itself, and begins when there is one."""
    one, two = new_broadcaster(), new_broadcaster()
    for each in (one, two):
        each.subscribe("who", lambda: "me")
    one.start()
    with no_descriptor():
        found = two.ask("who", timeout=1_000)
        assert (found.answers, found.complete, two.started) == (["me"], False, False)
    eventually(lambda: two.ask("who", timeout=60).answers == ["me", "me"])
    assert one.ask("who", timeout=60).answers == ["me", "me"]


def test_who_waits_sleeps(new_broadcaster):
    """An answer that came before others were expected wakes the asking thread once, not all the time."""
    me, call = new_broadcaster().members()[0], Call(1)
    exchange = Exchange(call)
    call.expect([me])
    call.answer(me.id, {"answer": 1})
    call.expect([replace(me, id="another")])
    assert select.select([call.fd], [], [], 0)[0]
    exchange.wait(0)
    assert not select.select([call.fd], [], [], 0)[0]
    call.close()


def test_many_threads_start_it_at_once(new_broadcaster):
    """The first requests may come in many threads: there is one member, and one listener, afterwards."""
    one = new_broadcaster()
    one.subscribe("x", lambda: 1)
    threads = [threading.Thread(target=one.start) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert one.ask("x").answers == [1]
    assert len(one.members()) == 1


FORKS = """
import os, random, sys, threading, time
from c2c_broadcast import broadcast
broadcast.init({"c2c.redis_url": sys.argv[1], "c2c.broadcast_prefix": sys.argv[2]}, environ={})
broadcast.subscribe("x", lambda: 1)
threading.Thread(target=broadcast.start).start()
wrong = 0
for number in range(200):
    time.sleep(random.uniform(0, 0.004))
    child = os.fork()
    if child == 0:
        "".encode("idna")
        if number % 4:
            os._exit(0 if broadcast.health().error is None else 2)  # nothing of the parent's hangs or is half
        found = broadcast.ask("x", timeout=20)
        os._exit(0 if any(found.answers) and broadcast.health().error is None else 3)
    wrong += os.waitpid(child, 0)[1] != 0
    if number % 20 == 0:
        broadcast.close()
        threading.Thread(target=broadcast.start).start()
print(wrong, flush=True)
broadcast.close()
"""


def test_two_hundred_forks_at_random_moments(redis_server, prefix):
    """Whatever the threads are doing when the process forks, each child asks, and reaches Redis by name."""
    url = f"redis://localhost:{redis_server.port}"
    command = [sys.executable, "-c", FORKS, url, prefix]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.stdout.split() == ["0"], done.stderr[-2000:]


def test_threads_import_nothing(redis_server, prefix):
    """What the threads need is imported before they start: a fork in the midst of an import leaves half a module."""
    program = (
        "import sys, time\n"
        "from c2c_broadcast import SharedState, broadcast\n"
        "broadcast.init({'c2c.redis_url': sys.argv[1], 'c2c.broadcast_prefix': sys.argv[2]}, environ={})\n"
        "state = SharedState('s', required=True)\n"
        "before = set(sys.modules)\n"
        "broadcast.subscribe('x', lambda: 1)\n"
        "assert broadcast.ask('x').answers == [1]\n"
        "state.set('k', 1, ttl=60), broadcast.health(), broadcast.close()\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    url = f"redis://localhost:{redis_server.port}"
    command = [sys.executable, "-c", program, url, prefix]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.stdout == "[]\n", done.stdout + done.stderr
