"""The one table: for people on the terminal, and in RESULTS.md for the record."""

from collections.abc import Iterable, Iterator

from benchmarks._case import Case, Measured, Missing

HEAD = ("case", "contender", "median", "spread", "ours is", "bar")

Row = tuple[str, ...]


def show(cases: Iterable[Case | Missing]) -> list[Case | Missing]:
    """Print the cases as they come, each a line a contender; return them."""
    done = []
    print(f"{'':50} {'median':>13} {'spread':>7} {'ours is':>8}  bar")
    for case in cases:
        done.append(case)
        if isinstance(case, Missing):
            print(f"{case.name}: not measured: {case.why}")
            continue
        print(case.name + (f" ({case.note})" if case.note else ""))
        for _, name, median, spread, ratio, bar in rows(case):
            print(f"  {name:48} {median:>13} {spread:>7} {ratio:>8}  {bar}", flush=True)
    return done


def rows(case: Case) -> Iterator[Row]:
    """Yield the row of ours, then of each peer."""
    yield case.name, case.ours.name, _number(case.ours.median, case.unit), _percent(case.ours), "", ""
    for peer in case.peers:
        yield "", peer.name, _number(peer.median, case.unit), _percent(peer), *_verdict(case.ours, peer)


def _verdict(ours: Measured, peer: Measured) -> tuple[str, str]:
    ratio = ours.ratio_to(peer)
    if ratio is None:
        return "", ""
    bars = []
    if peer.most is not None:
        bars.append(f"<= {peer.most:.3g}: {'met' if ratio <= peer.most else 'MISSED'}")
    if peer.least is not None:
        bars.append(f">= {peer.least:.3g}: {'met' if ratio >= peer.least else 'MISSED'}")
    return f"{ratio:.3f}", ", ".join(bars)


def markdown(cases: Iterable[Case | Missing]) -> str:
    """Return the table in Markdown, then what could not be measured."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---|---|--:|--:|--:|---|"]
    notes = []
    for case in cases:
        if isinstance(case, Missing):
            notes.append(f"- {case.name}: not measured: {case.why}")
            continue
        lines += ["| " + " | ".join(row) + " |" for row in rows(case)]
        if case.note:
            notes.append(f"- {case.name}: {case.note}")
    return "\n".join([*lines, "", *notes, ""]) if notes else "\n".join([*lines, ""])


def _number(value: float, unit: str) -> str:
    digits = 3 if abs(value) < 10 else 1 if abs(value) < 1000 else 0  # noqa: PLR2004 # three or four figures are enough
    return f"{value:,.{digits}f} {unit}"


def _percent(one: Measured) -> str:
    return f"{one.spread * 100:.0f} %"
