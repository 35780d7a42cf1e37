"""The Redis protocol server."""

import socket

import pytest
import redis

from c2c_testing import servers


@pytest.fixture
def client(redis_server):
    """Give a redis-py client of the test run's server, emptied."""
    with redis.Redis.from_url(redis_server.url, decode_responses=True, socket_timeout=10) as client:
        client.flushall()
        yield client


def test_is_reached_by_its_url(redis_server, client):
    """redis-py works with the URL; the server listens on the loopback only."""
    client.set("key", "value")
    assert client.get("key") == "value"
    assert client.config_get("bind")["bind"] == "127.0.0.1"
    assert client.info("server")["tcp_port"] == redis_server.port


def test_replies_are_decoded(redis_server):
    """The small client of the server object gives text, numbers, nothing, lists and errors."""
    assert redis_server.execute("PING") == "PONG"
    assert redis_server.execute("DEL", "no-such") == 0
    assert redis_server.execute("GET", "no-such") is None
    redis_server.execute("RPUSH", "list", "é", 1)
    assert redis_server.execute("LRANGE", "list", 0, -1) == ["é", "1"]
    with pytest.raises(servers.ServerError, match="WRONGTYPE"):
        redis_server.execute("GET", "list")


def test_killed_and_back_on_the_same_port(redis_server, client):
    """Kill refuses clients; started again, the server is there and empty, for the same URL."""
    client.set("key", "value")
    redis_server.kill()
    assert not redis_server.running
    with (
        redis.Redis.from_url(redis_server.url, retry=None) as other,
        pytest.raises(redis.ConnectionError, match="refused"),
    ):
        other.ping()
    redis_server.start()
    with redis.Redis.from_url(redis_server.url) as other:
        assert other.get("key") is None


def test_restart_changes_the_process(redis_server):
    """Restart is a new process."""
    before = redis_server.pids()
    redis_server.restart()
    assert len(before) == 1
    assert redis_server.pids() != before
    assert redis_server.log_text().count("Ready to accept connections") >= 2


def test_paused_is_silent(redis_server, client):
    """Paused, it lets clients wait; resumed, it answers."""
    with (
        redis_server.paused(),
        redis.Redis.from_url(redis_server.url, socket_timeout=0.3, retry=None) as other,
        pytest.raises(redis.TimeoutError),
    ):
        other.ping()
    assert client.ping()


def test_restore_mends_it(redis_server, client):
    """Whatever a failed test left, it runs afterwards."""
    redis_server.pause()
    redis_server.restore()
    assert client.ping()
    redis_server.kill()
    redis_server.restore()
    assert redis_server.execute("PING") == "PONG"


def test_takes_options(new_redis_server):
    """Password, number of databases and any setting are the caller's; with a file the data survive a kill."""
    server = new_redis_server(
        password="p:/@%' #", databases=3, settings={"appendonly": "yes", "appendfsync": "always", "maxclients": 50}
    )
    with redis.Redis.from_url(server.url_of(2), decode_responses=True) as client:
        assert client.config_get("maxclients") == {"maxclients": "50"}
        client.set("key", "value")
    with (
        redis.Redis.from_url(server.url_of(3), retry=None) as client,
        pytest.raises(redis.ResponseError, match="out of range"),
    ):
        client.ping()
    with redis.Redis(port=server.port, retry=None) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    server.kill()
    server.start()
    with redis.Redis.from_url(server.url_of(2), decode_responses=True) as client:
        assert client.get("key") == "value"
    assert "p:/@" not in repr(server)


def test_a_busy_port_is_named():
    """A port that was asked for is not replaced by another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(servers.PortBusyError, match=f"Port {port} "), servers.redis_server(port=port):
            pass


def test_a_bad_setting_says_what_is_wrong():
    """The error has the server's own words."""
    with pytest.raises(servers.ServerError, match="maxclients"), servers.redis_server(settings={"maxclients": "x"}):
        pass


def test_a_closed_server_says_so():
    """Using a server after its ``with`` is an error, not a hang."""
    with servers.redis_server() as server:
        folder = server.folder
        assert folder.is_dir()
    assert not folder.exists()
    with pytest.raises(servers.ServerError, match="closed"):
        server.start()
