"""What fills the memory."""

import contextlib
import ctypes
import gc
import json
import linecache
import os
import re
import threading
import time

import pytest

from c2c_broadcast import Masker
from c2c_debug.heavy import deadline, tools_of
from c2c_debug.memory import memory
from c2c_debug.objects import short_repr
from c2c_debug.sizes import get_size
from c2c_testing.servers import stopped


class Leak:
    """Something to be found by its type."""

    def __init__(self, text="", repr_=None):
        self.text = text
        self.repr_ = repr_

    def __repr__(self):
        return self.repr_() if self.repr_ else f"<Leak {self.text}>"


LEAK = f"{__name__}.Leak"


def _one(service, query=""):
    (found,) = service.get(f"/debug/memory?{query}").json
    return found


def test_types_and_leaks(service):
    """Each process says what was collected, its most common types, and those nothing refers to."""
    found = _one(service, "limit=5")
    assert found["pid"] == os.getpid()
    assert len(found["nb_collected"]) == 3
    assert all(isinstance(number, int) for number in found["nb_collected"])
    names = [name for name, _ in found["most_common_types"]]
    assert len(names) == 5
    assert "builtins.function" in names
    counts = [count for _, count in found["most_common_types"]]
    assert counts == sorted(counts, reverse=True)
    assert "timeout" not in found


def test_what_a_master_froze(service):
    """Objects that the collector was told to leave alone before the fork (``gc.freeze``) are seen as all others."""
    frozen = [Leak("frozen") for _ in range(3)]
    gc.freeze()
    try:
        service.get("/debug/profile?seconds=0.1")  # which looks at no objects, and leaves them alone
        assert gc.get_freeze_count()
        assert len(_one(service, f"analyze_type={LEAK}")[LEAK]["biggest_objects"]) == len(frozen)
    finally:
        gc.unfreeze()


def test_an_object_that_nothing_refers_to(service):
    """What C code took and never gave back is told as leaking, with how many of it there are."""
    lost = [Leak("to C") for _ in range(3)]
    addresses = [id(one) for one in lost]
    for one in lost:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))
    del one
    lost.clear()
    assert [LEAK, 3] in _one(service, "limit=10000")["leaking_objects"]
    for address in addresses:
        ctypes.pythonapi.Py_DecRef(ctypes.cast(address, ctypes.py_object))


def test_too_many_objects():
    """What would take as much memory again is not looked for, which is said."""
    found = memory(limit=3, analyze_type="", internals=False, mask=Masker(), over=deadline(), most=1000)
    assert found["too_many"] > 1000
    assert found["leaking_objects"] is None
    assert len(found["most_common_types"]) == 3


def test_garbage_is_collected_and_counted(service):
    """A cycle that nobody needs is in ``nb_collected``."""
    gc.disable()
    try:
        for _ in range(100):
            one = Leak()
            one.me = one
        del one
        assert sum(_one(service)["nb_collected"]) >= 100
    finally:
        gc.enable()


def test_biggest_objects_of_a_type(service):
    """Objects of the type with all they hold, the biggest first, in kB."""
    kept = [Leak("small"), Leak("big" + "x" * 100_000), Leak("middle" + "x" * 5_000)]
    found = _one(service, f"limit=2&analyze_type={LEAK}")[LEAK]["biggest_objects"]
    assert [one["repr"][:9] for one in found] == ["<Leak big", "<Leak mid"]
    assert [len(one["repr"]) for one in found] == [200, 200]
    assert 97 < found[0]["size_kb"] < 110
    assert len(kept) == 3


class SubLeak(Leak):
    """Something that is found by its base class."""


class NoLeak:
    """A class that has no instance."""


def test_a_type_by_its_last_name_or_a_base_class(service):
    """The module may be left out; a subclass's objects count; a class without objects has an empty list."""
    kept = [Leak("here"), SubLeak("below" + "x" * 1000)]
    assert _one(service, "analyze_type=SubLeak")["SubLeak"]["biggest_objects"][0]["repr"].startswith("<Leak below")
    found = _one(service, f"analyze_type={LEAK}")[LEAK]["biggest_objects"]
    assert [one["repr"][:11] for one in found] == ["<Leak below", "<Leak here>"]
    assert _one(service, "analyze_type=NoLeak")["NoLeak"] == {"biggest_objects": []}
    assert len(kept) == 2


def test_an_unknown_type_is_a_404(service):
    """With near matches, as in the graph of references."""
    kept = Leak("here")
    message = service.get("/debug/memory?analyze_type=no.such.Leak", status=404).json["message"]
    assert "there is no no.such.Leak" in message
    assert LEAK in message
    assert kept


def test_an_unknown_type_has_no_objects(make_service):
    """Where the setting says so."""
    service = make_service(**{"c2c.debug_unknown_types": "none"})
    assert _one(service, "analyze_type=no.such.Leak")["no.such.Leak"] == {"biggest_objects": []}


def test_functions_by_module(service):
    """Of functions, how many each module has."""
    found = _one(service, "limit=1000&analyze_type=builtins.function")["builtins.function"]["modules"]
    modules = {one["module"]: one["nb_func"] for one in found}
    assert modules["pyramid.config"] > 3
    assert found[0]["nb_func"] == max(modules.values())


def test_files_in_linecache(service):
    """Of linecache, the files that it holds."""
    linecache.getlines(threading.__file__)
    found = _one(service, "limit=1000&analyze_type=linecache")["linecache"]["biggest_objects"]
    sizes = {one["filename"]: one["size_kb"] for one in found}
    assert 10 < sizes[threading.__file__] < 200


def test_internals_are_followed_when_wanted(service):
    """Modules and classes count only with ``python_internals_map``: everything leads to them."""
    holder = Leak()
    holder.module = json
    assert get_size(holder) < 2_000
    assert get_size(holder, python_internals_map=True) > 100_000
    shown = [
        _one(service, f"analyze_type={LEAK}{query}")[LEAK]["biggest_objects"][0]["size_kb"]
        for query in ("", "&python_internals_map=false", "&python_internals_map=true", "&python_internals_map")
    ]
    assert max(shown[:2]) < 10
    assert min(shown[2:]) > 90


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=-5", "limit"),
        ("limit=99999999", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("limit=1_0", "limit"),
        ("limit=%D9%A3", "limit"),
        ("python_internals_map=maybe", "python_internals_map"),
        ("analyze_type=" + "x" * 301, "analyze_type"),
        *((f"analyze_type={name}", "analyze_type") for name in ("hostname", "nb_collected", "pid", "timeout")),
    ],
)
def test_bad_parameters(service, query, names):
    """A 400 names the parameter."""
    assert service.get(f"/debug/memory?{query}", status=400).json["message"].startswith(names)


def test_reprs_show_no_secret_and_raise_nothing(make_service):
    """Secrets known from settings or by pattern are masked before the text is cut; a bad repr is said."""
    secret = "k" * 30 + "-known-secret"
    service = make_service(**{"my.password": secret})

    def bad():
        raise ValueError(secret)

    kept = [
        Leak("postgresql://me:hunter2@host/db"),
        Leak("x" * 180 + secret),
        Leak(repr_=bad),
        Leak(repr_=lambda: "x" * 10_000_000),
    ]
    answer = service.get(f"/debug/memory?analyze_type={LEAK}")
    assert "hunter2" not in answer.text
    assert "kkkk" not in answer.text
    reprs = [one["repr"] for one in answer.json[0][LEAK]["biggest_objects"]]
    assert any("whose repr raises ValueError" in one for one in reprs)
    assert all(len(one) <= 200 for one in reprs)
    assert len(kept) == 4


def test_patterns_made_of_secrets_are_not_shown(make_service):
    """A masker's own pattern is a list of all secrets; and a text is masked before repr escapes what is in it."""
    secret = "slash-'apostrophe'\\quote\"secret"
    service = make_service(**{"my.password": secret})
    kept = [re.compile(f"{re.escape(secret)}|another"), re.compile("plain [a-z]+"), Leak(secret)]
    patterns = service.get("/debug/memory?analyze_type=re.Pattern&limit=10000").text
    assert "apostrophe" not in patterns
    assert "plain [a-z]+" in patterns
    assert "apostrophe" not in service.get(f"/debug/memory?analyze_type={LEAK}").text
    assert "apostrophe" not in short_repr([secret, {secret: secret}], Masker([secret]))
    assert len(kept) == 3


def test_reprs_of_huge_containers_are_cheap():
    """Of a container only a part is looked at, and of a subclass's only the length."""

    class Mine(list):
        pass

    mask = Masker()
    assert len(short_repr(list(range(1_000_000)), mask)) <= 200
    assert short_repr(Mine(range(1_000)), mask).endswith("Mine of 1000 items>")
    assert short_repr({"password": "hunter2", "a": 1}, mask) == "{'a': 1, 'password': '***'}"
    assert len(short_repr(b"x" * 10_000_000, mask)) <= 200
    assert short_repr(b"x" * 50, mask) == f"{b'x' * 50!r}"


class _Clock:
    """A clock that moves by a second each time it is read."""

    now = 0.0

    def __call__(self):
        self.now += 1
        return self.now


def test_it_stops_at_the_deadline():
    """What was found until then is there, with ``timeout``: those that were measured in time, and never nothing."""
    kept = [Leak("x" * number) for number in range(1000)]
    for seconds, least, most in ((60, 20, 100), (0, 1, 1)):
        over = deadline(seconds, _Clock())
        found = memory(limit=2000, analyze_type=LEAK, internals=False, mask=Masker(), over=over)
        assert found["timeout"] is True
        assert found["leaking_objects"] is None
        assert len(found["most_common_types"]) > 10
        biggest = found[LEAK]["biggest_objects"]
        assert least <= len(biggest) <= most
        assert biggest == sorted(biggest, key=lambda one: -one["size_kb"])
    assert len(kept) == 1000


def test_one_heavy_call_at_a_time(service):
    """A second one is 429 and is told when to come back; afterwards it may."""
    service.app  # noqa: B018 # made before the gate is entered
    with tools_of(service.config.registry).alone("memory"):
        for path in ("memory", "memory_diff?path=/c2c/debug/time", "show_refs.dot?analyze_type=dict"):
            answer = service.get(f"/debug/{path}", status=429)
            assert answer.headers["Retry-After"] == "10"
            assert "memory is at work" in answer.json["message"]
        service.get("/debug/stacks")
    assert service.get("/debug/memory").json


def test_diff_of_a_request(service):
    """A request that leaks is seen by type, total and growth; one that does not is not."""
    kept = []

    def leaks(request):
        kept.extend(Leak() for _ in range(50))
        return request.response

    service.config.add_route("leaks", "/api/leaks")
    service.config.add_view(leaks, route_name="leaks")
    service.config.add_route("fine", "/api/fine")
    service.config.add_view(lambda request: request.response, route_name="fine")
    for query in ("?path=/api/leaks", "/api/leaks", "?path=/api/leaks%3Fa%3Db", "/api/leaks?no_warmup"):
        before = len(kept)
        found = service.get(f"/debug/memory_diff{query}").json
        requests = (len(kept) - before) // 50
        assert requests == (1 if "no_warmup" in query else 2)
        assert found[0] == [LEAK, len(kept), 50]
    assert all(name != LEAK for name, _, _ in service.get("/debug/memory_diff?path=/api/fine").json)


def test_diff_of_a_request_that_leaves_nothing(service, eventually):
    """What counts is not counted: of a request that leaves nothing there is nothing to tell."""
    service.config.add_route("fine", "/api/fine")
    service.config.add_view(lambda request: request.response, route_name="fine")
    eventually(lambda: service.get("/debug/memory_diff/api/fine").json == [])


def test_diff_of_a_path_that_ends_with_a_slash(service):
    """It is another path than the one without."""
    service.config.add_route("folder", "/api/folder/")
    service.config.add_view(lambda request: request.response, route_name="folder")
    assert isinstance(service.get("/debug/memory_diff/api/folder/").json, list)
    assert isinstance(service.get("/debug/memory_diff?path=/api/folder/").json, list)
    service.get("/debug/memory_diff/api/folder", status=404)


@pytest.mark.parametrize("query", ["?a=b&limit=9", "%3Fa=b"])
def test_diff_of_a_path_with_a_query(service, query):
    """The query of the path may be quoted in it, or stand behind it."""
    seen = []
    service.config.add_route("fine", "/api/fine")
    service.config.add_view(lambda request: seen.append(dict(request.GET)) or request.response, route_name="fine")
    service.get(f"/debug/memory_diff/api/fine{query}")
    assert seen == [{"a": "b"}] * 2


def test_diff_of_a_request_that_fails(service):
    """What an error leaves in memory is told, too; only nothing at all is a 404."""

    def fails(request):
        raise ValueError

    service.config.add_route("fails", "/api/fails")
    service.config.add_view(fails, route_name="fails")
    assert isinstance(service.get("/debug/memory_diff/api/fails").json, list)
    assert "/api/none" in service.get("/debug/memory_diff/api/none", status=404).json["message"]


def test_diff_knows_the_operator(service):
    """The inner request comes from the same client, so it may be to an operator's view."""
    assert isinstance(service.get("/debug/memory_diff?path=/c2c/debug/headers").json, list)


@pytest.mark.parametrize(
    "query", ["", "?path=", "?path=api", "?path=//evil/x", "?path=http://evil/", "?path=/x&limit=0"]
)
def test_diff_wants_a_path(service, query):
    """No path of this application is a 400."""
    assert service.get(f"/debug/memory_diff{query}", status=400).json["message"].startswith(("path", "limit"))


_APP = """
import os, time
from pathlib import Path
from pyramid.config import Configurator
from c2c_broadcast import broadcast

class Slow:
    def __repr__(self):
        Path(f"dumping-{os.getpid()}").touch()
        while not Path("enough").exists():
            time.sleep(0.05)
        return "slow"

SLOW = [Slow()]

def pings(request):
    answers = broadcast.ask("ping", timeout=30)
    return {"members": len(answers.answers), "complete": answers.complete}

def build():
    config = Configurator()
    config.include("c2c_debug")
    broadcast.subscribe("ping", lambda: {})
    config.add_route("pings", "/pings")
    config.add_view(pings, route_name="pings", renderer="json")
    return config.make_wsgi_app()

application = build()
"""


def test_a_dump_delays_nobody_and_a_second_one_is_refused(workers, eventually, tmp_path):
    """While all workers are at a dump, pings pass and a second heavy call is 429, whichever worker has it."""
    some = workers(_APP)
    eventually(lambda: json.loads(some.ask("GET", "/pings")[2])["members"] == 3)
    found = []
    dump = threading.Thread(target=lambda: found.extend(some.get("/debug/memory?analyze_type=service.Slow")))
    dump.start()
    try:
        eventually(lambda: all((tmp_path / f"dumping-{pid}").exists() for pid in some.server.pids()))
        for _ in range(8):
            assert some.ask("GET", "/c2c/debug/memory")[0] == 429
            assert json.loads(some.ask("GET", "/pings")[2]) == {"members": 3, "complete": True}
        assert dump.is_alive()
    finally:
        (tmp_path / "enough").touch()
        dump.join(120)
    assert sorted(one["pid"] for one in found) == sorted(some.server.pids())
    assert all(one["service.Slow"]["biggest_objects"][0]["repr"] == "slow" for one in found)


def test_who_does_not_answer_is_named(workers, eventually):
    """A stopped worker has its entry in the answer."""
    some = workers(_APP)
    eventually(lambda: json.loads(some.ask("GET", "/pings")[2])["members"] == 3)
    one = some.server.pids()[0]

    def dump():
        with contextlib.suppress(OSError):
            found = some.get("/debug/memory?limit=3", timeout=90)
            return [each["pid"] for each in found if "missing" in each] == [one] and found

    with stopped(one):
        found = eventually(dump, 300)
    assert {each["pid"] for each in found} == set(some.server.pids())
    assert next(each for each in found if "missing" in each)["last_seen"] > time.time() - 600
