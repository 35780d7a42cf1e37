"""Processes that take part in broadcasts, for tests of what only several processes and a real Redis show."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from c2c_broadcast import BroadcastSettings
from c2c_broadcast.broadcast import Broadcaster

# No test asserts a duration, Hypothesis's neither: a busy machine takes its time.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

_PROGRAM = Path(__file__).with_name("member_process.py")


class MemberProcess:
    """A process that obeys: ``member("ask", channel="ping")`` returns what its function ``ask`` returns."""

    def __init__(self, environment, log, *arguments):
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, _PROGRAM, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, **environment},
            )
        self.pid = self._process.pid
        self._lines = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _line(self):
        try:
            line = self._lines.get(timeout=90)
        except queue.Empty:
            line = ""
        assert line, f"no answer; its log:\n{self.log}"
        return line

    def ready(self):
        """Wait until it obeys; return itself."""
        assert self._line() == "ready\n"
        return self

    def __call__(self, name, /, **arguments):
        """Do something and return its result."""
        self.send(name, **arguments)
        return self.result()

    def send(self, name, /, **arguments):
        """Ask for something, whose ``result()`` is to be fetched later."""
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        self._process.stdin.flush()

    def result(self):
        """Return the result of the oldest ``send``."""
        return json.loads(self._line())

    def signal(self, number):
        """Send a signal."""
        self._process.send_signal(number)

    def kill(self):
        """Kill the process at once."""
        self._process.kill()
        self._process.wait()

    def end(self):
        """End the process as a program ends."""
        self._process.stdin.close()
        self._process.wait(20)

    @property
    def log(self):
        """What it logged."""
        return self._log.read_text()

    def close(self):
        """Leave nothing behind."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            pipe.close()


@pytest.fixture
def prefix():
    """Give a broadcast prefix of the test's own."""
    return f"test_{uuid.uuid4().hex[:8]}_"


@pytest.fixture
def new_member(tmp_path, prefix):
    """Give a function that starts a process which takes part on a Redis."""
    members = []

    def start(redis, *arguments, wait=True, **environment):
        environment = {
            "C2C_REDIS_URL": getattr(redis, "url", redis) or "",
            "C2C_BROADCAST_PREFIX": prefix,
            **environment,
        }
        member = MemberProcess(environment, tmp_path / f"member{len(members)}.log", *arguments)
        members.append(member)
        return member.ready() if wait else member

    yield start
    for member in members:
        member.close()


@pytest.fixture
def new_broadcaster(prefix):
    """Give a function that makes a broadcaster in this process, on a Redis or, with None, for this process alone."""
    made = []

    def make(redis=None, **settings):
        url = getattr(redis, "url", redis)
        one = Broadcaster(BroadcastSettings(redis_url=url, **{"broadcast_prefix": prefix} | settings), "tests")
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


def eventually(check, seconds=20.0):
    """Return what ``check`` returns as soon as it is true; fail if that takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {found}"
        time.sleep(0.02)


@pytest.fixture(name="eventually")
def eventually_fixture():
    """Give ``eventually``."""
    return eventually


@pytest.fixture
def team(new_member, eventually):
    """Give a function that starts several processes and returns them when they all know each other."""

    def start(redis, count=4, **environment):
        members = [new_member(redis, "start", wait=False, **environment) for _ in range(count)]
        for member in members:
            member.ready()
        for member in members:
            eventually(lambda member=member: len(member("ask", channel="ping", timeout=5)["answers"]) == count)
        return members

    return start
