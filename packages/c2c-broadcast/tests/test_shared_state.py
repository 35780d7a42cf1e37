"""Values that every process agrees on."""

import fcntl
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from c2c_broadcast import BroadcastError
from c2c_broadcast._call import BadMessageError, decode
from c2c_broadcast.shared_state import REMEMBERED, Entry, SharedState


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        """Return the time."""
        return self.now


@pytest.fixture
def changes():
    """Give a list for what ``on_change`` is told."""
    return []


@pytest.fixture
def state(new_broadcaster, changes):
    """Give the state of a process alone."""
    return SharedState(
        "s", lambda key, entry: changes.append((key, entry and entry.value)), broadcaster=new_broadcaster()
    )


def test_set_get_reset(state, changes):
    """A change is in force when the call returns, and was told."""
    entry = state.set("a.logger", "DEBUG", who="me", reason="a look")
    assert state.get("a.logger") == "DEBUG"
    assert changes == [("a.logger", "DEBUG")]
    assert state.entries() == {"a.logger": replace(entry, everywhere=None)}
    assert entry.everywhere
    assert (entry.who, entry.reason, entry.expires) == ("me", "a look", None)
    state.reset("a.logger")
    assert state.get("a.logger", "nothing") == "nothing"
    assert changes[1:] == [("a.logger", None)]
    state.reset("never.set")
    assert len(changes) == 2
    assert state.set("a.logger", "INFO").version > entry.version


def test_ttl_ends_without_redis(state, changes, eventually):
    """This process's own timer ends a value and tells so."""
    begin = time.monotonic()
    state.set("x", 1, ttl=0.3)
    state.set("long", 1, ttl=1000)
    assert state.get("x") == 1
    eventually(lambda: ("x", None) in changes)
    assert time.monotonic() - begin >= 0.29
    assert state.get("x") is None
    assert list(state.entries()) == ["long"]


def test_longer_ttl_replaces_the_timer(state, changes, eventually):
    """The timer of a value that was set again does not end the new value."""
    state.set("x", 1, ttl=0.2)
    state.set("x", 2, ttl=1000)
    state.set("marker", 1, ttl=0.4)
    eventually(lambda: ("marker", None) in changes)
    assert state.get("x") == 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"key": "", "value": 1}, "key"),
        ({"key": "k" * 201, "value": 1}, "key"),
        ({"key": 5, "value": 1}, "key"),
        ({"key": "k", "value": {1}}, "value"),
        ({"key": "k", "value": "v" * 70_000}, "value"),
        ({"key": "k", "value": 1, "ttl": 0}, "ttl"),
        ({"key": "k", "value": 1, "ttl": float("nan")}, "ttl"),
        ({"key": "k", "value": 1, "ttl": 1e12}, "ttl"),
        ({"key": "k", "value": 1, "ttl": "5"}, "ttl"),
    ],
)
def test_bounds(state, arguments, named):
    """What is out of bounds is an error that names it."""
    with pytest.raises(ValueError, match=named):
        state.set(**arguments)
    assert state.entries() == {}


def test_bad_name(new_broadcaster):
    """A state's name is a short printable text."""
    with pytest.raises(BroadcastError, match="name"):
        SharedState("a\n", broadcaster=new_broadcaster())


def test_two_objects_of_one_name_share(state, new_broadcaster, changes):
    """Two applications in one process have one state; the second is told of what is in force."""
    broadcaster = new_broadcaster()
    first = SharedState("s", broadcaster=broadcaster)
    first.set("a", 1)
    told = []
    second = SharedState("s", lambda key, entry: told.append((key, entry and entry.value)), broadcaster=broadcaster)
    assert told == [("a", 1)]
    second.set("b", 2)
    assert first.get("b") == 2
    second.close()
    first.set("c", 3)
    assert told == [("a", 1), ("b", 2)]


def test_listener_that_fails_or_sets(new_broadcaster, caplog):
    """What a listener raises is logged; a listener may set values of this and other states."""
    broadcaster = new_broadcaster()
    other = SharedState("other", broadcaster=broadcaster)
    seen = []

    def listener(key, entry):
        seen.append(key)
        if key == "first":
            state.set("second", 2)
            other.set("x", 1)
        raise RuntimeError("no")

    state = SharedState("s", listener, broadcaster=broadcaster)
    state.set("first", 1)
    assert seen == ["first", "second"]
    assert other.get("x") == 1
    assert "listener failed" in caplog.text


def entry(version, origin, value=1, key="k", **more):
    """Make an entry."""
    return Entry(key, value, version, origin, 1_000_000.0, **more)


@pytest.fixture
def core(new_broadcaster):
    """Give a state with its clock, and what takes entries and the store's content as other processes send them."""
    broadcaster, clock = new_broadcaster(), Clock()
    state = SharedState("s", broadcaster=broadcaster, clock=clock)
    shared = broadcaster.states["s"]
    return state, clock, lambda *entries: shared.apply(entries), shared.merge, shared


def test_order_decides_the_same_everywhere(core):
    """Whatever order entries come in, the one with the greatest version and origin is in force."""
    state, _, apply, _, _ = core
    entries = [entry(1, "a"), entry(2, "b", "early"), entry(2, "c", "late"), entry(1, "z")]
    for start in range(len(entries)):
        for item in entries[start:] + entries[:start]:
            apply(replace(item, key=f"k{start}"))
        assert state.get(f"k{start}") == "late"


def test_reset_and_end_are_not_undone(core):
    """An older value that comes late does not come back after a reset, nor after the end of a newer one."""
    state, clock, apply, _, _ = core
    apply(entry(3, "a", None, reset=True), entry(2, "b"))
    assert state.get("k") is None
    apply(entry(5, "a", 5, "x", expires=clock.now + 10))
    clock.now += 20
    apply(entry(4, "a", 4, "x"))
    assert state.get("x") is None


def store(*entries):
    """Return entries as Redis holds them."""
    return {one.key.encode(): one.dump().encode() for one in entries}


def test_ended_values_are_forgotten_at_last(core):
    """After a week nothing is left of an ended value."""
    _, clock, _, merge, values = core
    old = entry(3, "a", None, reset=True)
    merge(store(old))
    assert values.entries
    clock.now += REMEMBERED + 1
    merge(store(old))
    assert not values.entries


def test_forged_entries_do_not_stop_changes(core):
    """A version of the far future is dropped; a great one that is taken is followed by the next change."""
    state, clock, apply, merge, _ = core
    far = entry(2**53 - 1, "forged", "forged")
    assert not apply(far)
    merge(store(far))
    assert state.get("k") is None
    assert apply(entry(int(clock.now * 1e6) + 10**9, "z", "taken"))
    assert state.get("k") == "taken"
    state.set("k", "ours")
    assert state.get("k") == "ours"


def test_values_that_are_none_are_refused(new_broadcaster, caplog):
    """What ``check`` refuses can't be set, and is dropped wherever it comes from, also where the check fails."""
    broadcaster = new_broadcaster()
    state = SharedState("s", broadcaster=broadcaster, check=lambda key, value: value.upper() == value)
    with pytest.raises(ValueError, match="refused"):
        state.set("k", "small")
    with pytest.raises(ValueError, match="refused"):
        state.set("k", 5)
    broadcaster.states["s"].merge(
        store(entry(1, "a", "small"), entry(2, "a", 7, "number"), entry(3, "a", "GREAT", "good"))
    )
    assert {key: one.value for key, one in state.entries().items()} == {"good": "GREAT"}
    assert "is refused" in caplog.text
    state.set("k", "BIG")
    assert state.get("k") == "BIG"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"key": "k"}',
        entry("1", "a").dump(),
        entry(0, "a").dump(),
        entry(1, 5).dump(),
        entry(1, "a", key="").dump(),
        entry(1, "a", expires="soon").dump(),
        entry(1, "a", reset="yes").dump(),
        entry(1, "a", who=["x"]).dump(),
        entry(1, "a", reason=5).dump(),
        entry(True, "a").dump(),
        entry(1, "a", key="k" * 201).dump(),
        entry(1, "a", key=5).dump(),
        entry(1, "a", expires=True).dump(),
        {**entry(1, "a").fields(), "expires": float("inf")},
        {**entry(1, "a").fields(), "changed": float("nan")},
        {**entry(1, "a").fields(), "everywhere": True},
    ],
)
def test_entries_that_are_none(data):
    """Nothing but a whole entry is taken from outside."""
    with pytest.raises(BadMessageError):
        Entry.parse(data)


@pytest.mark.parametrize(
    "one",
    [entry(1, "a", key="k" * 200), entry(1, "", expires=5, who="w", reason="r"), entry(1, "a", None, reset=True)],
)
def test_entries_that_are_some(one):
    """What ``dump`` wrote is the same entry again, as text, bytes and JSON."""
    assert Entry.parse(one.dump()) == Entry.parse(one.dump().encode()) == Entry.parse(one.fields()) == one


# -- a process, to the second and to the byte -------------------------------------------------------------------------


def test_bounds_are_what_they_are_said_to_be(core):
    """What is just within them is taken, by ``set`` and from others; what is just beyond is not."""
    state, clock, apply, _, shared = core
    ten_years = 316_224_000
    assert state.set("k" * 200, "v" * (65_536 - 2), ttl=ten_years, who="w" * 501, reason="r" * 500).everywhere
    found = state.entries()["k" * 200]
    assert (len(found.who), len(found.reason), found.expires) == (500, 500, clock.now + ten_years)
    for key, value, ttl in (("k", "v" * 65_535, None), ("k", 1, ten_years + 1), ("k", 1, True), ("k" * 201, 1, None)):
        with pytest.raises(ValueError, match=r"of a shared state|a ttl is"):
            state.set(key, value, ttl)
    assert apply(entry(int((clock.now + 3_600) * 1e6), "a", key="ahead"))
    assert not apply(entry(int((clock.now + 3_600) * 1e6) + 1, "a", key="far"))
    assert "far" not in shared.entries


def test_a_change_is_an_entry_with_the_time_as_its_version(core):
    """In microseconds, or one more than the last; it can't be changed, and its value is as JSON gives it back."""
    state, clock, _, _, shared = core
    first, second = state.set("k", (1, 2)), state.reset("k", who="me", reason="why")
    assert (first.version, second.version) == (1_000_000 * 10**6, 1_000_000 * 10**6 + 1)
    assert (first.value, first.changed, first.expires, first.reset) == ([1, 2], clock.now, None, False)
    assert (second.value, second.who, second.reason, second.reset) == (None, "me", "why", True)
    assert first.origin == second.origin == shared._broadcaster.start().me.id
    with pytest.raises(AttributeError):
        first.value = 2


@pytest.mark.parametrize(("name", "good"), [("n" * 100, True), ("n" * 101, False), ("", False), (5, False)])
def test_names(new_broadcaster, name, good):
    """One to a hundred characters."""
    if good:
        assert SharedState(name, broadcaster=new_broadcaster()).get("k") is None
    else:
        with pytest.raises(BroadcastError, match="a shared state's name is 1 to 100 printable characters"):
            SharedState(name, broadcaster=new_broadcaster())


def test_room(core):
    """A thousand values, of which the one that ended first makes room; two thousand entries, whoever sends them."""
    state, clock, apply, _, shared = core
    assert apply(*[entry(1, "a", key=f"k{number}") for number in range(999)])
    state.set("last", 1)
    with pytest.raises(ValueError, match="holds 1,000 values already"):
        state.set("one more", 1)
    state.set("last", 2)
    for key in ("k7", "k5"):
        clock.now += 1
        state.reset(key)
    state.set("one more", 1)
    assert "k7" not in shared.entries
    assert "k5" in shared.entries
    assert not apply(*[entry(1, "a", key=f"more{number}") for number in range(1_001)])
    assert len(shared.entries) == len(shared._dumps) == 2_000
    assert apply(entry(2, "a", "changed", key="k0"))
    assert state.get("k0") == "changed"
    state.reset("k1")
    state.set("another", 1)  # what has ended makes room, however full it is
    assert state.get("another") == 1


def test_an_end_is_to_the_second(core, changes):
    """At that very second it is over, for who asks, who lists and who listens; what has no end has none."""
    state, clock, _, _, shared = core
    shared.introduce(lambda key, entry: changes.append((key, entry and entry.value)))
    state.set("x", 1, ttl=10)
    state.set("y", 2)
    assert shared._due() == 10
    clock.now += 9.5
    assert (state.get("x"), sorted(state.entries()), shared._due()) == (1, ["x", "y"], 0.5)
    clock.now += 0.5
    assert (state.get("x", "none"), sorted(state.entries()), shared._due()) == ("none", ["y"], None)
    state.set("x", 3, ttl=1_000)
    assert shared._due() == 10  # clocks are set: it looks again
    assert changes == [("x", 1), ("y", 2), ("x", None), ("x", 3)]


def test_memory_of_ends(core):
    """A week to the second, then nothing is left of it, wherever it was kept; what is in force is never forgotten."""
    state, clock, apply, merge, shared = core
    apply(entry(3, "a", None, reset=True), entry(3, "a", 1, "short", expires=clock.now + 5), entry(3, "a", 1, "long"))
    clock.now += 604_800
    shared._store = lambda fields, useless: None
    merge(store(*shared.entries.values()))
    assert sorted(shared.entries) == ["k", "long", "short"]
    clock.now += 1
    merge(store(*shared.entries.values()))
    assert sorted(shared.entries) == ["long", "short"]
    clock.now += 5
    merge(store(*shared.entries.values()))
    assert list(shared.entries) == list(shared._in_force) == ["long"]
    assert list(shared._dumps) == [b"long"]
    assert state.get("long") == 1


def test_each_change_is_told_once_in_order(core):
    """Also of several that come at once, in whatever order; what is not in force is nothing to tell."""
    _, clock, apply, _, shared = core
    told = []
    shared.listeners.append(lambda key, entry: told.append((key, entry and entry.value)))
    apply(entry(3, "a", 3), entry(1, "a", 1), entry(2, "a", 2), entry(2, "a", 9, "over", expires=clock.now))
    apply(entry(3, "a", 3), entry(2, "z", 2))
    assert told == [("k", 1), ("k", 2), ("k", 3)]


def test_one_is_told_at_a_time(core):
    """Changes that come while a listener is at work wait for it; who made them does not."""
    _, _, apply, _, shared = core
    at_work, go, told = threading.Event(), threading.Event(), []

    def listener(key, entry):
        at_work.set()
        go.wait(60)
        told.append((key, threading.current_thread()))

    shared.listeners.append(listener)
    thread = threading.Thread(target=apply, args=(entry(1, "a", key="first"),))
    thread.start()
    assert at_work.wait(60)
    apply(entry(1, "a", key="second"))
    assert told == []
    go.set()
    thread.join(60)
    assert told == [("first", thread), ("second", thread)]


def test_nothing_starts_by_itself(core, eventually):
    """A state that nobody changed here has no thread; the end of a value is then waited for asleep."""
    state, clock, apply, _, shared = core
    apply(entry(1, "a", expires=clock.now + 1))
    assert not shared._worker.running
    state.set("x", 1)
    looks = []
    shared.clock = lambda: looks.append(1) or time.time()
    state.set("y", 1, ttl=0.5)
    eventually(lambda: state._shared._in_force["y"] is None)
    assert len(looks) < 500  # one that wakes itself looks many thousand times


def test_a_closed_state_hears_and_refuses_nothing(new_broadcaster):
    """What it was made with is of no more effect; other objects of its name go on."""
    broadcaster, told = new_broadcaster(), []
    stays = SharedState("s", lambda key, entry: told.append(key), broadcaster=broadcaster)
    closed = SharedState("s", lambda key, entry: told.append("closed"), check=lambda *_: False, broadcaster=broadcaster)
    with pytest.raises(ValueError, match="refused"):
        stays.set("k", 1)
    for _ in range(2):
        closed.close()
    stays.set("k", 1)
    assert told == ["k"]
    SharedState("s", broadcaster=broadcaster).close()
    stays.set("l", 1)
    assert told == ["k", "l"]


def test_a_check_is_not_asked_about_an_end(new_broadcaster):
    """A reset has no value that could be wrong."""
    broadcaster = new_broadcaster()
    state = SharedState("s", broadcaster=broadcaster, check=lambda key, value: value.upper() == value)
    big = state.set("k", "BIG")
    assert broadcaster.states["s"].apply([entry(big.version + 1, "a", None, reset=True)])
    assert state.get("k") is None


# -- two members, and the file of this host ---------------------------------------------------------------------------


@pytest.fixture
def pair(new_broadcaster):
    """Give two members of one process, as two of one host, with what the second one heard."""
    told = []
    first = SharedState("s", broadcaster=new_broadcaster())
    second = SharedState(
        "s", lambda key, entry: told.append((key, entry and entry.value)), broadcaster=new_broadcaster()
    )
    for state in (first, second):
        state._shared._broadcaster.start()
    return first, second, told


def test_a_change_is_everywhere(pair):
    """When it returns the other member has it, and was told; what is written down is known to who comes later."""
    first, second, told = pair
    assert first.set("k", 1).everywhere
    assert told == [("k", 1)]
    assert second.get("k") == 1
    assert second.reset("k").everywhere
    assert first.get("k") is None
    assert first.everywhere


def test_a_member_that_refuses_a_value(pair):
    """It has not got it, so the change is not everywhere; when it takes it the next look says so."""
    first, second, _ = pair
    refuse = [True]
    second._shared.checks.append(lambda key, value: not refuse)
    assert first.set("k", 1).everywhere is False
    assert second.get("k") is None
    assert first.everywhere is False
    refuse.clear()
    assert first.everywhere is True
    assert second.get("k") == 1
    second._shared.checks[:] = [lambda key, value: value != "bad"]
    assert first.set("k", "bad").everywhere is False
    assert first.set("k", "good").everywhere is True
    assert first.everywhere is True  # what was refused is no more in force


def test_a_member_that_fails(pair):
    """A callback that raises is no acknowledgement."""
    first, second, _ = pair

    def broken(entries):
        raise RuntimeError("as it happens")

    second._shared._broadcaster.subscribe("c2c_state_s", broken)
    assert first.set("k", 1).everywhere is False
    assert first.everywhere is False


def test_what_could_not_be_sent(pair, monkeypatch, caplog):
    """Where no descriptor is free it is in force here, said, and told with the next look."""
    first, second, _ = pair

    def refuse(*_, **__):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(first._shared._broadcaster, "call", refuse)
        assert first.set("k", 1).everywhere is False
        assert first.get("k") == 1
        assert first.everywhere is False
    assert "the others are not told: [Errno 24]" in caplog.text
    assert first.everywhere is True
    assert second.get("k") == 1


def test_a_child_that_takes_no_part_is_waited_for_by_nobody(core):
    """A fork that has not begun to listen reads it when it does: it makes no change less than everywhere."""
    import os

    state = core[0]
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)  # until the parent closes its end
        os._exit(0)
    try:
        assert state.set("k", 1).everywhere is True
    finally:
        os.close(write)
        os.waitpid(child, 0)
        os.close(read)


def test_who_comes_later_reads_the_file(new_broadcaster):
    """Without a word from others: the first look, or the start, of a member finds what is in force on this host."""
    SharedState("s", broadcaster=new_broadcaster()).set("k", 1)
    assert SharedState("s", broadcaster=new_broadcaster()).get("k") == 1
    assert list(SharedState("s", broadcaster=new_broadcaster()).entries()) == ["k"]
    told, late = [], new_broadcaster()
    SharedState("s", lambda key, entry: told.append(key), broadcaster=late)
    late.start()
    assert told == ["k"]


STARTED = """
import sys
from c2c_broadcast import BroadcastSettings
from c2c_broadcast.broadcast import Broadcaster
from c2c_broadcast.shared_state import SharedState
state = SharedState("s", broadcaster=Broadcaster(BroadcastSettings(broadcast_prefix=sys.argv[1]), "late"))
print(state.get("k"))
state.set("k", "own")
print(SharedState("s", broadcaster=Broadcaster(BroadcastSettings(broadcast_prefix=sys.argv[1]), "next")).get("k"))
"""


def test_a_program_that_a_member_started_begins_with_what_it_knows(new_broadcaster, prefix):
    """As gunicorn's USR2 does: another family, whose first file is that of its starter; then it has its own."""
    state = SharedState("s", broadcaster=new_broadcaster())
    for wanted in ("None own", "1 own"):
        done = subprocess.run(
            [sys.executable, "-c", STARTED, prefix], capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stdout.split() == wanted.split()
        state.set("k", 1)


def test_a_file_that_can_not_be_written(core, eventually):
    """The change is in force here, said not to be everywhere, with the reason, and written as soon as that works."""
    state, _, _, _, shared = core
    state.set("before", 1)
    shared._path().unlink()
    shared._path().mkdir()
    assert state.set("k", 1).everywhere is False
    assert shared.unsaved.startswith("the file of this host: [Errno ")
    assert state.everywhere is False
    assert shared._due() == 2
    shared._path().rmdir()
    eventually(lambda: shared.unsaved is None)
    assert state.everywhere is True
    assert shared._path().read_bytes() == b"[" + b",".join(shared._dumps.values()) + b"]"
    path = shared._path()
    assert sorted(path.parent.glob(f"{path.name}*")) == [path, path.with_suffix(".lock")]


def test_a_file_that_somebody_else_holds(core, eventually):
    """A process that is stopped while it writes keeps nobody for long: it is written when it has let go."""
    state, _, _, _, shared = core
    state.set("before", 1)
    with shared._path().with_suffix(".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert state.set("k", 1).everywhere is False
        assert shared.unsaved is not None
    eventually(lambda: shared.unsaved is None)
    for number in range(3):
        assert state.set("k", number).everywhere is True


def test_a_file_that_is_none(core):
    """It is put right with the next change; what it can't say is not known from it."""
    state, _, _, _, shared = core
    state.set("before", 1)
    for data in (b"", b"{", b"5", b'[{"key": 1}]', b"[5]"):
        shared._path().write_bytes(data)
        shared.begin()
        assert state.set("k", 1).everywhere is True
        assert len(decode(shared._path().read_bytes())) == 2


# -- what Redis has ---------------------------------------------------------------------------------------------------


def test_agreement_with_the_store(core):
    """What differs is taken, given and removed; after that nothing differs."""
    state, _, apply, merge, shared = core
    stored = []
    shared._store = lambda fields, useless: stored.append((fields, useless))
    assert shared.differs({})  # as nothing is known yet
    merge({})
    assert stored == []
    assert not shared.differs({})
    assert decode(shared._path().read_bytes()) == []
    apply(entry(2, "a", "ours"), entry(1, "a", "old", "both"))
    theirs = {**store(entry(3, "b", "new", "both"), entry(1, "b", "theirs", "other")), b"junk": b"{", b"k2": b"[]"}
    assert shared.differs(theirs)
    merge(theirs)
    assert {key: one.value for key, one in state.entries().items()} == {"k": "ours", "both": "new", "other": "theirs"}
    assert stored == [({"k": shared.entries["k"].dump()}, [b"junk", b"k2"])]
    whole = store(*shared.entries.values())
    assert not shared.differs(whole)
    assert shared.differs(whole | store(entry(9, "z")))
    merge(whole)
    assert len(stored) == 1
    assert len(decode(shared._path().read_bytes())) == 3  # who is born on this host knows it, too
    later = entry(9, "a", "later", "other")
    apply(later)
    merge(whole)
    assert stored[1:] == [({"other": later.dump()}, [])]


def test_what_the_store_refused_is_known_until_it_has_it(core):
    """A change that Redis did not take is unsaved, and no longer when a look shows that it is there."""
    _, _, apply, merge, shared = core
    apply(entry(1, "a"))
    whole = store(*shared.entries.values())
    merge(whole)
    shared._unstored = "OOM"
    assert shared.differs({})
    assert (shared.unsaved, shared.reach_all()) == ("OOM", False)
    assert not shared.differs(whole)
    assert (shared.unsaved, shared.reach_all()) == (None, True)
    shared._unstored = "OOM"
    merge(whole)
    assert shared.unsaved is None
    shared._unstored, shared._store = "OOM", lambda fields, useless: None
    merge({})
    assert shared.unsaved == "OOM"


def test_what_a_member_lacked_is_told_the_others(pair):
    """What comes from Redis, or went missing there, is known to the whole host then."""
    first, second, told = pair
    first._shared._store = lambda fields, useless: None
    first._shared.apply([entry(5, "a", "ours")])
    first._shared.merge({})
    assert second.get("k") == "ours"
    assert told == [("k", "ours")]


def test_nothing_is_everywhere_with_a_redis_that_is_away(new_broadcaster, eventually):
    """Who only looks finds out, too, without a change."""
    state = SharedState("s", broadcaster=new_broadcaster("redis://127.0.0.1:1/0"))
    eventually(lambda: not state.everywhere)


@pytest.mark.parametrize("required", [False, True])
def test_a_required_state_that_nobody_knows(new_broadcaster, caplog, required):
    """The safe side holds, and that is said, until somebody knows; a state that is not required just has nothing."""
    broadcaster = new_broadcaster("redis://127.0.0.1:1/0")
    state = SharedState("s", broadcaster=broadcaster, safe={"k": "safe"}, **({"required": True} if required else {}))
    assert state.get("k", "none") == ("safe" if required else "none")
    assert state.get("other", "none") == "none"
    assert ("the safe side holds" in caplog.text) is required
    broadcaster.states["s"].apply([entry(1, "a", "known")])
    assert state.get("k") == "known"
    broadcaster.states["s"].apply([entry(2, "a", None, reset=True)])
    assert state.get("k", "none") == "none"
    if required:
        SharedState("s", broadcaster=new_broadcaster()).set("other", 1)
        again = SharedState(
            "s", broadcaster=new_broadcaster("redis://127.0.0.1:1/0"), required=True, safe={"k": "safe"}
        )
        assert (again.get("other"), again.get("k")) == (1, None)  # what is in the file of this host is known


def test_agreement_of_processes(redis_server, team):
    """A change is in force everywhere; all four set at once and end with one value."""
    members = team(redis_server)
    members[0]("change", name="levels", key="a", value="DEBUG", who="op", reason="why")
    for member in members:
        wait_for(member, {"a": "DEBUG"})
    for round_ in range(20):
        for number, member in enumerate(members):
            member.send("change", name="levels", key="race", value=f"{round_}.{number}")
        for member in members:
            member.result()
    members[0]("change", name="levels", key="last", value=1)
    for member in members:
        wait_until(member, lambda found: "last" in found["values"])
    values = {member("entries", name="levels")["values"]["race"] for member in members}
    deadline = time.monotonic() + 20
    while len(values) > 1 and time.monotonic() < deadline:
        values = {member("entries", name="levels")["values"]["race"] for member in members}
    assert len(values) == 1
    for member in members:
        told = [change[2] for change in member("entries", name="levels")["changes"] if change[0] == "race"]
        assert told == sorted(told)


def wait_until(member, check):
    """Wait until a member's entries are as they should be."""
    deadline = time.monotonic() + 20
    while True:
        found = member("entries", name="levels")
        if check(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def wait_for(member, values):
    """Wait until a member has these values."""
    return wait_until(member, lambda found: found["values"] == values)


def test_born_later(redis_server, new_member, prefix):
    """A process born later restores what is in force, with who and why, even when all others are gone."""
    first = new_member(redis_server, "start")
    first("change", name="levels", key="kept", value={"level": "DEBUG"}, ttl=1000)
    first("change", name="levels", key="short", value=1, ttl=0.2)
    first("change", name="levels", key="dropped", value=1)
    first("reset", name="levels", key="dropped")
    first.end()
    time.sleep(0.3)
    found = wait_for(new_member(redis_server, "start"), {"kept": {"level": "DEBUG"}})
    assert [change[0] for change in found["changes"]] == ["kept"]
    assert sorted(redis_server.execute("HKEYS", f"{prefix}state_levels")) == ["dropped", "kept", "short"]


def test_a_required_state_waits_for_the_store(redis_server, new_broadcaster, prefix):
    """The first look of a process finds what is stored there, unknown on this host; then it looks no more."""
    redis_server.execute("HSET", f"{prefix}state_s", "k", entry(1, "a", "stored").dump())
    state = SharedState("s", required=True, safe={"k": "safe"}, broadcaster=new_broadcaster(redis_server))
    assert state.get("k") == "stored"
    state._shared._read = None
    assert state.get("k") == "stored"


def test_a_required_state_without_a_thread(redis_server, new_member, new_broadcaster, prefix):
    """A process that can start no thread to look at the store looks itself."""
    new_member(redis_server, "start")("change", name="levels", key="k", value=1)
    before = threading.stack_size(1 << 46)
    try:
        late = SharedState("levels", required=True, broadcaster=new_broadcaster(redis_server))
        assert late.get("k") == 1
    finally:
        threading.stack_size(before)


def test_changes_while_redis_is_away(new_redis_server, team, eventually):
    """Values end with Redis away; changes made meanwhile reach everybody once it is back, though it forgot all."""
    redis = new_redis_server()
    members = team(redis, 3)
    members[0]("change", name="levels", key="ends", value=1, ttl=2)
    members[0]("change", name="levels", key="stays", value=1)
    members[0]("change", name="levels", key="reset", value=1)
    for member in members:
        wait_until(member, lambda found: len(found["values"]) == 3)
    wait_until(members[1], lambda found: found["everywhere"])
    redis.kill()
    wait_until(members[1], lambda found: not found["everywhere"])
    members[1]("reset", name="levels", key="reset")
    members[1]("change", name="levels", key="new", value=2)
    for member in members:
        wait_until(member, lambda found: "ends" not in found["values"])
    redis.start()
    for member in members:
        wait_for(member, {"stays": 1, "new": 2})
        wait_until(member, lambda found: found["everywhere"])
    wait_for(new_late(redis, members), {"stays": 1, "new": 2})


def new_late(redis, members):
    """Return the last member, after it was away for a moment."""
    redis.execute("CLIENT", "KILL", "TYPE", "pubsub")
    return members[-1]


def test_garbage_in_redis_and_in_messages(redis_server, new_member, prefix, eventually):
    """Fields and messages that are no entries are dropped; the rest is taken."""
    redis_server.execute("HSET", f"{prefix}state_levels", "junk", "{", "1:x:k", "[]")
    member = new_member(redis_server, "start")
    member("change", name="levels", key="good", value=1)
    for params in ('{"entries":[{"key":1}]}', '{"entries":5}', '{"other":1}'):
        message = f'{{"id":1,"from":"x","channel":"c2c_state_levels","depth":1,"answer":false,"params":{params}}}'
        redis_server.execute("PUBLISH", f"{prefix}ask", message)
    member("change", name="levels", key="bad", value=2)
    wait_for(member, {"good": 1, "bad": 2})
    eventually(lambda: "junk" not in redis_server.execute("HKEYS", f"{prefix}state_levels"))


def test_forked_child_keeps_and_ends_values(redis_server, new_broadcaster, eventually):
    """A child knows the values of its parent; once it takes part its own timer ends them."""
    import os

    broadcaster = new_broadcaster(redis_server)
    told = []
    state = SharedState("s", lambda key, entry: told.append((key, entry and entry.value)), broadcaster=broadcaster)
    state.set("x", 1, ttl=1.5)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        told.clear()
        known = state.get("x")
        broadcaster.start()
        deadline = time.monotonic() + 20
        while ("x", None) not in told and time.monotonic() < deadline:
            time.sleep(0.05)
        os.write(write, repr((known, told)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"(1, [('x', None)])"
    os.waitpid(child, 0)
    eventually(lambda: ("x", None) in told)
