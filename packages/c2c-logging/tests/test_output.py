"""One pipe, or what else lines are written to, in this process: whole lines, at once where there is room."""

import contextlib
import fcntl
import gc
import gzip
import io
import os
import socket
import struct
import termios
import time
from pathlib import Path

import pytest

from c2c_logging import _sending
from c2c_logging._sending import output_of


class Pipe:
    """A pipe that nobody reads yet, and the output of its other end."""

    def __init__(self):
        self.reading, writing = os.pipe()
        self.stream = os.fdopen(writing, "w")
        self.output = output_of(self.stream)
        self.output.at_end = 60.0  # a busy machine may not give the thread its time in two seconds

    @property
    def held(self):
        """Return how many bytes wait in it."""
        return struct.unpack("i", fcntl.ioctl(self.reading, termios.FIONREAD, bytes(4)))[0]

    @property
    def descriptors(self):
        """Return how many descriptors of this process are of it."""
        inode = os.fstat(self.reading).st_ino
        found = 0
        for one in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):  # what listed them is closed again
                found += os.fstat(int(one.name)).st_ino == inode
        return found

    def put(self, line):
        """Write a line."""
        self.output.put(line, len(line))

    def asked(self, name):
        """Return a list that grows by one with each call of a method of the output."""
        calls, method = [], getattr(self.output, name)
        setattr(self.output, name, lambda *arguments: calls.append(1) or method(*arguments))
        return calls

    def read(self, size):
        """Return so many bytes, as soon as they are there."""
        found = b""
        while len(found) < size:
            found += os.read(self.reading, size - len(found))
        return found

    def close(self):
        """Close both ends."""
        self.stream.close()
        os.close(self.reading)


@pytest.fixture
def new_pipe():
    """Give a function that makes one."""
    pipes = []

    def new():
        pipes.append(Pipe())
        return pipes[-1]

    yield new
    for pipe in pipes:
        pipe.close()


def test_what_fits_is_written_where_it_comes(new_pipe):
    """Short lines and long ones, without a thread; it is there when the call returns."""
    pipe = new_pipe()
    for line in (b"short\n", b"x" * 4_095 + b"\n", b"y" * 30_000 + b"\n"):
        pipe.put(line)
        assert pipe.read(pipe.held) == line
    assert pipe.output.behind is None
    assert not pipe.output._worker.running
    ours, theirs = socket.socketpair()
    with ours, theirs, os.fdopen(theirs.fileno(), "w", closefd=False) as stream:
        output = output_of(stream)
        output.put(b"short\n", 6)
        assert ours.recv(100, socket.MSG_DONTWAIT) == b"short\n"
        assert not output._worker.running
    with Path(os.devnull).open("w") as stream:  # which can't say what waits in it
        output = output_of(stream)
        output.put(b"z" * 100_000, 100_000)
        assert not output._worker.running


def test_what_is_said_to_fit_fits(new_pipe):
    """However a pipe was filled; and what it has is put to use: 56 kB of an empty one."""
    fits = []
    for part, times in (
        (1, 0),
        (1, 50),
        (100, 300),
        (3_000, 9),
        (4_096, 2),
        (4_095, 9),
        (5_000, 7),
        (8_192, 1),
        (9, 1),
    ):
        for size in (4_097, 8_192, 20_000, 40_960, 57_344, 57_345, 61_440, 65_536, 70_000, 90_000):
            pipe = new_pipe()
            for _ in range(times):
                assert pipe.output._try(b"x" * part) == part
            if pipe.output._has_room(size):
                assert pipe.output._try(b"y" * size) == size
                fits.append((part, times, size))
            pipe.output = None
    assert (1, 0, 57_344) in fits
    assert (8_192, 1, 40_960) in fits


@pytest.mark.parametrize("patience", [600.0, 0.0])
def test_a_long_line_waits_for_room_for_all_of_it(new_pipe, monkeypatch, patience, caplog):
    """While it has patience none of it is written where the rest has no room; nor is it tried all the time."""
    monkeypatch.setattr(_sending, "_PATIENCE", patience)
    pipe = new_pipe()
    first, second = b"a" * 50_000 + b"\n", b"b" * 30_000 + b"\n"
    tried, asked = pipe.asked("_try"), pipe.asked("_has_room")
    pipe.put(first)
    pipe.put(second)
    if patience:
        time.sleep(0.5)
        assert pipe.held == len(first)
    else:
        deadline = time.monotonic() + 60
        while pipe.held == len(first):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.5)
    assert pipe.output.behind.lines == 1
    assert len(tried) + len(asked) < 100
    assert pipe.read(len(first) + len(second)) == first + second
    assert pipe.output.flush()
    assert pipe.output.behind is None
    assert not caplog.messages, "nothing was dropped"


def test_a_reader_that_ends_while_lines_wait(new_pipe, capfd):
    """They are lost, which is said once, with the reason; nobody waits for them."""
    pipe = new_pipe()
    for _ in range(50):
        pipe.put(b"x" * 4_000 + b"\n")
    assert pipe.output.behind.lines > 10
    os.close(pipe.reading)
    pipe.reading = os.dup(pipe.stream.fileno())  # to be closed by the fixture
    assert pipe.output.flush()
    assert pipe.output.behind is None
    said = capfd.readouterr().err
    assert said == "c2c_logging: log lines can't be written: Broken pipe: what waits is lost\n"


def test_streams_of_one_pipe_have_one_output(new_pipe):
    """Whose own descriptor is closed when nobody uses it any more."""
    pipe = new_pipe()
    with os.fdopen(os.dup(pipe.stream.fileno()), "w") as other:
        assert output_of(other) is pipe.output
        assert output_of(new_pipe().stream) is not pipe.output
    assert pipe.descriptors == 3
    pipe.output = None
    gc.collect()
    assert pipe.descriptors == 2


def test_streams_that_are_written_to_as_ever(tmp_path):
    """Files, and what is no file or writes to one in its own way."""
    with (tmp_path / "file").open("w") as file, gzip.open(tmp_path / "zipped", "wt") as zipped:
        assert [output_of(stream) for stream in (file, zipped, io.StringIO(), None)] == [None] * 4
