"""Who takes part: what members say of themselves in Redis, and what others may conclude."""

import enum
import json
import os
import secrets
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from c2c_broadcast._answers import Missing

HEARTBEAT = 2.0
"""Seconds between two signs of life."""
FRESH = 3 * HEARTBEAT
"""A member whose last sign of life is older is not waited for."""
FORGOTTEN = 600.0
"""A member that is connected and silent (a stopped process) is named as missing for this long."""
_STARTTIME = 19  # field 22 of /proc/<pid>/stat (man proc_pid_stat), counted after the name, which ends with ")"


@dataclass(frozen=True, slots=True)
class Member:
    """A process that takes part in broadcasts.

    ``started`` and ``seen`` are seconds since the epoch; ``machine`` names the kernel and the PID namespace in which
    ``pid`` and ``ticks`` (its start time as the kernel counts) are meaningful; ``channels`` are those it listens to.
    """

    id: str
    hostname: str
    pid: int
    started: float
    application: str
    machine: str = ""
    ticks: str = ""
    seen: float = 0.0
    channels: frozenset[str] = frozenset()

    @classmethod
    def me(cls, application: str, proc: Path = Path("/proc")) -> Self:
        """Return the current process as a new member."""
        pid = os.getpid()
        now = time.time()
        return cls(
            f"{secrets.token_hex(8)}-{pid}",
            socket.gethostname(),
            pid,
            now,
            application,
            machine(proc),
            start_ticks(pid, proc) or "",
            now,
        )

    @classmethod
    def parse(cls, identity: bytes, data: bytes) -> Self | None:
        """Return the member that an entry of the roster describes, None if it describes none."""
        try:
            entry = json.loads(data)
            return cls(
                identity.decode(),
                str(entry["hostname"]),
                int(entry["pid"]),
                float(entry["started"]),
                str(entry["application"]),
                str(entry["machine"]),
                str(entry["ticks"]),
                float(entry["seen"]),
                frozenset(entry["channels"]),
            )
        except (ValueError, TypeError, KeyError):
            return None

    def entry(self, seen: float, channels: Iterable[str]) -> str:
        """Return the entry of the roster for this member."""
        return json.dumps(
            {
                "hostname": self.hostname,
                "pid": self.pid,
                "started": self.started,
                "application": self.application,
                "machine": self.machine,
                "ticks": self.ticks,
                "seen": round(seen, 3),
                "channels": sorted(channels),
            }
        )

    def missing(self) -> Missing:
        """Return this member as one that did not answer."""
        return Missing(self.hostname, self.pid, self.application, self.seen)

    def at(self, seen: float) -> "Member":
        """Return this member seen at another time."""
        return replace(self, seen=seen)


def machine(proc: Path = Path("/proc")) -> str:
    """Return a name of this kernel since it booted and of this process's PID namespace, empty where unknown."""
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(proc / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def start_ticks(pid: int, proc: Path = Path("/proc")) -> str | None:
    """Return when a process started, in the kernel's clock ticks since boot; None if there is no such process.

    A zombie counts as no process.
    """
    try:
        fields = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if len(fields) <= _STARTTIME or fields[0] in {"Z", "X"} else fields[_STARTTIME]


class Verdict(enum.Enum):
    """What to do about a member that has not answered."""

    WAIT = enum.auto()
    MISSING = enum.auto()
    GONE = enum.auto()


def judge(
    member: Member, me: Member, now: float, *, connected: bool, recovering: bool, proc: Path = Path("/proc")
) -> Verdict:
    """Tell whether a silent member may still answer, is to be named as missing, or is no member any more.

    ``connected`` says that Redis has a connection of it; ``recovering`` that Redis itself was away a moment ago, when
    nobody is forgotten for being disconnected.
    """
    age = now - member.seen
    if connected:
        if age <= FRESH:
            return Verdict.WAIT
        return Verdict.MISSING if age <= FORGOTTEN else Verdict.GONE
    if me.machine and member.machine == me.machine and start_ticks(member.pid, proc) != member.ticks:
        return Verdict.GONE
    return Verdict.MISSING if recovering or age <= FRESH else Verdict.GONE


class Roster:
    """Members by id, parsed from Redis's hash; an entry that did not change is not parsed again."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[bytes, Member]] = {}
        self.members: dict[str, Member] = {}

    def update(self, reply: list[Any]) -> dict[str, Member]:
        """Take a reply to HGETALL; return all members by id."""
        before, known = self._known, {}
        for identity, data in zip(reply[::2], reply[1::2], strict=True):
            entry = before.get(identity)
            if entry is None or entry[0] != data:
                member = Member.parse(identity, data)
                if member is None:
                    continue
                entry = (data, member)
            known[identity] = entry
        self._known = known
        self.members = members = {member.id: member for _, member in known.values()}
        return members
