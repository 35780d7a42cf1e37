"""A process that is stopped for a while."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from c2c_testing.servers import stopped

_PROGRAM = """
import sys, threading, time
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
for line in sys.stdin:
    print("heard", line, end="", flush=True)
"""


@pytest.fixture
def process():
    """Give a process of two threads that repeats what it is told."""
    with subprocess.Popen([sys.executable, "-c", _PROGRAM], stdin=-1, stdout=-1, text=True) as found:
        yield found
        found.kill()


def _ask(process, word):
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


def test_it_is_stopped_and_goes_on(process):
    """All threads are stopped within the block; then it answers what it was asked meanwhile."""
    with stopped(process.pid):
        _ask(process, "you")
        assert Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    assert process.stdout.readline() == "heard you\n"


def test_it_goes_on_after_an_error(process):
    """Whatever the block raises, and however it ends."""
    with pytest.raises(KeyError), stopped(process.pid):
        raise KeyError("mine")
    _ask(process, "still")
    assert process.stdout.readline() == "heard still\n"
    with stopped(process.pid):
        process.kill()
        process.wait()


def test_no_such_process(process):
    """It is said."""
    process.kill()
    process.wait()
    with pytest.raises(ProcessLookupError), stopped(process.pid):
        raise AssertionError("it can't be stopped")


def test_a_limit(process):
    """A process that can't be stopped, because it has ended and nobody has asked how, is told after a time."""
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(TimeoutError, match=r"after 0\.1 s"), stopped(process.pid, limit=0.1):
        raise AssertionError("it can't be stopped")
