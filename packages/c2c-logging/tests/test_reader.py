"""Who reads the log, or stops reading it: a line is written before the call returns, and nobody ever waits."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

HEAD = """
import json, logging, os, signal, sys, threading, time
import c2c_logging
from c2c_logging import JsonLogHandler, readers_behind

log = logging.getLogger()
log.setLevel("INFO")
handler = JsonLogHandler(sys.stdout)
log.addHandler(handler)

def say(*values):
    print(*values, file=sys.stderr, flush=True)
"""


# A busy machine may not give the reader, nor the program, the time to pass on all that waits in two seconds.
PATIENT = "handler._output.at_end = 60.0\n"


class Program:
    """A Python program whose standard output is a pipe that this test reads, or does not."""

    def __init__(self, folder, code):
        path = folder / "program.py"
        path.write_text(HEAD + code)
        self.process = subprocess.Popen(
            [sys.executable, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE
        )

    def told(self):
        """Return the next line on standard error."""
        return self.process.stderr.readline().decode().strip()

    def go(self):
        """Let it go on."""
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def read(self):
        """Return all lines that it writes to its end, parsed."""
        return [json.loads(line) for line in self.process.stdout.read().splitlines()]

    def ends(self, timeout=30):
        """Wait for its end."""
        return self.process.wait(timeout)


@pytest.fixture
def start(tmp_path):
    """A function that starts a program."""
    programs = []

    def start(code):
        programs.append(Program(tmp_path, code))
        return programs[-1]

    yield start
    for program in programs:
        program.process.kill()
        program.process.wait()
        for file in (program.process.stdout, program.process.stderr, program.process.stdin):
            file.close()


def test_a_crash_loses_no_line(start):
    """While the reader keeps up a line is out before the call returns, a long one too: SIGKILL loses none.

    On a busy machine the reader is behind for a moment: the program waits for it, before a line, not after it.
    """
    program = start(
        "import fcntl, struct, termios\n"
        "for number in range(500):\n"
        "    while struct.unpack('i', fcntl.ioctl(1, termios.FIONREAD, bytes(4)))[0] > 20_000:\n"
        "        time.sleep(0.001)\n"
        "    log.info('line %s %s', number, 'x' * (20_000 if number % 100 == 7 else 10))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    lines = program.read()
    assert program.ends() == -signal.SIGKILL
    assert [line["msg"].split()[1] for line in lines] == [str(number) for number in range(500)]


def test_the_pipe_of_others_is_left_alone(start):
    """Our own description does not block; what others have of the same pipe blocks as before."""
    program = start("log.info('x'); say(os.get_blocking(1)); sys.stdin.readline(); os.write(1, b'{}')")
    assert program.told() == "True"
    program.go()
    assert len(program.read()) == 2


STUCK = """
begun = time.monotonic()
for number in range(3000):
    log.info('line %s %s', number, 'x' * 200)
say(time.monotonic() - begun, bool(readers_behind()))
sys.stdin.readline()
"""


def test_nobody_waits_for_a_reader_and_nothing_is_lost(start):
    """Far more than the pipe takes: the calls return, the reader is known to be behind, and it gets all in order."""
    program = start(PATIENT + STUCK)
    took, behind = program.told().split()
    assert float(took) < 20
    assert behind == "True"
    program.go()
    lines = program.read()
    assert program.ends() == 0
    assert [line["msg"].split()[1] for line in lines] == [str(number) for number in range(3000)]


def test_the_oldest_are_dropped_and_counted_once(start):
    """What does not fit the queue is dropped from its old end; how many is one line in the log itself."""
    program = start(PATIENT + STUCK.replace("3000", "15_000"))
    program.told()
    program.go()
    lines = program.read()
    numbers = [int(line["msg"].split()[1]) for line in lines if line["msg"].startswith("line")]
    told = [line for line in lines if line["logger_name"] == "c2c_logging"]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 14_999
    assert [line["msg"] for line in told] == [
        f"{15_000 - len(numbers)} log lines were dropped: their reader was behind"
    ]


def test_big_lines_are_bounded_by_their_size(start):
    """16 MB wait at most, however few lines that are."""
    program = start(
        "for number in range(1000):\n    log.info('line %s %s', number, 'x' * 30_000)\nsay(readers_behind()[0].lines)"
    )
    assert 100 < int(program.told()) < 600


def test_it_ends_though_nobody_reads(start):
    """A reader that never reads again gets two seconds at the end, in all."""
    program = start(STUCK)
    program.told()
    begun = time.monotonic()
    program.go()
    assert program.ends() == 0
    assert time.monotonic() - begun < 20


def test_it_ends_by_sigterm(start):
    """So does a service that is told to end."""
    program = start("signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))" + STUCK)
    program.told()
    program.process.send_signal(signal.SIGTERM)
    assert program.ends() == 0


@pytest.mark.parametrize(
    ("end", "status"),
    [("logging.shutdown(); os._exit(5)", 5), ("os.execv('/bin/sh', ['sh', '-c', 'exit 7'])", 7), ("pass", 0)],
)
def test_what_waits_is_written_at_the_end(start, end, status):
    """At ``shutdown``, before another program, at exit: a reader that is slow gets all."""
    program = start(PATIENT + STUCK + end)
    program.told()
    program.go()
    time.sleep(0.3)
    assert len(program.read()) == 3000
    assert program.ends() == status


def test_a_fork_while_the_reader_is_behind(start):
    """What waits is the parent's to write; the child writes its own, also one of multiprocessing."""
    program = start(
        PATIENT
        + STUCK
        + "import multiprocessing\n"
        + "def work():\n"
        + "    log.info('child %s', 1)\n"
        + "child = multiprocessing.get_context('fork').Process(target=work)\n"
        + "child.start()\n"
        + "pid = os.fork()\n"
        + "if not pid:\n"
        + "    log.info('child %s', 2)\n"
        + "    handler.flush()\n"
        + "    os._exit(0)\n"
        + "child.join(); os.waitpid(pid, 0)\n"
    )
    program.told()
    program.go()
    lines = [line["msg"].split()[:2] for line in program.read()]
    assert sorted(line[1] for line in lines if line[0] == "child") == ["1", "2"]
    assert [line[1] for line in lines if line[0] == "line"] == [str(number) for number in range(3000)]


def test_a_pipe_that_is_closed(start):
    """Its lines are lost: the program goes on, and says it once."""
    program = start(
        "sys.stdin.readline()\n"
        "for number in range(100):\n"
        "    log.info('line %s', number)\n"
        "say('still here', bool(readers_behind()))"
    )
    program.process.stdout.close()
    program.go()
    said = program.process.stderr.read().decode()
    assert program.ends() == 0
    assert said.count("log lines can't be written") == 1
    assert "still here False" in said
    assert "Traceback" not in said


def test_standard_error_may_be_stuck_too(start):
    """What is complained about is said there, and does not block either."""
    program = start(
        "broken = c2c_logging.JsonLogHandler(open(os.devnull, 'w'))\n"
        "broken.stream.close()\n"
        "os.dup2(1, 2)\n"
        "for number in range(3000):\n"
        "    log.info('line %s %s', number, 'x' * 200)\n"
        "for number in range(300):\n"
        "    c2c_logging._sending.Complaint('thing').wrong('x' * 500)\n"
        "os._exit(7)\n"
    )
    assert program.ends() == 7


def test_long_lines_of_several_processes_are_whole(start):
    """Lines longer than what a pipe takes at once are not torn by another worker's, while the reader is slow."""
    program = start(
        "for _ in range(3):\n"
        "    if not os.fork():\n"
        "        for number in range(300):\n"
        "            log.info('%s', 'x' * (9_000 if number % 3 else 50))\n"
        "        while not handler._output.flush():\n"
        "            time.sleep(0.1)\n"
        "        os._exit(0)\n"
        "for _ in range(3):\n"
        "    os.wait()\n"
    )
    text = b""
    while chunk := os.read(program.process.stdout.fileno(), 8192):
        text += chunk
        time.sleep(0.0002)
    assert len([json.loads(line) for line in text.splitlines()]) == 900


def test_a_stream_that_means_something_else_by_now(start, tmp_path):
    """A daemon that lets go of its terminal: lines go where the number leads, not where it led."""
    program = start(
        f"log.info('one')\nos.dup2(os.open({str(tmp_path / 'file')!r}, os.O_WRONLY | os.O_CREAT), 1)\n"
        "time.sleep(0.1)\nlog.info('two')\n"
    )
    assert [line["msg"] for line in program.read()] == ["one"]
    assert '"msg":"two"' in (tmp_path / "file").read_text()


def test_a_pipe_that_cannot_be_opened_again(start):
    """Where ``/proc`` is of no use, a thread writes: in order, without anybody waiting."""
    program = start(
        "opened = os.open\n"
        "def refuse(path, *args, **kwargs):\n"
        "    if str(path).startswith('/proc/self/fd'):\n"
        "        raise PermissionError(path)\n"
        "    return opened(path, *args, **kwargs)\n"
        "os.open = refuse\n"
        "handler._output = None\n"
        "c2c_logging._sending._OUTPUTS.clear()\n"
        "handler._looked = 0\n"
        "log.info('line -1')\n" + PATIENT + STUCK
    )
    program.told()
    program.go()
    lines = program.read()
    assert [line["msg"].split()[1] for line in lines] == [str(number) for number in range(-1, 3000)]


def test_a_socket(tmp_path):
    """Systemd gives a service a socket for its output: it is written to at once, and never waited for."""
    import socket

    ours, theirs = socket.socketpair()
    code = HEAD + PATIENT + STUCK
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=theirs.fileno(), stderr=subprocess.PIPE, stdin=subprocess.PIPE
    )
    theirs.close()
    try:
        assert process.stderr.readline().split()[1] == b"True"
        text = b""

        def read():
            nonlocal text
            while chunk := ours.recv(65536):
                text += chunk

        thread = threading.Thread(target=read)
        thread.start()
        process.communicate(b"\n", timeout=60)
        thread.join(60)
    finally:
        process.kill()
        process.wait()
        ours.close()
    numbers = [json.loads(line)["msg"].split()[1] for line in text.splitlines()]
    assert numbers == [str(number) for number in range(3000)]
