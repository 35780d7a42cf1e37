"""Values that every process agrees on."""

import threading
import time

import pytest

from c2c_broadcast import BroadcastError
from c2c_broadcast._messages import BadMessageError
from c2c_broadcast._state_core import MAX_KEYS, REMEMBERED, StateCore
from c2c_broadcast._state_entry import Entry
from c2c_broadcast.shared_state import SharedState


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
    assert state.entries() == {"a.logger": entry}
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


def test_thousand_keys(new_broadcaster):
    """A thousand values is the most; ended ones make room."""
    state = SharedState("s", broadcaster=new_broadcaster())
    for number in range(MAX_KEYS):
        state.set(f"k{number}", number)
    with pytest.raises(ValueError, match="reset some"):
        state.set("one more", 1)
    state.reset("k5")
    state.set("one more", 1)
    assert len(state.entries()) == MAX_KEYS


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


def core(clock=None):
    """Make a state that nobody else sees."""
    return StateCore("s", threading.RLock(), clock or Clock())


def test_order_decides_the_same_everywhere():
    """Whatever order entries come in, the one with the greatest version and origin is in force."""
    entries = [entry(1, "a"), entry(2, "b", "early"), entry(2, "c", "late"), entry(1, "z")]
    for start in range(len(entries)):
        one = core()
        for item in entries[start:] + entries[:start]:
            one.apply([item])
        assert one.get("k").value == "late"


def test_reset_and_end_are_not_undone():
    """An older value that comes late does not come back after a reset, nor after the end of a newer one."""
    clock = Clock()
    one = core(clock)
    one.apply([entry(3, "a", None, reset=True), entry(2, "b")])
    assert one.get("k") is None
    one.apply([entry(5, "a", 5, "x", expires=clock.now + 10)])
    clock.now += 20
    one.apply([entry(4, "a", 4, "x")])
    assert one.get("x") is None


def test_merge_both_ways():
    """What Redis holds is taken, what it lacks is given, what is superseded or no entry is dropped."""
    one = core()
    mine, older, theirs = entry(3, "a"), entry(2, "b"), entry(1, "b", key="other")
    one.apply([mine])
    held = [older.field, older.dump(), theirs.field, theirs.dump(), "junk", "{}"]
    lacking, useless, entries = one.merge([text.encode() for text in held])
    assert lacking == {mine.field: mine.dump()}
    assert sorted(useless) == sorted([older.field, "junk"])
    assert entries == [mine]
    assert set(one.active()) == {"k", "other"}


def test_ended_values_are_forgotten_at_last():
    """After a week nothing is left of an ended value, here and in Redis."""
    clock = Clock()
    one = core(clock)
    old = entry(3, "a", None, reset=True)
    clock.now += REMEMBERED + 1
    assert one.merge([old.field.encode(), old.dump().encode()]) == ({}, [old.field], [])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"key": "k"}',
        entry("1", "a").dump(),
        entry(2**60, "a").dump(),
        entry(0, "a").dump(),
        entry(1, 5).dump(),
        entry(1, "a", key="").dump(),
        entry(1, "a", expires="soon").dump(),
        entry(1, "a", reset="yes").dump(),
        entry(1, "a", who=["x"]).dump(),
    ],
)
def test_entries_that_are_none(data):
    """Nothing but a whole entry is taken from outside."""
    with pytest.raises(BadMessageError):
        Entry.parse(data)


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
    assert len(redis_server.execute("HKEYS", f"{prefix}state_levels")) == 3


def test_changes_while_redis_is_away(new_redis_server, team, eventually):
    """Values end with Redis away; changes made meanwhile reach everybody once it is back, though it forgot all."""
    redis = new_redis_server()
    members = team(redis, 3)
    members[0]("change", name="levels", key="ends", value=1, ttl=2)
    members[0]("change", name="levels", key="stays", value=1)
    members[0]("change", name="levels", key="reset", value=1)
    for member in members:
        wait_until(member, lambda found: len(found["values"]) == 3)
    assert members[1]("entries", name="levels")["everywhere"]
    redis.kill()
    wait_until(members[1], lambda found: not found["everywhere"])
    members[1]("reset", name="levels", key="reset")
    members[1]("change", name="levels", key="new", value=2)
    for member in members:
        wait_until(member, lambda found: "ends" not in found["values"])
    redis.start()
    for member in members:
        wait_for(member, {"stays": 1, "new": 2})
        assert member("entries", name="levels")["everywhere"]
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
        message = f'{{"id":1,"from":"x","depth":1,"answer":false,"params":{params}}}'
        redis_server.execute("PUBLISH", f"{prefix}ask:c2c_state_levels", message)
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
