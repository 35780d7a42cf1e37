"""Redis away, back, failed over, half open, or not Redis at all."""

import contextlib
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from c2c_testing.servers import free_port


def complete(member, count):
    """Tell whether a member's broadcast reaches everybody."""
    found = member("ask", channel="ping", timeout=5)
    return found["complete"] and len(found["answers"]) == count


def back_within(member, count, seconds):
    """Assert that broadcasts reach everybody again soon."""
    begin = time.monotonic()
    while not complete(member, count):
        assert time.monotonic() - begin < seconds
        time.sleep(0.05)


def test_away_at_start(new_redis_server, new_member, eventually):
    """A process starts and answers alone without Redis; it is found when it comes."""
    redis = new_redis_server()
    redis.kill()
    member = new_member(redis, "start")
    found = member("ask", channel="ping", timeout=30)
    assert found["seconds"] < 10
    assert len(found["answers"]) == 1
    assert not found["complete"]
    assert member("tell", channel="ping") is None
    health = member("health")
    assert (health["connected"], health["listening"]) == (False, True)
    assert "refused" in health["error"]
    redis.start()
    back_within(member, 1, 15)
    assert member.log.count("can't be used") == 1
    assert member.log.count("is back") == 1


def test_killed_and_restarted(new_redis_server, team):
    """While Redis is away everybody answers alone and at once; then all are back with their subscriptions."""
    redis = new_redis_server()
    members = team(redis, 3)
    for _ in range(2):
        redis.kill()
        time.sleep(1)
        for member in members:
            found = member("ask", channel="ping", timeout=30)
            assert found["seconds"] < 5
            assert len(found["answers"]) == 1
            assert not found["complete"]
        redis.start()
        for member in members:
            back_within(member, 3, 15)
    for member in members:
        assert member.log.count("can't be used") == 2


def test_others_still_away_are_missed(new_redis_server, team):
    """Right after Redis is back, those that are not back yet are named, so that no answer claims to be whole."""
    redis = new_redis_server()
    members = team(redis, 2)
    members[1].signal(signal.SIGSTOP)
    redis.kill()
    redis.start()
    deadline = time.monotonic() + 20
    while not (found := members[0]("ask", channel="ping", timeout=5))["missing"]:
        assert not found["complete"]
        assert time.monotonic() < deadline
    assert [missing["pid"] for missing in found["missing"]] == [members[1].pid]
    members[1].signal(signal.SIGCONT)
    back_within(members[0], 2, 20)


def test_connections_killed(redis_server, team):
    """Killed connections are made anew at once, without an alarm."""
    members = team(redis_server, 3)
    for _ in range(3):
        redis_server.execute("CLIENT", "KILL", "TYPE", "pubsub")
        back_within(members[0], 3, 15)
    assert not any("can't be used" in member.log for member in members)


def test_redis_that_hangs(new_redis_server, team):
    """A Redis that is connected and silent is noticed; callers are not held up; it is used again when it goes on."""
    redis = new_redis_server()
    members = team(redis, 2)
    with redis.paused():
        first = members[0]("ask", channel="ping", timeout=60)
        assert first["seconds"] < 15
        assert not first["complete"]
        time.sleep(3)
        found = members[0]("ask", channel="ping", timeout=60)
        assert found["seconds"] < 3
        assert len(found["answers"]) == 1
    for member in members:
        back_within(member, 2, 15)


def test_an_ask_waits_no_longer_than_it_says(new_redis_server, team):
    """However long the options let redis-py wait for a reply, who asks waits for its own time-out."""
    redis = new_redis_server()
    (member,) = team(redis, 1, C2C_REDIS_OPTIONS="socket_timeout=90")
    with redis.paused():
        found = member("ask", channel="ping", timeout=1)
        assert found["seconds"] < 45
        assert (len(found["answers"]), found["complete"]) == (1, False)


class Server:
    """A TCP server that is no Redis."""

    def __init__(self, greet):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._greet = greet
        self.accepted = 0
        self._open = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.accepted += 1
                self._open.append(connection)
                if self._greet is not None:
                    connection.recv(10_000)
                    connection.sendall(self._greet)

    def close(self):
        """Close everything."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._open:
            connection.close()


@pytest.mark.parametrize(
    "greet",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"-ERR unknown command 'HELLO'\r\n" * 9,
        b"+OK\r\n" * 500,
        b"$-9\r\n" * 9,
        None,
    ],
)
def test_not_redis(new_member, greet):
    """What is not Redis is named in one warning, tried again slowly, and holds nobody up."""
    server = Server(greet)
    try:
        member = new_member(server.url, "start")
        time.sleep(3)
        found = member("ask", channel="ping", timeout=60)
        assert found["seconds"] < 5
        assert len(found["answers"]) == 1
        assert not found["complete"]
        assert member.log.count("WARNING") == 1
        assert server.url in member.log
        assert 0 < server.accepted < 20
        assert member("health")["listening"]
    finally:
        server.close()


def test_wrong_password(new_redis_server, new_member):
    """A wrong password is one warning, without the password."""
    redis = new_redis_server(password="right right right")
    member = new_member(f"redis://:wrong-wrong@127.0.0.1:{redis.port}/0", "start")
    time.sleep(2)
    found = member("ask", channel="ping", timeout=60)
    assert not found["complete"]
    assert member.log.count("WARNING") == 1
    assert "wrong-wrong" not in member.log
    assert str(redis.port) in member.log


def test_connection_cut_by_the_network(redis_server, new_member):
    """A connection through which suddenly nothing comes any more is noticed and replaced."""
    with Relay(redis_server.port) as relay:
        near, far = new_member(f"redis://127.0.0.1:{relay.port}", "start"), new_member(redis_server, "start")
        back_within(near, 2, 15)
        relay.freeze()
        found = near("ask", channel="ping", timeout=60)
        assert found["seconds"] < 15
        back_within(near, 2, 15)
        back_within(far, 2, 15)


class Relay:
    """Passes bytes on to a port, until it freezes the connections that it has."""

    def __init__(self, port):
        self._target = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._pairs = []

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for pair in self._pairs:
            for one in pair["sockets"]:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

    def freeze(self):
        """Let nothing more through, in either direction, and close nothing."""
        for pair in self._pairs:
            pair["frozen"] = True

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._socket.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                pair = {"sockets": (near, far), "frozen": False}
                self._pairs.append(pair)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(pair, source, sink), daemon=True).start()

    @staticmethod
    def _pass(pair, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                while pair["frozen"]:
                    time.sleep(0.05)
                    if source.fileno() < 0:
                        return
                sink.sendall(data)


def test_unix_socket(new_redis_server, team, tmp_path):
    """A Redis on a unix socket works."""
    path = tmp_path / "redis.sock"
    new_redis_server(settings={"unixsocket": str(path)})
    team(f"unix://{path}", 2)


def test_unwritable_roster(new_redis_server, new_member, prefix, eventually):
    """A Redis that takes no writes is said to be so; the process answers alone."""
    redis = new_redis_server()
    redis.execute("ACL", "SETUSER", "default", "-hset")
    member = new_member(redis, "start")
    eventually(lambda: "NOPERM" in member.log)
    assert not member("ask", channel="ping", timeout=30)["complete"]
    redis.execute("ACL", "SETUSER", "default", "+hset")
    back_within(member, 1, 20)


def test_tls(tmp_path, new_redis_server, team):
    """Over TLS everything is the same, with many messages in both directions at once."""
    redis = new_redis_server()
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with TlsFront(redis.port, context) as front:
        members = team(f"rediss://127.0.0.1:{front.port}?ssl_ca_certs={certificate}", 3)
        for member in members:
            for _ in range(10):
                member.send("ask", channel="ping", params={"x": "y" * 20_000}, timeout=30)
        for member in members:
            for _ in range(10):
                assert len(member.result()["answers"]) == 3


class TlsFront(Relay):
    """Takes TLS connections and passes them on in the clear; one thread a connection, as OpenSSL wants it."""

    def __init__(self, port, context):
        super().__init__(port)
        self._context = context

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        import select

        with contextlib.suppress(OSError, ValueError):  # ValueError: closed between two lines
            near = self._context.wrap_socket(near, server_side=True)
            far = socket.create_connection(("127.0.0.1", self._target))
            self._pairs.append({"sockets": (near, far), "frozen": False})
            while True:
                ready, _, _ = ([near], [], []) if near.pending() else select.select([near, far], [], [])
                for source in ready:
                    data = source.recv(65536)
                    if not data:
                        return
                    (far if source is near else near).sendall(data)


def test_redis_that_loads(new_redis_server, team, eventually):
    """A Redis that loads its data (LOADING) is away for that while: said once, nobody waits, and all are back."""
    redis = new_redis_server(settings={"enable-debug-command": "yes", "loading-process-events-interval-bytes": 1024})
    redis.execute("DEBUG", "POPULATE", 90_000)
    members = team(redis, 2)
    redis.execute("CONFIG", "SET", "key-load-delay", 1000)
    loading = threading.Thread(target=redis.execute, args=("DEBUG", "RELOAD"), kwargs={"timeout": 180})
    loading.start()
    while "LOADING" not in (members[0]("health")["error"] or ""):
        found = members[0]("ask", channel="ping", timeout=30)
        assert found["seconds"] < 15
        assert loading.is_alive()
    assert not members[0]("ask", channel="ping", timeout=30)["complete"]
    eventually(lambda: "LOADING" in members[0].log, 60)
    redis.execute("CONFIG", "SET", "key-load-delay", 0)
    loading.join()
    back_within(members[0], 2, 30)
    assert members[0].log.count("WARNING") == 1


def refused(member, word):
    """Return the commands of a member that Redis refuses with a word."""
    return sorted(command for command, why in member("health")["refused"].items() if word in why)


def test_redis_that_became_a_replica(new_redis_server, new_member, prefix, eventually):
    """READONLY costs what writes: it is named once, and put right when the server is a primary again."""
    redis = new_redis_server()
    member = new_member(redis, "start")
    back_within(member, 1, 20)
    redis.execute("REPLICAOF", "127.0.0.1", "1")
    eventually(lambda: f"HSET {prefix}members" in refused(member, "READONLY"))
    found = member("ask", channel="ping", timeout=30)
    assert (len(found["answers"]), found["complete"]) == (1, False)
    assert member("change", name="levels", key="k", value=1)["everywhere"] is False
    assert "READONLY" in member("health")["unsaved"]["levels"]
    assert member.log.count(f"refuses HSET {prefix}members: READONLY") == 1
    assert "can't be used" not in member.log
    redis.execute("REPLICAOF", "NO", "ONE")
    eventually(lambda: member("entries", name="levels")["everywhere"])
    back_within(member, 1, 20)
    assert redis.execute("HKEYS", f"{prefix}state_levels") == ["k"]


def test_redis_that_can_not_save(new_redis_server, new_member, prefix, tmp_path, eventually):
    """MISCONF (snapshots fail, so writes are refused) is named, and nothing is said to be everywhere meanwhile."""
    folder = tmp_path / "snapshots"
    folder.mkdir()
    redis = new_redis_server(settings={"dir": folder, "save": "3600 1"})
    member = new_member(redis, "start")
    back_within(member, 1, 20)
    folder.rmdir()
    redis.execute("BGSAVE")
    eventually(lambda: f"HSET {prefix}members" in refused(member, "MISCONF"))
    assert member("change", name="levels", key="k", value=1)["everywhere"] is False
    assert "MISCONF" in member("health")["unsaved"]["levels"]
    assert member("health")["listening"]
    assert "can't be used" not in member.log
    redis.execute("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
    eventually(lambda: member("entries", name="levels")["everywhere"])
    back_within(member, 1, 20)


def test_a_cluster(new_redis_server, new_member, prefix, eventually):
    """Keys that are on another node of a cluster (MOVED) are refused, by name; what this node does, works."""
    here, there = (
        new_redis_server(databases=1, settings={"cluster-enabled": "yes", "cluster-port": free_port()})
        for _ in range(2)
    )
    slot = here.execute("CLUSTER", "KEYSLOT", f"{prefix}members")
    here.execute("CLUSTER", "ADDSLOTS", *[one for one in range(16384) if one != slot])
    there.execute("CLUSTER", "ADDSLOTS", slot)
    here.execute("CLUSTER", "MEET", "127.0.0.1", there.port, there.execute("CONFIG", "GET", "cluster-port")[1])
    eventually(lambda: "cluster_state:ok" in here.execute("CLUSTER", "INFO"), 60)
    member = new_member(here, "start")
    eventually(lambda: refused(member, "MOVED") == [f"HGETALL {prefix}members", f"HSET {prefix}members"])
    found = member("ask", channel="ping", timeout=30)
    assert (len(found["answers"]), found["complete"]) == (1, False)
    assert member("health")["connected"]
    assert member.log.count(f"refuses HSET {prefix}members: MOVED") == 1
    assert member.log.count("WARNING") == member.log.count("refuses")
