"""Broadcasts between processes on a real Redis."""

import json
import threading
import time

import pytest

from c2c_broadcast._call import MAX_MESSAGE
from c2c_broadcast.broadcast import Broadcaster
from c2c_testing.servers import stopped


def pids(answers):
    """Return the process ids in the answers."""
    return sorted(answer["pid"] for answer in answers)


def test_everybody_answers(redis_server, team):
    """Every member answers whoever asks, with its host and process id, and the list has them all."""
    members = team(redis_server)
    everybody = sorted(member.pid for member in members)
    for member in members:
        found = member("ask", channel="ping", params={"x": 1})
        assert pids(found["answers"]) == everybody
        assert all(answer["x"] == 1 and answer["hostname"] for answer in found["answers"])
        assert (found["failed"], found["missing"], found["late"], found["complete"]) == ([], [], [], True)
        assert sorted(member("members")) == everybody
    assert pids(members[0]("tell", channel="ping", expect_answers=True)) == everybody


def test_without_answers(redis_server, team, eventually):
    """A broadcast without answers returns None and reaches everybody once."""
    members = team(redis_server, 3)
    assert members[0]("tell", channel="ping", params={"only": "this"}) is None
    for member in members:
        eventually(lambda member=member: {"only": "this"} in member("calls"))
        assert member("calls").count({"only": "this"}) == 1


def test_failures_of_others(redis_server, team):
    """What goes wrong in each process comes back as its failure, masked, and is in its log."""
    members = team(redis_server, 2)
    for channel, kind in {
        "explode": "RuntimeError",
        "set": "BadMessageError",
        "nan": "BadMessageError",
        "large": "BadMessageError",
        "exit": "SystemExit",
    }.items():
        found = members[0]("ask", channel=channel)
        assert sorted(failure["pid"] for failure in found["failed"]) == sorted(member.pid for member in members)
        assert {failure["type"] for failure in found["failed"]} == {kind}
        assert "hunter2" not in json.dumps(found)
    assert "'explode' failed" in members[1].log
    assert members[0]("tell", channel="explode", expect_answers=True) == [None, None]
    assert members[0]("ask", channel="ping", params={"a": "b"})["complete"]


def test_large_answers(redis_server, team):
    """Ten megabytes from each of three processes arrive."""
    members = team(redis_server, 3)
    members[0].send("tell", channel="megabytes", expect_answers=True)
    assert [len(answer or "") for answer in members[0].result()] == [10 * 1024 * 1024] * 3


def test_stopped_member(redis_server, team):
    """A stopped member is named, delays only this caller, later nobody, and is back when it goes on."""
    members = team(redis_server)
    silent = members[1].pid
    with stopped(silent):
        found = members[0]("ask", channel="ping", timeout=3)
        # The caller's seconds; less where the machine kept all of them from giving a sign of life just before.
        assert found["seconds"] < 10
        assert [missing["pid"] for missing in found["missing"]] == [silent]
        assert found["missing"][0]["application"] == "member"
        assert abs(found["missing"][0]["last_seen"] - time.time()) < 30
        assert not found["complete"]
        assert len(found["answers"]) == 3
        assert None in members[2]("tell", channel="ping", expect_answers=True, timeout=1)
        time.sleep(7)
        found = members[0]("ask", channel="ping", timeout=30)
        assert found["seconds"] < 10
        assert [missing["pid"] for missing in found["missing"]] == [silent]
        assert silent in members[0]("members")
    deadline = time.monotonic() + 20
    while not members[0]("ask", channel="ping", timeout=5)["complete"]:
        assert time.monotonic() < deadline


def test_stopped_member_without_a_connection(new_redis_server, team):
    """One of this host that is stopped and was cut off is missing, not gone: its process lives."""
    redis = new_redis_server()
    members = team(redis)
    silent = members[1].pid
    with stopped(silent):
        redis.execute("CLIENT", "KILL", "TYPE", "pubsub")  # the others come back
        time.sleep(7)
        found = members[0]("ask", channel="ping", timeout=10)
        assert [missing["pid"] for missing in found["missing"]] == [silent]
        assert not found["complete"]
        assert silent in members[0]("members")


def test_killed_member(redis_server, team, eventually):
    """A killed member is no member: nobody waits for it or names it."""
    members = team(redis_server)
    members[3].kill()
    found = members[0]("ask", channel="ping", timeout=30)
    assert found["seconds"] < 15
    assert len(found["answers"]) == 3
    assert found["complete"]
    assert members[3].pid not in members[0]("members")


def test_killed_while_asked(redis_server, team):
    """A member that dies while it is at work is not waited for to the end."""
    members = team(redis_server, 2)
    members[0].send("ask", channel="hang", params={"seconds": 2}, timeout=60)
    time.sleep(0.7)
    members[1].kill()
    found = members[0].result()
    assert found["seconds"] < 30
    assert found["answers"] == ["rested"]


def test_clean_exit_leaves_at_once(redis_server, team, prefix):
    """A program that ends is out of the roster, and its service leaves nothing that lasts."""
    members = team(redis_server, 2)
    members[1].end()
    assert len(redis_server.execute("HKEYS", f"{prefix}members")) == 1
    assert redis_server.execute("TTL", f"{prefix}members") > 0
    found = members[0]("ask", channel="ping")
    assert found["complete"]
    assert len(found["answers"]) == 1


def test_busy_is_told_from_stopped(redis_server, team):
    """Members whose callbacks take longer than the caller waits are late, not missing."""
    members = team(redis_server, 3)
    found = members[0]("ask", channel="hang", params={"seconds": 5}, timeout=2)
    assert len(found["late"]) == 3
    assert found["missing"] == []
    assert not found["complete"]


def test_long_work_delays_no_ping(redis_server, team):
    """While every process is at several long jobs, pings are answered by all."""
    members = team(redis_server, 3)
    for _ in range(12):
        members[1]("ask", channel="hang", params={"seconds": 8}, timeout=0.01)
    found = members[0]("ask", channel="ping", timeout=30)
    assert found["seconds"] < 6
    assert len(found["answers"]) == 3


def test_callbacks_that_ask(redis_server, team):
    """Callbacks of all processes that ask all processes do not wait for each other."""
    members = team(redis_server)
    for member in members:
        for _ in range(4):
            member.send("ask", channel="relay", params={"channel": "ping", "timeout": 20}, timeout=30)
    for member in members:
        for _ in range(4):
            found = member.result()
            assert [answer["relayed"] for answer in found["answers"]] == [4] * 4


def test_eight_callers_at_once(redis_server, team, new_broadcaster, eventually):
    """Nothing is lost between eight threads that ask at once."""
    team(redis_server, 3)
    mine = new_broadcaster(redis_server)
    mine.subscribe("ping", lambda **params: params)
    eventually(lambda: len(mine.ask("ping").answers) == 4)
    wrong = []

    def ask(caller):
        for number in range(100):
            answers = mine.ask("ping", {"caller": caller, "number": number}, timeout=30)
            got = [(answer["caller"], answer["number"]) for answer in answers.answers]
            if got != [(caller, number)] * 4 or not answers.complete:
                wrong.append(answers)

    callers = [threading.Thread(target=ask, args=(caller,)) for caller in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


def test_prefixes_do_not_mix(redis_server, team, new_broadcaster):
    """Two services on one Redis hear nothing of each other."""
    team(redis_server, 2)
    other = new_broadcaster(redis_server, broadcast_prefix="other_service_")
    other.subscribe("ping", lambda: 1)
    assert other.ask("ping").answers == [1]
    assert [member.application for member in other.members()] == ["tests"]


def test_subscribing_while_connected(redis_server, team, new_broadcaster, eventually):
    """Subscriptions made and ended while connected count; a member without the channel is not missing."""
    mine = new_broadcaster(redis_server)
    mine.start()
    first, second = team(redis_server, 2)
    eventually(lambda: len(mine.ask("ping").answers) == 2)
    assert first("ask", channel="ping")["complete"]
    mine.subscribe("new", lambda: "here")
    eventually(lambda: first("ask", channel="new")["answers"] == ["here"])
    mine.unsubscribe("new")
    eventually(lambda: second("ask", channel="new")["answers"] == [])
    assert second("ask", channel="new", timeout=30)["complete"]


def test_configured_late(redis_server, team, prefix, eventually):
    """Subscriptions made and used alone are kept when Redis is configured later."""
    from c2c_broadcast import BroadcastSettings

    members = team(redis_server, 2)
    mine = Broadcaster(application="tests")  # nobody has chosen settings yet
    mine.subscribe("late", lambda: "kept")
    assert mine.ask("late").answers == ["kept"]
    mine.configure(BroadcastSettings(redis_url=redis_server.url, broadcast_prefix=prefix))
    assert mine.started
    eventually(lambda: members[0]("ask", channel="late")["answers"] == ["kept"])
    mine.close()


def test_bad_messages(redis_server, team, prefix, eventually):
    """Messages that are none are dropped, each kind logged once, and the listener lives."""
    member, other = team(redis_server, 2)
    identity = next(key for key in redis_server.execute("HKEYS", f"{prefix}members") if key.endswith(f"-{member.pid}"))
    bad = [
        "",
        "junk",
        "[]",
        "5",
        "{}",
        '{"id": "x", "from": "y", "channel": "ping", "params": {}, "depth": 1, "answer": true}',
        '{"id": 1, "from": "y", "channel": "ping", "params": [], "depth": 1, "answer": true}',
        '{"id": 1, "from": "y", "channel": "ping", "params": {"x": NaN}, "depth": 1, "answer": true}',
        '{"id": true, "from": null, "params": {}, "depth": 1, "answer": 1}',
        "[" * 100_000,
        "x" * (MAX_MESSAGE + 10_000),
    ]
    for message in bad * 2:
        redis_server.execute("PUBLISH", f"{prefix}ask", message, timeout=30)
        redis_server.execute("PUBLISH", f"{prefix}answer:{identity}", message, timeout=30)
    redis_server.execute("PUBLISH", f"{prefix}answer:{identity}", '{"id": 1, "from": "y", "failure": {"x": 1}}')
    # Reading that much may have kept them from giving a sign of life for a while.
    eventually(lambda: member("ask", channel="ping", timeout=30)["complete"], 60)
    for channel in ("ping", "explode"):
        found = member("ask", channel=channel, timeout=30)
        assert len(found["answers"]) + len(found["failed"]) == 2
    assert other("health")["listening"]
    assert other.log.count("A broadcast is dropped: it is not JSON") == 1
    assert other.log.count("A broadcast is dropped: it is over 16,777,216 bytes") == 1


def test_unknown_depth_and_foreign_subscribers(redis_server, team, prefix):
    """A foreign subscriber is not waited for, and a foreign message with an odd depth does no harm."""
    import socket

    member, _ = team(redis_server, 2)
    with socket.create_connection(("127.0.0.1", redis_server.port)) as foreign:
        foreign.sendall(f"SUBSCRIBE {prefix}ask\r\n".encode())
        foreign.recv(100)
        found = member("ask", channel="ping", timeout=30)
        assert found["complete"]
        assert found["seconds"] < 10
    message = '{"id":1,"from":"x","channel":"ping","depth":-99999,"answer":true,"params":{}}'
    redis_server.execute("PUBLISH", f"{prefix}ask", message)
    assert member("ask", channel="ping", timeout=30)["complete"]


def test_one_thread_and_one_socket(redis_server, new_member, eventually):
    """Nothing is started by init and subscribe; afterwards there is one thread for Redis, and one for this host."""
    member = new_member(redis_server)
    assert member("threads") == ["MainThread"]
    before = member("sockets")
    member("ask", channel="ping")
    assert "c2c-broadcast-redis" in member("threads")
    # One that listens on this host; for Redis one that listens and one for commands, or two where the listener's sign
    # of life came just then.
    assert member("sockets") in {before + 3, before + 4}
    for _ in range(5):
        member("ask", channel="ping")
    assert member("sockets") in {before + 3, before + 4}


@pytest.mark.parametrize("password", ["a secret with @ and /"])
def test_password(new_redis_server, new_member, eventually, password):
    """A password in the URL works and is in no log."""
    redis = new_redis_server(password=password)
    member = new_member(redis, "start")
    eventually(lambda: member("health")["connected"])
    redis.restart()
    eventually(lambda: member("health")["connected"])
    assert "secret with" not in member.log
    assert "secret%20with" not in member.log
