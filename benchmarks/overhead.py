"""What a request and a SQL statement cost with everything on: the table's rows of ``benchmarks.request``."""

from collections.abc import Iterator

from benchmarks import request
from benchmarks._case import Case, Measured
from benchmarks._table import show

_STATEMENTS = 50
_ROUNDS = 40
# Issue 12: 80 us where the base takes 75; a statement 6 us more where SQLAlchemy takes 20 to 33.
_REQUEST_BAR = 80 / 75
_STATEMENT_BAR = 1 + 6 / 26


def main() -> None:
    """Print the table."""
    show(cases())


def cases() -> Iterator[Case]:
    """Ask each contender, in a process of its own."""
    found = request.measure(_ROUNDS)

    def one(name: str, kind: str) -> Measured:
        middle, low, high, _ = found[name, kind]
        return Measured(name, (low, low, middle, high, high))  # of which the quartiles are these

    for kind, title in (("ping", "a JSON view of a route"), ("service", "a service of cornice")):
        peers = [one(request.BASE, kind).bar(most=_REQUEST_BAR), one(request.OPEN_TELEMETRY, kind)]
        if (request.BARE, kind) in found:
            peers.insert(0, one(request.BARE, kind))
        yield Case(f"a request: {title}", "us", one(request.WHOLE, kind), tuple(peers))
    names = (request.WHOLE, request.BASE, request.OPEN_TELEMETRY)
    yield Case(
        f"a request of {_STATEMENTS} SQL statements",
        "us",
        one(request.WHOLE, "sql"),
        (one(request.BASE, "sql"), one(request.OPEN_TELEMETRY, "sql")),
    )
    each = {
        name: Measured(name, tuple((a - one(name, "ping").median) / _STATEMENTS for a in one(name, "sql").samples))
        for name in names
    }
    yield Case(
        "one of them",
        "us",
        each[request.WHOLE],
        (each[request.BASE].bar(most=_STATEMENT_BAR), each[request.OPEN_TELEMETRY]),
    )


if __name__ == "__main__":
    main()
