"""Workers and scripts take part in broadcasts."""

import os
import signal

import pytest

from c2c_testing.servers import stopped

SCRIPT = """
import time
from c2c_meta import bootstrap
with bootstrap("production.ini") as env:
    print("up", flush=True)
    time.sleep(1000)
"""

ASKING = """
import os, time
from c2c_broadcast import broadcast
from c2c_meta import bootstrap
with bootstrap("production.ini") as env:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if len({answer["pid"] for answer in broadcast.ask("tiny").answers} - {os.getpid()}) == 2:
            print("two workers")
            break
        time.sleep(0.1)
"""


@pytest.fixture
def redis(redis_server, folder):
    """The environment that names a Redis, for a service that includes the base."""
    folder.setting("pyramid.includes = c2c_broadcast")
    return {"C2C_REDIS_URL": redis_server.url, "C2C_BROADCAST_PREFIX": f"test_{os.urandom(4).hex()}_"}


@pytest.mark.parametrize("preload", ["", "--preload"])
def test_workers(folder, redis, preload):
    """Each worker is a member, and so is one that replaces another."""
    process = folder.serve(params=f"--worker-class gthread --threads 4 --workers 2 {preload}", **redis)
    workers = process.workers(2)
    folder.until(lambda: set(process.get("/asked")[2]) == workers)
    victim = min(workers)
    os.kill(victim, signal.SIGKILL)
    folder.until(lambda: len(set(process.get("/asked")[2]) - {victim}) == 2)


def test_before_any_request(folder, redis):
    """Workers answer although nobody has sent a request to any of them."""
    port = folder.free_port()
    arguments = ["production.ini", "--", "-b", f"127.0.0.1:{port}", "--workers", "2"]
    folder.start("c2c-run", *arguments, port=port, GUNICORN_PARAMS="--worker-class gthread", **redis)
    seen = folder.python(ASKING, **redis)
    assert seen.splitlines()[-1] == "two workers"


@pytest.mark.parametrize("include", ["pyramid.includes = c2c_broadcast", ""])
def test_script(folder, redis, include):
    """A script that was set up by bootstrap answers what the service asks, whatever its application includes."""
    process = folder.serve(params="--worker-class gthread --workers 1", **redis)
    folder.setting(include)
    script = folder.start("python", "-c", SCRIPT, port=0, **redis)
    folder.until(lambda: script.popen.pid in process.get("/asked")[2])


MISSING = """
import sys, time
from c2c_broadcast import broadcast
broadcast.init()
end = time.monotonic() + 90
while time.monotonic() < end:
    missing = broadcast.ask("tiny", timeout=3).missing
    if missing:
        print(missing[0].pid, missing[0].application)
        break
"""


def test_application_name(folder, redis):
    """The members are called as the service is, not as the program that serves it."""
    process = folder.serve(params="--worker-class gthread --workers 1", **redis)
    (worker,) = process.workers(1)
    folder.until(lambda: process.get("/asked")[2] == [worker])
    with stopped(worker):
        assert folder.python(MISSING, **redis) == f"{worker} tiny\n"
