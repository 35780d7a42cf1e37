"""The spies on requests and redis."""

import asyncio
import subprocess
import sys
import time

import pytest
import redis
import redis.asyncio
import requests

import c2c_stats as stats
from c2c_testing.servers import free_port


@pytest.fixture
def timers():
    """Turn recording on; give a function that returns what was timed, and how often."""
    stats.init_backends({"c2c.stats_view": "true"})
    return lambda: {key: int(one[0]) for key, one in stats.BACKENDS["memory"].snapshot()["timers"].items()}


def test_requests(timers, http_sink):
    """Each exchange: status, method, port; never what is secret in a URL."""
    host = http_sink.url.removeprefix("http://").rstrip("/")
    name, port = host.split(":")
    requests.get(f"http://user:password@{host}/a?secret=x", timeout=30)
    requests.post(f"http://{host}/b", json={}, timeout=30)
    requests.request("brew", f"http://{host}/c", timeout=30)
    assert timers() == {
        f"requests/http/{name}/{port}/GET/200": 1,
        f"requests/http/{name}/{port}/POST/200": 1,
        f"requests/http/{name}/{port}/_OTHER/200": 1,
    }


def test_requests_are_not_marked(timers, http_sink):
    """A prepared request, which the application may send again, is as it was."""
    prepared = requests.Request("GET", http_sink.url).prepare()
    before = dict(vars(prepared)), dict(prepared.headers)
    with requests.Session() as session:
        for _ in range(2):
            session.send(prepared)
    assert (dict(vars(prepared)), dict(prepared.headers)) == before


def test_requests_that_fail(timers):
    """No answer is status 999, and the error goes on its way."""
    with pytest.raises(requests.ConnectionError):
        requests.get("http://127.0.0.1:1/", timeout=30)
    assert timers() == {"requests/http/127.0.0.1/1/GET/999": 1}


def test_requests_until_the_headers(timers, http_sink):
    """A session made before, with streaming: the body is not waited for."""
    with requests.Session() as session, session.get(http_sink.url, stream=True, timeout=30):
        assert sum(timers().values()) == 1


def test_redis_commands(timers, redis_server):
    """Commands and pipelines, good and bad."""
    client = redis.Redis.from_url(redis_server.url)
    client.set("a", 1)
    client.get("a")
    client.execute_command("get", "a")
    with pytest.raises(redis.ResponseError):
        client.lpush("a", 1)
    with client.pipeline() as pipeline:
        pipeline.get("a")
        pipeline.get("a")
        pipeline.execute()
        pipeline.execute()
    with client.pipeline() as pipeline:
        pipeline.watch("a")
        pipeline.multi()
        pipeline.lpush("a", 1)
        with pytest.raises(redis.ResponseError):
            pipeline.execute()
    client.close()
    found = {key: count for key, count in timers().items() if "CLIENT" not in key}
    assert found == {
        "redis/SET/success": 1,
        "redis/GET/success": 2,
        "redis/LPUSH/failure": 1,
        "redis/PIPELINE/success": 1,
        "redis/WATCH/success": 1,
        "redis/PIPELINE/failure": 1,
    }


def test_a_command_of_another_type(timers):
    """The caller sees what the client says, whatever a command is."""
    with pytest.raises(redis.ConnectionError):
        redis.Redis(port=free_port()).execute_command(["GET"], "a")
    assert timers() == {"redis/['GET']/failure": 1}


def test_redis_with_asyncio(timers, redis_server):
    """Clients of redis.asyncio are timed until their answer is awaited: commands and pipelines, good and bad."""

    async def use():
        async with redis.asyncio.Redis.from_url(redis_server.url) as client:
            await client.set("a", 1)
            assert await client.get("a") == b"1"
            with pytest.raises(redis.ResponseError):
                await client.lpush("a", 1)
            async with client.pipeline() as pipeline:
                pipeline.get("a")
                assert await pipeline.execute() == [b"1"]
                await pipeline.execute()
            async with client.pipeline() as pipeline:
                await pipeline.watch("a")
                pipeline.multi()
                pipeline.lpush("a", 1)
                with pytest.raises(redis.ResponseError):
                    await pipeline.execute()

    asyncio.run(use())
    found = {key: count for key, count in timers().items() if "CLIENT" not in key}
    assert found == {
        "redis/SET/success": 1,
        "redis/GET/success": 1,
        "redis/LPUSH/failure": 1,
        "redis/PIPELINE/success": 1,
        "redis/WATCH/success": 1,
        "redis/PIPELINE/failure": 1,
    }


@pytest.fixture
def redis_cluster(new_redis_server):
    """Give a cluster of one node, which has all slots."""
    server = new_redis_server(databases=1, settings={"cluster-enabled": "yes", "cluster-port": free_port()})
    server.execute("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    deadline = time.monotonic() + 60
    while "cluster_state:ok" not in server.execute("CLUSTER", "INFO"):
        assert time.monotonic() < deadline, "the cluster did not form"
        time.sleep(0.05)
    return server


def test_redis_cluster(timers, redis_cluster):
    """Clients of a cluster, too: commands and pipelines, good and bad, and what they ask about the cluster itself."""
    with redis.RedisCluster("127.0.0.1", redis_cluster.port) as client:
        client.set("a", 1)
        with pytest.raises(redis.ResponseError):
            client.lpush("a", 1)
        with client.pipeline() as pipeline:
            pipeline.get("a").get("b")
            assert pipeline.execute() == [b"1", None]
    found = timers()
    assert [found.get(f"redis/{key}") for key in ("SET/success", "LPUSH/failure", "PIPELINE/success")] == [1, 1, 1]
    assert "redis/GET/success" not in found


def test_redis_cluster_with_asyncio(timers, redis_cluster):
    """The same with asyncio."""

    async def use():
        async with redis.asyncio.RedisCluster("127.0.0.1", redis_cluster.port) as client:
            await client.set("a", 1)
            with pytest.raises(redis.ResponseError):
                await client.lpush("a", 1)
            async with client.pipeline() as pipeline:
                pipeline.get("a").get("b")
                assert await pipeline.execute() == [b"1", None]

    asyncio.run(use())
    found = timers()
    assert [found.get(f"redis/{key}") for key in ("SET/success", "LPUSH/failure", "PIPELINE/success")] == [1, 1, 1]


def test_redis_that_is_not_to_be_watched(redis_server):
    """C2C_TRACK_REDIS=false leaves redis alone, where nothing watched it before."""
    program = f"""
import redis, c2c_stats as stats
stats.init_backends({{"c2c.stats_view": "true", "c2c.track_redis": "false"}})
redis.Redis.from_url({redis_server.url!r}).get("a")
print(stats.BACKENDS["memory"].snapshot()["timers"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "{}"


def test_redis_with_tags(redis_server):
    """With tags: cmd and success."""
    stats.init_backends({"c2c.stats_view": "true", "c2c.statsd_use_tags": "true"})
    client = redis.Redis.from_url(redis_server.url)
    client.get("a")
    client.close()
    assert "redis/cmd=GET/success=1" in stats.BACKENDS["memory"].snapshot()["timers"]
