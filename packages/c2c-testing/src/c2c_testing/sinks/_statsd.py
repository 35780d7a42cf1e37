"""A statsd server that reads strictly."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from c2c_testing.sinks._sink import DatagramSink

# The grammar: github.com/statsd/statsd/blob/master/docs/metric_types.md, with the tags and the packed values of
# docs.datadoghq.com/developers/dogstatsd/datagram_shell. Stricter than both: a name is dotted words.
_LINE = re.compile(
    r"\A(?P<name>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*):(?P<values>[^|]+)\|(?P<kind>c|g|ms|h|d|s)"
    r"(?:\|@(?P<rate>[0-9]*\.?[0-9]+))?(?:\|#(?P<tags>[^|]+))?"
)
_NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_TAG = re.compile(r"[^:,|#\s]+(?::[^,|#\n]+)?")
#: The biggest datagram that a network takes whole, and the usual one for a unix socket, in bytes.
LIMITS: Mapping[str, int] = {"udp": 1432, "unix": 8192}


@dataclass(frozen=True, slots=True)
class Metric:
    """One value of one metric.

    ``kind`` is c (counter), g (gauge), ms (timer), h, d (histogram, distribution) or s (set); ``value`` is a number but
    for a set, whose members are text; ``relative`` is true for a gauge with a sign. A tag without value has "".
    """

    name: str
    value: float | str
    kind: str
    rate: float = 1.0
    tags: Mapping[str, str] = field(default_factory=dict)
    relative: bool = False


def parse(line: str) -> list[Metric]:
    """Read one line: one metric, or several with the packed values ``a:1:2|ms``; ValueError has what is not statsd."""
    match = _LINE.fullmatch(line)
    if not match:
        raise ValueError(f"Not a statsd line: {line!r}")
    kind = match["kind"]
    rate = float(match["rate"] or 1)
    if not 0 < rate <= 1:
        raise ValueError(f"Not a sample rate in {line!r}: {match['rate']}")
    tags = {}
    for tag in match["tags"].split(",") if match["tags"] else ():
        if not _TAG.fullmatch(tag):
            raise ValueError(f"Not a tag in {line!r}: {tag!r}")
        name, _, value = tag.partition(":")
        if name in tags:
            raise ValueError(f"A tag twice in {line!r}: {name}")
        tags[name] = value
    metrics = []
    for text in match["values"].split(":"):
        if kind != "s" and not _NUMBER.fullmatch(text):
            raise ValueError(f"Not a number in {line!r}: {text!r}")
        if kind == "ms" and text.startswith("-"):
            raise ValueError(f"A negative duration in {line!r}")
        relative = kind == "g" and text[0] in "+-"
        metrics.append(Metric(match["name"], text if kind == "s" else float(text), kind, rate, tags, relative))
    return metrics


class StatsdSink(DatagramSink[Metric]):
    """A statsd server on UDP and on a unix datagram socket.

    ``errors`` holds what was not statsd: malformed lines, and datagrams over 1,432 bytes (UDP) or 8,192 (unix).
    """

    _key = "name"

    def __init__(self) -> None:
        #: As they came.
        self.datagrams: list[bytes] = []
        super().__init__()

    @property
    def address(self) -> str:
        """``127.0.0.1:port``, as STATSD_ADDRESS takes it."""
        return f"{self.host}:{self.port}"

    @property
    def unix_address(self) -> str:
        """``unix:///path``."""
        return f"unix://{self.path}"

    @property
    def metrics(self) -> list[Metric]:
        """What was received, oldest first."""
        return self._all()

    def named(self, name: str) -> list[Metric]:
        """Return the metrics of this name that are there."""
        return [metric for metric in self.metrics if metric.name == name]

    def clear(self) -> None:
        """Forget all that was received, errors too."""
        super().clear()
        self.datagrams.clear()

    def _receive(self, transport: str, data: bytes) -> None:
        self.datagrams.append(data)
        if len(data) > LIMITS[transport]:
            self.errors.append(f"A datagram of {len(data)} bytes by {transport}: {LIMITS[transport]} is the limit")
        try:
            lines = data.decode().split("\n")
        except UnicodeDecodeError:
            self.errors.append(f"Not UTF-8: {data!r}")
            return
        for line in lines:
            try:
                for metric in parse(line):
                    self._put(metric)
            except ValueError as error:
                self.errors.append(str(error))
