"""The one table: for people on the terminal, and in RESULTS.md for the record."""

from collections.abc import Iterable, Iterator

from benchmarks._case import NOISY, Case, Growth, Measured, Missing

HEAD = ("case", "contender", "median", "spread", "ours is", "bar")

Row = tuple[str, ...]
Found = Case | Missing | Growth


def show(cases: Iterable[Found]) -> list[Found]:
    """Print the cases as they come, each a line a contender; return them."""
    done = []
    print(f"{'':50} {'median':>13} {'spread':>7} {'ours is':>8}  bar")
    for case in cases:
        done.append(case)
        if isinstance(case, Missing):
            print(f"{case.name}: not measured: {case.why}")
            continue
        if isinstance(case, Growth):
            print(
                f"{case.name}: {', '.join(f'{size:,} {case.of} {taken}' for size, taken in points(case))}", flush=True
            )
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


def points(growth: Growth) -> Iterator[tuple[int, str]]:
    """Yield each size and what it takes."""
    for size, taken in growth.points:
        yield size, _number(taken, growth.unit)


def _verdict(ours: Measured, peer: Measured) -> tuple[str, str]:
    ratio = ours.ratio_to(peer)
    if ratio is None:
        return "", ""
    bars = []
    for sign, bar, met in (
        ("<=", peer.most, ratio <= (peer.most or 0)),
        (">=", peer.least, ratio >= (peer.least or 0)),
    ):
        if bar is not None:
            spread = ours.spread_beside(peer)
            said = f"noisy, {spread * 100:.0f} %" if spread > NOISY else "met" if met else "MISSED"
            bars.append(f"{sign} {bar:.3g}: {said}")
    return f"{ratio:.3f}", ", ".join(bars)


def markdown(cases: Iterable[Found]) -> str:
    """Return the table in Markdown, then what could not be measured."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---|---|--:|--:|--:|---|"]
    notes, growths = [], []
    for case in cases:
        if isinstance(case, Missing):
            notes.append(f"- {case.name}: not measured: {case.why}")
            continue
        if isinstance(case, Growth):
            growths.append(f"| {case.name} | " + " | ".join(f"{at:,}: {taken}" for at, taken in points(case)) + " |")
            continue
        lines += ["| " + " | ".join(row) + " |" for row in rows(case)]
        if case.note:
            notes.append(f"- {case.name}: {case.note}")
    if growths:
        most = max(row.count("|") for row in growths) - 1
        head = ["", "## Growth", "", "| what, at |" + " |" * (most - 1), "|---|" + "--:|" * (most - 1)]
        lines += head + [row + " |" * (most + 1 - row.count("|")) for row in growths]
    return "\n".join([*lines, "", *notes, ""]) if notes else "\n".join([*lines, ""])


def _number(value: float, unit: str) -> str:
    digits = 3 if abs(value) < 10 else 1 if abs(value) < 1000 else 0  # noqa: PLR2004 # three or four figures are enough
    return f"{value:,.{digits}f} {unit}"


def _percent(one: Measured) -> str:
    return f"{one.spread * 100:.0f} %"
