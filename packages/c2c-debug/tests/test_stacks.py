"""What threads are at: in this process, and in all of them."""

import concurrent.futures
import contextlib
import json
import os
import queue
import select
import socket
import threading
import time

import pytest

from c2c_broadcast import Answers
from c2c_debug.stacks import silent, take, text, together
from c2c_testing.servers import stopped


@contextlib.contextmanager
def _thread(name, run, end):
    """Run something in a thread that ends when ``end`` is called."""
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        end()
        thread.join(60)


def _of(found, name):
    """Return the entry of the thread of this name."""
    return next((entry for entry in found if any(f"/{name}(" in thread for thread in entry["threads"])), None)


def test_a_thread_is_shown_where_it_is(service, eventually):
    """File, line, function and source, oldest frame first; the thread by host, process, name and identifier."""
    event = threading.Event()

    def waits_here():
        event.wait()

    with _thread("one", waits_here, event.set) as thread:
        entry = eventually(
            lambda: (found := _of(service.get("/debug/stacks").json, "one")) and "waiting" in found and found
        )
        assert entry["threads"] == [f"{socket.gethostname()}/{os.getpid()}/one({thread.ident})"]
        frame = next(frame for frame in entry["frames"] if frame["function"].endswith("waits_here"))
        assert frame["file"] == __file__
        assert frame["code"] == "event.wait()"
        assert frame["line"] == waits_here.__code__.co_firstlineno + 1
        functions = [frame["function"].rpartition(".")[2] for frame in entry["frames"]]
        assert functions.index("waits_here") < functions.index("wait")
        assert entry["waiting"] == "lock"


def test_identical_stacks_are_one(service, eventually):
    """Ten threads that wait in the same place are one entry."""
    event = threading.Event()
    with contextlib.ExitStack() as stack:
        for number in range(10):
            stack.enter_context(_thread(f"same{number}", event.wait, event.set))
        entry = eventually(
            lambda: (found := _of(service.get("/debug/stacks").json, "same0")) and len(found["threads"]) == 10 and found
        )
        assert [thread for thread in entry["threads"] if "/same9(" in thread]


def test_identical_stacks_of_several_processes_are_one():
    """Those at work come first, then those that most threads have, wherever they are."""

    def answer(pid, *stacks):
        frames = [("f", "a.py", line, "code") for line in range(5)]
        found = [{"frames": [line], "waiting": waits, "threads": threads} for line, waits, threads in stacks]
        return {"hostname": "h", "pid": pid, "frames": frames, "stacks": found}

    def entry(line, *threads, **more):
        frames = [{"file": "a.py", "line": line, "function": "f", "code": "code"}]
        return {"frames": frames, "threads": list(threads), **more}

    waits = {"waiting": "lock"}
    first = answer(1, (1, "lock", [[1, "a", 1]]), (2, "lock", [[2, "b", 1]]), (3, None, [[3, "c", 1]]))
    second = answer(2, (2, "lock", [[6, "d", 1], [5, "b", 1]]), (4, "lock", [[7, "e", 1]]))
    assert together(Answers([first, second], [], [], [], complete=True)) == [
        entry(3, "h/1/c(3)"),
        entry(2, "h/1/b(2)", "h/2/b(5)", "h/2/d(6)", **waits),
        entry(1, "h/1/a(1)", **waits),
        entry(4, "h/2/e(7)", **waits),
    ]


def test_waiting_is_marked(service, eventually):
    """Lock, socket, select, pool and sleep are told apart; a thread at work is not marked."""
    done = threading.Event()
    lock = threading.Lock()
    lock.acquire()
    ours, theirs = socket.socketpair()
    waits = queue.Queue()
    simple = queue.SimpleQueue()

    def takes_lock():
        with lock:
            pass

    def gets_simply():
        return simple.get(), simple.get(timeout=60)

    def reads():
        ours.recv(1)

    def selects():
        select.select([ours], [], [], 60)

    def works():
        while not done.is_set():
            sum(range(1000))

    def sleeps():
        while not done.is_set():
            time.sleep(0.5)

    pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="pooled")
    pool.submit(int).result()
    with (
        _thread("takes_lock", takes_lock, lock.release),
        _thread("gets", waits.get, lambda: waits.put(None)),
        _thread("gets_simply", gets_simply, lambda: (simple.put(1), simple.put(2))),
        _thread("sleeps", sleeps, done.set),
        _thread("works", works, done.set),
        _thread("selects", selects, lambda: theirs.send(b"x")),
        _thread("reads", reads, lambda: theirs.send(b"xx")),
        pool,
    ):
        wanted = {
            "takes_lock": "lock",
            "gets": "lock",
            "gets_simply": "lock",
            "sleeps": "sleep",
            "works": None,
            "selects": "select",
            "reads": "socket",
            "pooled_0": "pool",
        }

        def marks():
            found = service.get("/debug/stacks").json
            entries = {name: _of(found, name) for name in wanted}
            return {name: entry and entry.get("waiting") for name, entry in entries.items()}

        eventually(lambda: marks() == wanted)
    ours.close()
    theirs.close()


def test_who_works_comes_first(service):
    """Entries without a mark are before those that wait."""
    found = ["waiting" in entry for entry in service.get("/debug/stacks").json]
    assert found == sorted(found)


def test_as_text(service, eventually):
    """``Accept: text/plain`` gives what people read."""
    event = threading.Event()
    with _thread("texted", event.wait, event.set):
        answer = eventually(
            lambda: (
                "texted(" in (found := service.get("/debug/stacks", headers={"Accept": "text/plain"})).text and found
            )
        )
        assert answer.content_type == "text/plain"
        assert f'File "{threading.__file__}", line ' in answer.text
        assert "  waiting: lock\n" in answer.text
        assert "Accept" in answer.vary
        assert "no-cache" in answer.headers["Cache-Control"]


def test_text_of_those_missing():
    """Who is missing, late or failed is said."""
    found = text(
        [
            {"frames": [], "threads": ["a/1"], "missing": True, "last_seen": 0.0},
            {"frames": [], "threads": ["a/2"], "missing": True, "late": True, "last_seen": 0.0},
            {"frames": [], "threads": ["a/3"], "error": "ValueError: no"},
        ]
    )
    assert (
        found
        == "a/1\n  missing: did not answer\n\na/2\n  missing: did not answer yet\n\na/3\n  failed: ValueError: no\n"
    )


def test_a_deep_recursion_is_cut(service, eventually):
    """Of a stack of many frames both ends are shown, and how many are left out."""
    event = threading.Event()

    def deep(left):
        if left:
            deep(left - 1)
        else:
            event.wait()

    with _thread("deep", lambda: deep(700), event.set):
        entry = eventually(
            lambda: (found := _of(service.get("/debug/stacks").json, "deep")) and "waiting" in found and found
        )
        functions = [frame["function"] for frame in entry["frames"]]
        assert len(functions) == 201
        assert "left out" in functions[100]
        assert 700 < int(functions[100].split()[1]) + 200 < 720
        assert entry["frames"][100] == {"file": "", "line": 0, "function": functions[100], "code": ""}
        assert functions[0].endswith("_bootstrap")
        assert functions[-1].endswith("wait")


def test_secrets_in_source_are_masked(service, eventually):
    """A line of source that holds a password is shown without it."""
    event = threading.Event()

    def connects():
        event.wait(password := 60)  # password='hunter2'
        return password

    with _thread("connects", connects, event.set):
        eventually(lambda: _of(service.get("/debug/stacks").json, "connects"))
        answer = service.get("/debug/stacks")
        assert "hunter2" not in json.dumps(_of(answer.json, "connects"))


def test_the_caller_is_among_them():
    """The core gives every thread, with where the caller called it from."""
    found = take()
    mine = next(one for one in found["stacks"] if threading.get_ident() in [thread for thread, *_ in one["threads"]])
    assert "test_the_caller_is_among_them" in [found["frames"][index][0] for index in mine["frames"]]


_APP = """
from pyramid.config import Configurator

def build():
    config = Configurator()
    config.include("c2c_debug")
    config.add_route("ping", "/ping")
    config.add_view(lambda request: request.response, route_name="ping")
    return config.make_wsgi_app()

application = build()
"""


@pytest.mark.parametrize("preload", [False, True])
def test_every_process_answers_and_who_does_not_is_named(workers, eventually, preload):
    """Three workers: all are in the answer; one that is stopped is named as missing."""
    some = workers(_APP, preload=preload)

    def pids(found):
        return {int(thread.split("/")[1]) for entry in found if entry["frames"] for thread in entry["threads"]}

    def all_answer():
        some.ask("GET", "/ping")  # a worker takes part from its first request on
        return pids(some.get("/debug/stacks")) == set(some.server.pids())

    eventually(all_answer)
    one = some.server.pids()[0]
    named = {"frames": [], "threads": [f"{socket.gethostname()}/{one}"], "hostname": socket.gethostname(), "pid": one}

    def the_others_answer():
        # The stopped one may have the connection in its backlog: the next request goes elsewhere.
        with contextlib.suppress(OSError):
            found = some.get("/debug/stacks", timeout=30)
            silent = [entry for entry in found if "missing" in entry]
            return (
                pids(found) == set(some.server.pids()) - {one}
                and len(silent) == 1
                and silent[0] == {**named, "missing": True, "last_seen": silent[0]["last_seen"]}
            )

    with stopped(one):
        eventually(the_others_answer, 180)
    eventually(all_answer)


def test_why_the_others_are_not_known():
    """Where there is no Redis, it is none that is away."""
    assert silent(Answers([], [], [], [], complete=True)) == []
    why = "the other processes are not known: the log says why"
    assert silent(Answers([], [], [], [], complete=False)) == [{"missing": True, "error": why}]
