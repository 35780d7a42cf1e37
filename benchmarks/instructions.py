"""What a request costs in instructions, which know no noise. Run: ``python -m benchmarks instructions``.

Counted by callgrind (https://valgrind.org/docs/manual/cl-manual.html), switched on for the requests alone.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import request
from benchmarks._case import Case, Measured, Missing
from benchmarks._statsd_reader import statsd_reader
from benchmarks._table import show

_REQUESTS = {"ping": 50, "service": 50, "sql": 5}
_ASKED = (
    (request.TITLES["ping"], "ping", request.WHOLE, request.BASE, 0.8),
    ("the same, with properties of the application's own", "ping", request.WHOLE_OWN, request.BASE_OWN, 1.06),
    (request.TITLES["service"], "service", request.WHOLE, request.BASE, 0.8),
    ("a request of 50 SQL statements", "sql", request.WHOLE, request.BASE, 1.1),
    *(("a request: one package", "ping", name, request.BARE, bar) for name, bar in request.ALONE.items()),
)


def main() -> None:
    """Print the table."""
    show(cases())


def cases() -> Iterator[Case | Missing]:
    """Count each contender's instructions a request."""
    if not shutil.which("callgrind_control"):
        yield Missing("instructions of a request", "valgrind is not installed: apt install valgrind")
        return
    counted: dict[tuple[str, str], Measured] = {}
    for title, kind, ours, peer, bar in _ASKED:
        for name in (ours, peer):
            if (name, kind) not in counted:
                counted[name, kind] = Measured(name, (_count(name, kind) / 1000,))
        found = counted[peer, kind].bar(most=bar)
        yield Case(f"{title}: instructions", "thousand", counted[ours, kind], (found,))


def _count(name: str, kind: str) -> float:
    """Return the instructions of one request."""
    with statsd_reader() as port, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "callgrind.out"
        valgrind = ("valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={file}")
        one = request.Contender(name, port, valgrind)
        one.ask(kind, 10)
        _switch("on", one.pid)
        one.ask(kind, _REQUESTS[kind])
        _switch("off", one.pid)
        one.close()
        totals = [line for line in file.read_text().splitlines() if line.startswith("totals:")]
    return int(totals[-1].split()[1]) / _REQUESTS[kind]


def _switch(how: str, pid: int) -> None:
    subprocess.run(["callgrind_control", "-i", how, str(pid)], check=True, capture_output=True)


if __name__ == "__main__":
    main()
