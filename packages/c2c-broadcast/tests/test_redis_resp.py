"""The Redis protocol and the roster's judgement: plain functions of plain data."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2c_broadcast._resp import ProtocolError, Push, Reader, ReplyError, pack
from c2c_broadcast._roster import FORGOTTEN, FRESH, Member, Roster, Verdict, judge, machine, start_ticks


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"+OK\r\n", b"OK"),
        (b":-5\r\n", -5),
        (b"$5\r\nhe\r\no\r\n", b"he\r\no"),
        (b"$0\r\n\r\n", b""),
        (b"$-1\r\n", None),
        (b"*-1\r\n", None),
        (b"*0\r\n", []),
        (b"*2\r\n:1\r\n*1\r\n+a\r\n", [1, [b"a"]]),
        (b"%1\r\n+a\r\n:1\r\n", [b"a", 1]),
        (b"~1\r\n:1\r\n", [1]),
        (b"_\r\n", None),
        (b"#t\r\n", True),
        (b"#f\r\n", False),
        (b",1.5\r\n", 1.5),
        (b"(123456789012345678901234567890\r\n", 123456789012345678901234567890),
        (b"=7\r\ntxt:abc\r\n", b"abc"),
        (b"|1\r\n+ttl\r\n:3\r\n:7\r\n", 7),
    ],
)
def test_replies(data, reply):
    """Each kind of reply of the specification, whole and byte by byte."""
    assert list(Reader().feed(data)) == [reply]
    reader = Reader()
    assert [got for byte in data for got in reader.feed(bytes([byte]))] == [reply]


@pytest.mark.parametrize("data", [b"-ERR no\r\n", b"!6\r\nERR no\r\n"])
def test_errors(data):
    """Errors are values."""
    (reply,) = Reader().feed(data)
    assert isinstance(reply, ReplyError)
    assert str(reply) == "ERR no"


def test_messages_among_replies():
    """Messages are told from replies by their type."""
    first, second = Reader().feed(b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nd\r\n+OK\r\n")
    assert isinstance(first, Push)
    assert first == [b"message", b"c", b"d"]
    assert second == b"OK"


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400\r\n", b"\r\n", b":x\r\n", b"$x\r\n", b"$99999999999\r\n", b"+" + b"x" * 70_000]
)
def test_not_the_protocol(data):
    """Anything else is an error, never an endless wait."""
    with pytest.raises(ProtocolError):
        list(Reader().feed(data))


@given(st.lists(st.lists(st.binary(max_size=300), min_size=1, max_size=5), max_size=8), st.integers(1, 200))
def test_pack_and_read(commands, piece):
    """A command is an array of texts; whatever the pieces, the same comes out."""
    data = b"".join(pack(*command) for command in commands)
    reader = Reader()
    got = [reply for at in range(0, len(data), piece) for reply in reader.feed(data[at : at + piece])]
    assert got == commands


def test_pack_kinds():
    """Texts and numbers are sent as UTF-8."""
    assert list(Reader().feed(pack("é", 1, 2.5, b"b"))) == [["é".encode(), b"1", b"2.5", b"b"]]


ME = Member.me("tests")


@pytest.mark.parametrize(
    ("age", "connected", "recovering", "verdict"),
    [
        (0, True, False, Verdict.WAIT),
        (FRESH + 1, True, False, Verdict.MISSING),
        (FORGOTTEN - 1, True, False, Verdict.MISSING),
        (FORGOTTEN + 1, True, False, Verdict.GONE),
        (0, False, False, Verdict.MISSING),
        (FRESH + 1, False, False, Verdict.GONE),
        (FRESH + 1, False, True, Verdict.MISSING),
    ],
)
def test_judge_elsewhere(age, connected, recovering, verdict):
    """Of a member on another machine: what its heartbeat and its connection tell."""
    other = Member("x", "h", 5, 0.0, "a", "another machine", "5", 1000.0)
    assert judge(other, ME, 1000.0 + age, connected=connected, recovering=recovering) is verdict


def test_judge_here():
    """On this machine the kernel knows who is dead: also a zombie, and a process id that was used again."""
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    ticks = start_ticks(child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    zombie = Member("x", "h", child.pid, 0.0, "a", machine(), ticks or "", ME.seen)
    reused = Member("x", "h", os.getpid(), 0.0, "a", machine(), "1", ME.seen)
    alive = Member("x", "h", os.getpid(), 0.0, "a", machine(), ME.ticks, ME.seen)
    found = [judge(one, ME, ME.seen, connected=False, recovering=True) for one in (zombie, reused, alive)]
    child.wait()
    assert found == [Verdict.GONE, Verdict.GONE, Verdict.MISSING]


def test_no_proc(tmp_path):
    """Without /proc nothing is concluded from it."""
    me = Member.me("tests", tmp_path)
    assert (me.machine, me.ticks) == ("", "")
    assert judge(me, me, me.seen, connected=False, recovering=False, proc=tmp_path) is Verdict.MISSING


def test_roster_takes_what_is_a_member():
    """Entries that are none are passed over; unchanged ones are not parsed again."""
    roster = Roster()
    good = ME.entry(5.0, ["c"]).encode()
    reply = [ME.id.encode(), good, b"junk", b"{", b"list", b"[]", b"\xff", good]
    first = roster.update(reply)
    assert first[ME.id].channels == {"c"}
    assert first[ME.id].seen == 5.0
    assert list(first) == [ME.id]
    assert roster.update(reply)[ME.id] is first[ME.id]
    assert roster.update([]) == {}
