"""Values that every process agrees on."""

import threading
import time
from dataclasses import replace

import pytest

from c2c_broadcast import BroadcastError
from c2c_broadcast._call import BadMessageError
from c2c_broadcast.shared_state import MAX_KEYS, REMEMBERED, Entry, SharedState


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
    assert sorted(redis_server.execute("HKEYS", f"{prefix}state_levels")) == ["dropped", "kept", "short"]


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
