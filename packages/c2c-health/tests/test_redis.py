"""The check of a Redis, against a real server."""

import time

import pytest
from redis import Redis

from c2c_broadcast import ConfigurationError, SharedState


def test_a_redis_that_answers(service, new_redis_server):
    """Green with a password, too; named without it."""
    made, server = service(), new_redis_server(password="let-me-in-please")
    made.health.add_redis_check(server.url)
    made.health.add_redis_check(server.url, name="mine", level=2)
    made.health.add_redis_check(f"redis://:wrong-password@{server.host}:{server.port}/1", level=3)
    answer = made.get("/health_check?max_level=3", status=500)
    address = f"redis://{server.host}:{server.port}"
    assert set(answer.json["successes"]) == {f"{address}/0", "mine"}
    assert set(answer.json["failures"]) == {f"{address}/1"}
    assert "password" not in answer.text.replace("username-password", "")


def test_killed_paused_and_back(service, redis_server):
    """Red while it is away or silent, within the deadline, green when it is back."""
    made = service()
    made.health.add_redis_check(redis_server.url, timeout=4)
    made.health.add_custom_check("other", lambda request: None)
    made.get()
    with redis_server.down():
        assert set(made.get(status=500).json["successes"]) == {"other"}
    assert made.get().json["failures"] == {}
    with redis_server.paused():
        assert set(made.get(status=500).json["successes"]) == {"other"}
    deadline = time.monotonic() + 30
    while made.get(status="*").json["failures"]:  # the run that hung is about to end
        assert time.monotonic() < deadline


def test_the_configured_redis_has_a_check_by_itself(service, redis_server):
    """At level 2; with Redis away it is red and every other check as green as before."""
    made = service(**{"c2c.redis_url": f"{redis_server.host}:{redis_server.port}/3"})
    made.health.add_custom_check("other", lambda request: None)
    name = "redis"
    assert set(made.get("/health_check").json["successes"]) == {"other"}
    found = made.get("/health_check?max_level=2").json["successes"]
    assert set(found) == {"other", name}
    assert found[name]["level"] == 2
    assert set(found[name]["result"]) == {"version", "role", "connected_clients", "used_memory"}
    with redis_server.down():
        answer = made.get("/health_check?max_level=2", status=500)
        assert set(answer.json["successes"]) == {"other"}
        assert set(answer.json["failures"]) == {name}
        made.get("/health/live")
        made.get("/health/ready")


def test_a_redis_that_refuses_what_is_stored(service, redis_server):
    """A shared state that Redis does not take makes its check red until it does: it answers, and could not be told."""
    made = service(**{"c2c.redis_url": redis_server.url})
    made.get("/health_check?max_level=2")
    state = SharedState("levels")
    try:
        redis_server.execute("CONFIG", "SET", "maxmemory", "1")
        assert not state.set("k", 1).everywhere
        [failure] = made.get("/health_check?max_level=2", status=500).json["failures"].values()
        assert "refuses writes" in failure["message"]
    finally:
        redis_server.execute("CONFIG", "SET", "maxmemory", "0")
    deadline = time.monotonic() + 30
    while made.get("/health_check?max_level=2", status="*").json["failures"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_automatic_check_by_its_url(service, redis_server):
    """Where the settings want it so."""
    made = service(**{"c2c.redis_url": redis_server.url, "c2c.health.redis_name": "url"})
    [name] = made.get("/health_check?max_level=2").json["successes"]
    assert name == f"redis://{redis_server.host}:{redis_server.port}/0"


def test_a_redis_that_refuses_writes_is_red(service, new_redis_server):
    """It answers, and stores nothing: out of memory, and a replica."""
    server = new_redis_server()
    made = service(**{"c2c.redis_url": server.url})
    made.get("/health_check?max_level=2")
    with Redis.from_url(server.url) as client:
        client.config_set("maxmemory", "1")
        [found] = made.get("/health_check?max_level=2", status=500).json["failures"].values()
        assert "refuses writes" in found["message"]
        assert found["result"]["role"] == "master"
        client.config_set("maxmemory", "0")
        made.get("/health_check?max_level=2")
        client.replicaof("127.0.0.1", 1)
        [found] = made.get("/health_check?max_level=2", status=500).json["failures"].values()
        assert "refuses writes" in found["message"]


def test_an_own_check_of_the_configured_redis_comes_first(service, redis_server):
    """The one that the application adds replaces the automatic one."""
    made = service(**{"c2c.redis_url": redis_server.url})
    made.health.add_redis_check(redis_server.url, level=1)
    [found] = made.get("/health_check?max_level=9").json["successes"].values()
    assert found["level"] == 1


def test_redis_5(service, redis_server):
    """No check says HELLO, which Redis 5 does not know: what is spoken is RESP 2."""
    redis_server.execute("CONFIG", "RESETSTAT")
    made = service(**{"c2c.redis_url": redis_server.url})
    made.health.add_redis_check(redis_server.url, "mine")
    made.get("/health_check?max_level=2")
    said = redis_server.info("commandstats")
    assert "cmdstat_ping" in said
    assert "cmdstat_hello" not in said


def test_sentinels(service, redis_sentinel):
    """The Redis that sentinels name has a check too."""
    made = service(
        **{
            "c2c.redis_sentinels": f"{redis_sentinel.sentinel.host}:{redis_sentinel.sentinel.port}",
            "c2c.redis_servicename": redis_sentinel.service_name,
        }
    )
    [name] = made.get("/health_check?max_level=2").json["successes"]
    assert name == "redis"


def test_named_by_the_sentinels(service, redis_sentinel):
    """Where the setting says so the check is named by the addresses of the Sentinels, and tells what Redis is."""
    address = f"{redis_sentinel.sentinel.host}:{redis_sentinel.sentinel.port}"
    given = {"c2c.redis_sentinels": address, "c2c.redis_servicename": redis_sentinel.service_name}
    found = service(**given, **{"c2c.health.redis_name": "url"}).get("/health_check?max_level=2").json["successes"]
    assert list(found) == [address]
    assert found[address]["result"]["role"] == "master"


def test_sentinels_with_credentials_and_time_outs(service, new_redis_sentinel):
    """Their password and that of the Redis are used, and so is a time-out among the options."""
    servers = new_redis_sentinel(password="data", sentinel_password="watch")
    made = service(
        **{
            "c2c.redis_sentinels": f"{servers.sentinel.host}:{servers.sentinel.port}",
            "c2c.redis_servicename": servers.service_name,
            "c2c.redis_options": "socket_timeout=3,password=data",
            "c2c.redis_sentinel_options": "password=watch",
        }
    )
    assert list(made.get("/health_check?max_level=2").json["successes"]) == ["redis"]


def test_no_redis_no_check(service):
    """Nothing is added, and nothing imported, where none is configured."""
    assert service().get("/health_check?max_level=99").json == {"successes": {}, "failures": {}}


@pytest.mark.parametrize("url", ["http://x", "redis://x:port/0", "redis://[::1"])
def test_what_is_no_redis_stops_the_start_up(service, url):
    """It names the check, not the password."""
    with pytest.raises(ConfigurationError, match="health check of the Redis"):
        service().health.add_redis_check(url)
