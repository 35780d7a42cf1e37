"""Commands that Redis refuses, values that it loses, and processes that can't know: nothing is said that is not so."""

import logging
import time

import pytest
from pyramid.config import Configurator
from pyramid.exceptions import ConfigurationConflictError

from c2c_broadcast import BroadcastSettings, broadcast
from c2c_broadcast.broadcast import Broadcaster
from c2c_broadcast.shared_state import SharedState


@pytest.fixture
def process_wide():
    """Give a fresh process-wide broadcaster, and put the one before back."""
    mine = Broadcaster()
    before = broadcast.set_broadcaster(mine)
    yield mine
    mine.close()
    broadcast.set_broadcaster(before)


def test_a_user_without_channels(new_redis_server, new_member, eventually):
    """A user of an ACL without channel patterns (Redis 7's default): one line names it; states are stored."""
    redis = new_redis_server()
    redis.execute("ACL", "SETUSER", "app", "on", ">secret-of-app", "~*", "+@all", "resetchannels")
    url = f"redis://app:secret-of-app@127.0.0.1:{redis.port}"
    member = new_member(url, "start")
    eventually(lambda: member("health")["connected"])
    found = member("ask", channel="ping", timeout=30)
    assert (len(found["answers"]), found["complete"]) == (1, False)
    assert member("change", name="levels", key="k", value=1)["everywhere"] is False
    assert member.log.count("refuses SUBSCRIBE") == 1
    assert member.log.count("NOPERM") == member.log.count("WARNING")
    assert "secret-of-app" not in member.log
    late = new_member(url, "start")
    eventually(lambda: late("entries", name="levels")["values"] == {"k": 1})
    redis.execute("ACL", "SETUSER", "app", "allchannels")
    eventually(lambda: len(member("ask", channel="ping", timeout=5)["answers"]) == 2, 60)
    eventually(lambda: member("ask", channel="ping", timeout=5)["complete"], 60)


@pytest.mark.parametrize("command", ["publish", "hgetall", "expire", "time", "pubsub"])
def test_a_refused_command_costs_that_command(new_redis_server, new_member, eventually, command):
    """One line names it; where others can't be asked or known the answer is not complete; the listener lives."""
    redis = new_redis_server()
    redis.execute("ACL", "SETUSER", "default", f"-{command}")
    one, two = (new_member(redis, "start") for _ in range(2))
    eventually(lambda: one("health")["connected"] and two("health")["connected"])
    eventually(lambda: command in ("publish", "pubsub") or "NOPERM" in one.log)
    found = one("ask", channel="ping", timeout=5)
    if command in ("publish", "hgetall"):
        assert not found["complete"]
    else:
        eventually(lambda: len(one("ask", channel="ping", timeout=5)["answers"]) == 2)
    assert one("health")["listening"]
    assert "can't be used" not in one.log
    redis.execute("ACL", "SETUSER", "default", f"+{command}")
    eventually(lambda: one("ask", channel="ping", timeout=5)["complete"], 60)
    assert one.log.count("NOPERM") == len({line.partition(":")[2] for line in one.log.splitlines() if "NOPERM" in line})


def test_a_server_without_hello(new_redis_server, team):
    """Redis 5 knows no HELLO: nobody says it. An ACL could not take it away, since one logs in by it."""
    redis = new_redis_server()
    redis.execute("ACL", "SETUSER", "default", "-client")
    team(redis, 2)
    assert "cmdstat_hello" not in redis.info("commandstats")


def test_resp_3(redis_server, team):
    """Who wants the newer protocol gets it."""
    team(redis_server, 2, C2C_REDIS_OPTIONS="protocol=3")
    connections = redis_server.execute("CLIENT", "LIST").splitlines()
    assert sum("resp=3" in one for one in connections) >= 4  # two of each member: one listens


def test_a_value_that_is_refused(new_redis_server, new_broadcaster, eventually, caplog):
    """Out of memory: not everywhere, named by health, and stored as soon as Redis takes it again."""
    redis = new_redis_server()
    one = new_broadcaster(redis)
    state = SharedState("levels", broadcaster=one)
    one.start()
    eventually(lambda: one.health().connected)
    redis.execute("CONFIG", "SET", "maxmemory", "1")
    assert state.set("k", "v").everywhere is False
    assert not state.everywhere
    assert "levels" in one.health().unsaved
    assert "OOM" in one.health().unsaved["levels"]
    redis.execute("CONFIG", "SET", "maxmemory", "0")
    eventually(lambda: state.everywhere)
    assert dict(one.health().unsaved) == {}
    assert redis.execute("HKEYS", f"{one.settings.broadcast_prefix}state_levels") == ["k"]
    assert state.set("k", "w").everywhere is True


def test_values_that_redis_lost(new_redis_server, new_member, eventually):
    """After FLUSHALL, and after an old backup, the store has what is in force again within two heartbeats."""
    redis = new_redis_server()
    member = new_member(redis, "start")
    assert member("change", name="levels", key="k", value="old")["everywhere"]
    (key,) = redis.execute("KEYS", "*state_levels")
    backup = redis.execute("HGET", key, "k")
    assert member("change", name="levels", key="k", value="new")["everywhere"]
    redis.execute("FLUSHALL")
    eventually(lambda: "new" in (redis.execute("HGET", key, "k") or ""))
    redis.execute("HSET", key, "k", backup)
    eventually(lambda: "new" in redis.execute("HGET", key, "k"))
    later = new_member(redis, "start")
    eventually(lambda: later("entries", name="levels")["values"] == {"k": "new"})
    assert 0 < redis.execute("TTL", key) <= 7 * 86_400


def test_the_first_look_obeys(redis_server, new_broadcaster, prefix):
    """A required state is known at the first look, from Redis and from the file of this host; nothing is started."""
    one = new_broadcaster(redis_server)
    assert SharedState("mode", broadcaster=one).set("readonly", True).everywhere
    two = new_broadcaster(redis_server)
    assert SharedState("mode", broadcaster=two, required=True).get("readonly") is True
    assert not two.started
    alone = new_broadcaster()  # as if another process of this family, without Redis
    assert SharedState("mode", broadcaster=alone, required=True).get("readonly") is True
    assert not alone.started


def test_who_can_not_know_is_on_the_safe_side(new_redis_server, new_broadcaster, eventually, caplog):
    """With Redis dead and nothing on this host the safe value is given, after a second at most, until Redis is back."""
    redis = new_redis_server()
    redis.kill()
    one = new_broadcaster(redis)
    state = SharedState("mode", broadcaster=one, required=True, safe={"readonly": True})
    begin = time.monotonic()
    assert state.get("readonly") is True
    assert state.get("other") is None
    assert time.monotonic() - begin < 20
    assert caplog.text.count("the safe side holds") == 1
    redis.start()
    one.start()
    eventually(lambda: state.get("readonly") is None)


def test_the_second_application_changes_nothing(process_wide, caplog):
    """Other settings of a second application are one warning that names both, a third one's too; the same are none."""
    for settings in ({"c2c.redis_url": "h:1"}, {"c2c.redis_url": "h:1"}, {}, {"c2c.redis_url": "i:2"}, {}):
        config = Configurator(settings=settings)
        config.include("c2c_broadcast")
        config.make_wsgi_app()
    assert process_wide.settings.redis_url == "redis://h:1"
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len([text for text in warnings if "second application" in text]) == 2
    assert "redis://h:1" in caplog.text
    assert "no Redis" in caplog.text


def test_an_include_that_ends_in_a_conflict_changes_nothing(process_wide):
    """The broadcaster is set up when the configuration is known to be good."""
    config = Configurator(settings={"c2c.redis_url": "h:1"})
    config.include("c2c_broadcast")
    for path in ("/a", "/b"):
        config.add_route("twice", path)
        config.add_view(lambda request: {}, route_name="twice", renderer="json")
    with pytest.raises(ConfigurationConflictError):
        config.make_wsgi_app()
    assert process_wide.health().transport == "host"
    assert process_wide.settings == BroadcastSettings()


def test_a_listener_that_hangs_holds_up_nobody_else(new_broadcaster):
    """Changes of other threads are made while a listener is at work: no lock is held meanwhile."""
    import threading

    one, go, told = new_broadcaster(), threading.Event(), []

    def slow(key, entry):
        told.append(key)
        go.wait(30)

    state = SharedState("s", slow, broadcaster=one)
    setter = threading.Thread(target=state.set, args=("a", 1))
    setter.start()
    while not told:
        time.sleep(0.01)
    state.set("b", 2)
    assert state.get("b") == 2
    assert told == ["a"]
    go.set()
    setter.join()
    assert told == ["a", "b"]


def test_a_log_handler_that_broadcasts(new_broadcaster):
    """Whatever is logged here may be handled by what uses broadcasts and states itself: nothing hangs."""
    one = new_broadcaster()
    state, seen = SharedState("s", broadcaster=one), []

    class Handler(logging.Handler):
        def emit(self, record):
            if not seen:
                seen.append(record.getMessage())
                one.ask("x", timeout=5)
                state.set("seen", len(seen))
                one.subscribe("y", len)

    handler = Handler()
    logging.getLogger("c2c_broadcast").addHandler(handler)
    try:
        one.subscribe("x", lambda: 1)
        one.subscribe("x", lambda value=None: 2 / 0)  # it replaces another function: logged
        one.subscribe("x", dict)
        assert seen
        seen.clear()
        one.subscribe("x", print)
        one.subscribe("fails", lambda: 1 / 0)
        assert one.ask("fails", timeout=30).failed
        assert state.get("seen") == 1
    finally:
        logging.getLogger("c2c_broadcast").removeHandler(handler)
