"""Sampling profiles of threads and processes."""

import base64
import contextlib
import hashlib
import json
import os
import re
import socket
import threading

import pytest

from c2c_debug.heavy import tools_of
from c2c_debug.sampling import collapsed, sample, speedscope
from c2c_debug.stacks import Samples
from c2c_testing.servers import stopped


def _spins_here(end):
    while not end.is_set():
        sum(range(500))


@pytest.fixture
def busy():
    """Give a thread at work."""
    end = threading.Event()
    thread = threading.Thread(target=_spins_here, args=(end,), name="spinner", daemon=True)
    thread.start()
    yield thread
    end.set()
    thread.join(60)


def _of(answer, name):
    """Return what was seen of the thread of this name: each stack's frames, why it waited, and how often."""
    return [
        ([tuple(answer["frames"][index]) for index in one["frames"]], one["waiting"], count)
        for one in answer["stacks"]
        for _, each, count in one["threads"]
        if each == name
    ]


def test_a_thread_at_work_is_found(busy):
    """Its function is in each sample of it, with its line, and by the thread's name."""
    answer = sample(0.5, 50).answer()
    found = _of(answer, "spinner")
    assert busy.ident in [thread for one in answer["stacks"] for thread, name, _ in one["threads"] if name == "spinner"]
    lines = range(_spins_here.__code__.co_firstlineno, _spins_here.__code__.co_firstlineno + 3)
    for frames, waiting, _ in found:
        assert any(name == "_spins_here" and file == __file__ and line in lines for name, file, line in frames)
        assert frames[0][0] == "Thread._bootstrap"
        assert waiting is None
    assert sum(count for *_, count in found) == answer["samples"]
    assert 0.5 <= answer["seconds"] < 60


def test_the_sampler_itself_is_not_there(busy):
    """The thread that samples leaves itself out."""
    answer = sample(0.1, 100).answer()
    assert threading.get_ident() not in [thread for one in answer["stacks"] for thread, *_ in one["threads"]]


def test_where_a_thread_was_is_counted(eventually):
    """A thread has as many samples as there are; once it goes on it is found elsewhere."""
    first, second = threading.Event(), threading.Event()

    def waits_twice():
        first.wait()
        second.wait()

    thread = threading.Thread(target=waits_twice, name="waiter", daemon=True)
    thread.start()
    samples = Samples()
    try:
        for _ in range(20):
            samples.take()
        first.set()

        def lines():
            samples.take()
            found = _of(samples.answer(), "waiter")
            assert sum(count for *_, count in found) == samples.count
            return {line for frames, *_ in found for name, _, line in frames if name.endswith("waits_twice")}

        start = waits_twice.__code__.co_firstlineno
        eventually(lambda: {start + 1, start + 2} <= lines())
    finally:
        second.set()
        thread.join()


def _stands(end):
    exec("end.wait()", {"end": end})  # code that nobody keeps


def test_threads_and_code_come_and_go():
    """Threads that end, others that get their identifiers, and code that is no more are all counted."""
    samples = Samples()
    for number in range(50):
        end = threading.Event()
        thread = threading.Thread(target=_stands, args=(end,), name=f"short {number}", daemon=True)
        thread.start()
        samples.take()
        end.set()
        thread.join()
    answer = samples.answer()
    counted = [
        count for one in answer["stacks"] for thread, _, count in one["threads"] if thread != threading.get_ident()
    ]
    assert sum(counted) >= 50


def test_stacks_are_bounded(monkeypatch, busy):
    """Of more different stacks than are kept the samples are only counted."""
    monkeypatch.setattr("c2c_debug.stacks.MOST", 1)
    samples = Samples()
    for _ in range(3):
        samples.take()
    answer = samples.answer()
    assert len(answer["stacks"]) == 1
    assert answer["dropped"] >= 3  # the other one of at least two threads


class _Clock:
    """A clock that moves only as one sleeps."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_as_often_as_asked_for():
    """So many samples a second for so long."""
    clock = _Clock()
    assert sample(2, 100, clock, clock.sleep).count == pytest.approx(200, abs=1)
    assert sample(2, 10, clock, clock.sleep).count == pytest.approx(20, abs=1)


def test_late_samples_are_left_out():
    """After a pause it does not catch up."""
    clock = _Clock()

    def sleeps_long(seconds):
        clock.now += 0.5

    assert sample(2, 100, clock, sleeps_long).count <= 5


_ANSWER = {
    "hostname": "host",
    "pid": 7,
    "seconds": 1.0,
    "samples": 10,
    "dropped": 0,
    "frames": [
        ["main", "/app/main.py", 3],
        ["work;er", "/x/site-packages/lib/w.py", 9],
        ["wait", "/y/threading.py", 1],
    ],
    "stacks": [
        {"frames": [0, 1], "waiting": None, "threads": [[5, "T", 6]]},
        {"frames": [0, 2], "waiting": "lock", "threads": [[5, "T", 3], [6, "", 10]]},
        {"frames": [0], "waiting": None, "threads": [[5, "T", 1]]},
    ],
}


def test_collapsed():
    """A line for each stack: process, thread and frames by semicolons, then the count."""
    assert collapsed([_ANSWER]) == (
        "host/7;T;main (/app/main.py:3);work:er (lib/w.py:9) 6\n"
        "host/7;T;main (/app/main.py:3);wait (/y/threading.py:1);waiting: lock 3\n"
        "host/7;6;main (/app/main.py:3);wait (/y/threading.py:1);waiting: lock 10\n"
        "host/7;T;main (/app/main.py:3) 1\n"
    )


def test_speedscope_of_several_processes():
    """What the format's specification asks for: indexes in range, as many weights as samples, their sum at the end."""
    found = speedscope([_ANSWER, {**_ANSWER, "pid": 8}], "a name")
    assert found["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert found["name"] == "a name"
    assert [profile["name"] for profile in found["profiles"]] == [
        "host/7/T(5)",
        "host/8/T(5)",
        "host/7/(6)",
        "host/8/(6)",
    ]
    for profile in found["profiles"]:
        assert profile["type"] == "sampled"
        assert profile["unit"] == "seconds"
        assert len(profile["samples"]) == len(profile["weights"])
        assert profile["endValue"] == pytest.approx(1.0) == pytest.approx(sum(profile["weights"]))
        assert all(0 <= index < len(found["shared"]["frames"]) for one in profile["samples"] for index in one)
    frames = found["shared"]["frames"]
    assert [frames[index]["name"] for index in found["profiles"][1]["samples"][0]] == ["main", "work;er"]
    assert frames[0] == {"name": "main", "file": "/app/main.py", "line": 3}


def test_the_view_gives_speedscope_by_default(service, busy):
    """JSON, unless something else is asked for by name."""
    answer = service.get("/debug/profile?seconds=0.3&hz=50")
    assert answer.content_type == "application/json"
    assert answer.json["c2c"] == {"missing": [], "dropped": 0}
    names = [profile["name"] for profile in answer.json["profiles"]]
    assert f"{socket.gethostname()}/{os.getpid()}/spinner({busy.ident})" in names


@pytest.mark.parametrize(
    ("query", "content_type"),
    [
        ("&format=collapsed", "text/plain"),
        ("&format=html", "text/html"),
        ("&format=speedscope", "application/json"),
    ],
)
def test_forms(service, busy, query, content_type):
    """By parameter."""
    answer = service.get(f"/debug/profile?seconds=0.1&hz=20{query}")
    assert answer.content_type == content_type
    if content_type != "application/json":
        assert "_spins_here" in answer.text


def test_the_flame_graph_asks_nobody(service, busy):
    """One file: no address in it, and a policy that lets in its own script and style, by their hashes."""
    answer = service.get("/debug/profile?seconds=0.1&hz=20&format=html")
    assert not re.search(r"(?:src|href)\s*=", answer.text)
    assert "http" not in answer.text.partition('id="flame-data"')[0]
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        body = re.search(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)[1]
        assert base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() in policy
    data = re.search(r'id="flame-data">(.*?)</script>', answer.text, re.DOTALL)[1]
    assert f"{socket.gethostname()}/{os.getpid()};spinner;" in json.loads(data)


def test_no_name_can_leave_the_data(service):
    """A thread whose name is markup is a text in the flame graph."""
    end = threading.Event()
    name = "</script><script>alert(1)</script>"
    thread = threading.Thread(target=end.wait, name=name, daemon=True)
    thread.start()
    try:
        answer = service.get("/debug/profile?seconds=0.1&hz=20&format=html")
    finally:
        end.set()
        thread.join()
    assert "alert(1)" in answer.text
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("seconds=x", "seconds"),
        ("seconds=0", "seconds"),
        ("seconds=61", "seconds"),
        ("hz=0", "hz"),
        ("hz=1001", "hz"),
        ("hz=nan", "hz"),
        ("scope=some", "scope"),
        ("format=svg", "format"),
    ],
)
def test_bad_parameters(service, query, names):
    """A 400 names the parameter."""
    assert service.get(f"/debug/profile?{query}", status=400).json["message"].startswith(names)


def test_one_at_a_time(service):
    """A second one is 429, with the time to wait."""
    service.app  # noqa: B018 # made before the gate is entered
    with tools_of(service.config.registry).alone("profile"):
        answer = service.get("/debug/profile?seconds=0.1", status=429)
    assert answer.headers["Retry-After"] == "10"
    assert service.get("/debug/profile?seconds=0.1")


_APP = """
import threading
from pyramid.config import Configurator

def only_in_this_application():
    while True:
        sum(range(1000))
        threading.Event().wait(0.001)

def ping(request):
    # Not at import: threads do not survive the fork of --preload.
    if not any(thread.name == "busy" for thread in threading.enumerate()):
        threading.Thread(target=only_in_this_application, name="busy", daemon=True).start()
    return request.response

def build():
    config = Configurator()
    config.include("c2c_debug")
    config.add_route("ping", "/ping")
    config.add_view(ping, route_name="ping")
    return config.make_wsgi_app()

application = build()
"""


def test_all_processes(workers, eventually):
    """``scope=all`` has the threads of three workers; a stopped one is named; a second call elsewhere is 429."""
    some = workers(_APP)

    def profile():
        for _ in range(6):
            some.ask("GET", "/ping")
        with contextlib.suppress(OSError):
            return some.get("/debug/profile?seconds=1&hz=50&scope=all", timeout=40)

    def busy_pids(found):
        return {int(one["name"].split("/")[1]) for one in found["profiles"] if "/busy(" in one["name"]}

    eventually(lambda: busy_pids(profile()) == set(some.server.pids()))

    def status(query):
        return some.ask("GET", f"/c2c/debug/profile?{query}")[0]

    long = threading.Thread(target=lambda: eventually(lambda: status("seconds=12&scope=all") == 200))
    long.start()
    eventually(lambda: status("seconds=0.1") == 429)
    # A short one may have been first: then the long one begins anew.
    eventually(lambda: [status("seconds=0.1") for _ in range(6)] == [429] * 6)
    long.join(120)
    assert not long.is_alive()

    one = some.server.pids()[0]

    def the_others_are_there():
        found = profile()
        return found and [missing["pid"] for missing in found["c2c"]["missing"]] == [one] and found

    with stopped(one):
        found = eventually(the_others_are_there, 300)
    assert f"missing: {socket.gethostname()}/{one}" in found["name"]
