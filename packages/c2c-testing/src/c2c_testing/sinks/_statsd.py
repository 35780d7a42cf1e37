"""A statsd server that reads strictly."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from c2c_testing.sinks._sink import DatagramSink, Inbox

# The grammar: github.com/statsd/statsd/blob/master/docs/metric_types.md, with the tags and the packed values of
# docs.datadoghq.com/developers/dogstatsd/datagram_shell. Stricter than both: a name is dotted words.
_LINE = re.compile(
    r"\A(?P<name>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*):(?P<values>[^|]+)\|(?P<kind>c|g|ms|h|d|s)"
    r"(?:\|@(?P<rate>[0-9.]+))?(?:\|#(?P<tags>[^|]+))?"
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
    """Read one line: one metric, or several with the packed values ``a:1:2|ms``.

    Raises:
        ValueError: the line is not statsd; the message has it
    """
    match = _LINE.fullmatch(line)
    if not match:
        raise ValueError(f"Not a statsd line: {line!r}")
    kind = match["kind"]
    rate = float(match["rate"]) if match["rate"] and match["rate"].count(".") <= 1 else 1.0 if not match["rate"] else 0
    if not 0 < rate <= 1:
        raise ValueError(f"Not a sample rate in {line!r}: {match['rate']}")
    tags = {}
    for tag in (match["tags"] or "").split(",") if match["tags"] else ():
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


class StatsdSink(DatagramSink):
    """A statsd server on UDP and on a unix datagram socket.

    ``errors`` holds what was not statsd: malformed lines, and datagrams over 1,432 bytes (UDP) or 8,192 (unix). The
    fixture fails a test that leaves any.
    """

    def __init__(self) -> None:
        self._metrics = Inbox[Metric]()
        self._datagrams = Inbox[bytes]()
        self.errors: list[str] = []
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
        return self._metrics.all()

    @property
    def datagrams(self) -> list[bytes]:
        """The datagrams as they came."""
        return self._datagrams.all()

    def named(self, name: str) -> list[Metric]:
        """Return the metrics of this name that are there."""
        return [metric for metric in self.metrics if metric.name == name]

    def wait(
        self, what: str | Callable[[Metric], bool] = lambda _: True, count: int = 1, timeout: float = 30.0
    ) -> list[Metric]:
        """Wait for ``count`` metrics, of a name or that a function likes, and return all such.

        Raises AssertionError when they do not come in ``timeout`` seconds.
        """
        wanted = what
        match = (lambda metric: metric.name == wanted) if isinstance(wanted, str) else wanted
        return self._metrics.wait(match, count, timeout)

    def clear(self) -> None:
        """Forget all that was received, errors too."""
        self._metrics.clear()
        self._datagrams.clear()
        self.errors.clear()

    def _receive(self, transport: str, data: bytes) -> None:
        self._datagrams.put(data)
        if len(data) > LIMITS[transport]:
            self.errors.append(f"A datagram of {len(data)} bytes by {transport}: {LIMITS[transport]} is the limit")
        try:
            lines = data.decode().split("\n")
        except UnicodeDecodeError:
            self.errors.append(f"Not UTF-8: {data!r}")
            return
        for line in lines:
            try:
                metrics = parse(line)
            except ValueError as error:
                self.errors.append(str(error))
            else:
                for metric in metrics:
                    self._metrics.put(metric)
