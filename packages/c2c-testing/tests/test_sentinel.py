"""The Redis primary and replica under a Sentinel."""

import pytest
import redis
from redis.sentinel import Sentinel


@pytest.fixture
def client(redis_sentinel):
    """Give a client that asks the Sentinel for the primary."""
    sentinel = Sentinel(redis_sentinel.sentinels, socket_timeout=10)
    client = sentinel.master_for(redis_sentinel.service_name, decode_responses=True)
    yield client
    client.close()
    for server in sentinel.sentinels:
        server.close()
    redis_sentinel.restore()


def test_a_client_follows_the_failover(redis_sentinel, client):
    """A failover exchanges the two servers; the data are there, and the client finds them."""
    old = redis_sentinel.primary
    client.set("key", "value")
    assert client.wait(1, 10000) == 1
    redis_sentinel.failover()
    assert redis_sentinel.primary is not old
    assert redis_sentinel.replica is old
    client.connection_pool.disconnect()
    assert client.get("key") == "value"
    assert client.info("server")["tcp_port"] == redis_sentinel.primary.port


def test_a_killed_primary_is_replaced(redis_sentinel, client):
    """The Sentinel promotes the replica by itself; restored, the dead one follows."""
    dead = redis_sentinel.kill_primary()
    client.set("key", "after")
    assert redis_sentinel.primary is not dead
    redis_sentinel.restore()
    assert redis_sentinel.replica is dead
    with redis.Redis.from_url(dead.url, decode_responses=True) as follower:
        assert follower.info("replication")["master_port"] == redis_sentinel.primary.port


def test_a_dead_sentinel_comes_back_with_what_it_knew(redis_sentinel, client):
    """The Sentinel's own restart forgets neither the service nor its replica."""
    primary = redis_sentinel.primary
    redis_sentinel.sentinel.kill()
    redis_sentinel.restore()
    assert redis_sentinel.primary is primary
    assert client.ping()


def test_passwords(new_redis_sentinel):
    """The data servers and the Sentinel want one each, of any characters; the fail-over works nevertheless."""
    data, watch = 'da"ta \\ word', "watch'er"
    servers = new_redis_sentinel(password=data, sentinel_password=watch)
    options = {"socket_timeout": 10}
    sentinel = Sentinel(servers.sentinels, sentinel_kwargs={"password": watch, **options})
    client = sentinel.master_for(servers.service_name, password=data, decode_responses=True, **options)
    client.set("key", "value")
    assert client.wait(1, 10000) == 1
    servers.failover()
    client.connection_pool.disconnect()
    assert client.get("key") == "value"
    for server in (servers.primary, servers.replica, servers.sentinel):
        with redis.Redis(server.host, server.port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
    client.close()
    for one in sentinel.sentinels:
        one.close()
