"""W3C Trace Context (https://www.w3.org/TR/trace-context/): the ``traceparent`` header."""

import hashlib
import os
import re
from dataclasses import dataclass
from typing import Self

# 3.2: version 00 is exact; of a higher version, what is known of it is read.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_HEX = re.compile(r"[0-9a-f]{32}")
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class Trace:
    """A position in a trace: 32 and 16 hexadecimal digits, and whether it is sampled."""

    trace_id: str
    parent_id: str
    sampled: bool

    @classmethod
    def parse(cls, header: str) -> Self | None:
        """Return what a ``traceparent`` header says, None for one that must be ignored."""
        match = _TRACEPARENT.fullmatch(header.strip())
        if match is None:
            return None
        version, trace_id, parent_id, flags, rest = match.groups()
        if version == "ff" or (version == "00" and rest) or not trace_id.strip("0") or not parent_id.strip("0"):
            return None
        return cls(trace_id, parent_id, bool(int(flags, 16) & _SAMPLED))

    @classmethod
    def of_id(cls, request_id: str) -> Self:
        """Return a trace for a request that came without one: the same id always gives the same trace."""
        trace_id = request_id.replace("-", "").lower()
        if not _HEX.fullmatch(trace_id) or not trace_id.strip("0"):
            trace_id = hashlib.blake2b(request_id.encode("utf-8", "replace"), digest_size=16).hexdigest()
        return cls(trace_id, "", sampled=False)

    def child(self) -> str:
        """Return the ``traceparent`` of one outgoing call, as a new span of this trace."""
        return f"00-{self.trace_id}-{new_span()}-{'01' if self.sampled else '00'}"


def new_span() -> str:
    """Return a new span id: 16 hexadecimal digits, not all zero."""
    return os.urandom(7).hex() + "01"
