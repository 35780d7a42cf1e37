"""What a request costs in instructions, which know no noise. Run: ``python -m benchmarks instructions``.

Counted by callgrind (https://valgrind.org/docs/manual/cl-manual.html), switched on for the requests alone.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from benchmarks._case import Case, Missing
from benchmarks.request import ASKED, contenders

_TIMES = {"ping": 500, "service": 300, "sql50": 20}  # so many that what threads do now and then is little of it


def cases() -> Iterator[Case | Missing]:
    """Count each contender's instructions a request."""
    if not shutil.which("callgrind_control"):
        yield Missing("instructions of a request", "valgrind is not installed: apt install valgrind")
        return
    for title, kind, ours, bars in ASKED:
        if kind in _TIMES:
            samples = {name: [_count(name, kind) / 1000] for name in (ours, *bars)}
            yield Case(f"instructions of a request: {title}", "thousand", samples, bars)


@cache
def _count(name: str, kind: str) -> float:
    """Return the instructions of one request."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "callgrind.out"
        options = ("-q", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={file}")
        with contenders() as start:
            one = start(name, under=("valgrind", *options))
            one.ask(f"{kind} 10")
            _switch("on", one.pid)
            one.ask(f"{kind} {_TIMES[kind]}")
            _switch("off", one.pid)
        totals = [line for line in file.read_text().splitlines() if line.startswith("totals:")]
    return int(totals[-1].split()[1]) / _TIMES[kind]


def _switch(how: str, pid: int) -> None:
    subprocess.run(["callgrind_control", "-i", how, str(pid)], check=True, capture_output=True)
