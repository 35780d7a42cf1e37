"""``c2c-coverage-report``: one report of what all processes of an acceptance test ran."""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from c2c_broadcast.command import Parser, one_line

_FOLDER = Path("reports", "coverage")
_XML = "coverage.xml"
# https://www.sqlite.org/fileformat.html: what a data file of coverage begins with
_MAGIC = b"SQLite format 3\0"


class ReportError(Exception):
    """There is no report; the message is one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report; return 0, 1 where less is covered than wanted, 2 where there is no report."""
    arguments = _parser().parse_args(argv)
    try:
        total = report(arguments)
    except ReportError as error:
        sys.stderr.write(f"c2c-coverage-report: {error}\n")
        return 2
    if total < arguments.fail_under:
        sys.stderr.write(f"c2c-coverage-report: {total:.2f} % are covered, less than {arguments.fail_under:g} %\n")
        return 1
    return 0


def report(arguments: argparse.Namespace) -> float:
    """Combine the data files, write the reports, and return how many per cent are covered.

    Raises:
        ReportError: there is nothing to report on, or the sources are not found
    """
    try:
        import coverage
    except ModuleNotFoundError:
        raise ReportError("coverage is missing: pip install 'c2c-meta[coverage]'") from None
    output: Path = arguments.output
    files = sorted({str(path) for folder in arguments.data or [_FOLDER] for path in data_files(folder, output)})
    if not files:
        places = ", ".join(map(str, arguments.data or [_FOLDER]))
        raise ReportError(
            f"no data in {places}: were the processes started with COVERAGE=1, and did they end in peace?"
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
        measured = coverage.Coverage(data_file=str(output / ".coverage"), omit=arguments.omit or None)
        if arguments.map:
            measured.set_option("paths", _paths(arguments.map))
        measured.combine(files, strict=True, keep=True)
        measured.save()
        measured.xml_report(outfile=str(output / _XML))
        measured.html_report(directory=str(output))
        return measured.report(file=sys.stdout)
    except coverage.exceptions.NoSource as error:
        raise ReportError(f"{one_line(error)} (--map FROM=TO says where the sources are here)") from error
    except (coverage.exceptions.CoverageException, OSError) as error:
        raise ReportError(one_line(error)) from error


def data_files(place: Path, output: Path) -> Iterator[Path]:
    """Yield the data files of coverage in a folder, at any depth, or the file itself; none of an earlier report."""
    for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if path.is_file() and path.parent != output:
            with path.open("rb") as file:
                if file.read(len(_MAGIC)) == _MAGIC:
                    yield path


def _paths(maps: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    # What coverage's own configuration has in [paths]: the first one is the folder here.
    return {f"map{number}": [here, there] for number, (there, here) in enumerate(maps)}


def _map(given: str) -> tuple[str, str]:
    there, equals, here = given.partition("=")
    if not (there and equals and here):
        raise argparse.ArgumentTypeError(f"{given!r} is not FROM=TO")
    return there, here


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "c2c-meta",
        prog="c2c-coverage-report",
        description="Write one report (Cobertura XML, HTML, a table) of what all processes of an acceptance test ran.",
    )

    def option(*names: str, **keywords: Any) -> None:
        parser.add_argument(*names, **keywords)

    option("data", nargs="*", type=Path, metavar="DATA", help=f"data files, or folders of them; default: {_FOLDER}")
    option("-o", "--output", type=Path, default=Path("reports", "coverage-report"), metavar="FOLDER")
    option(
        "--map",
        action="append",
        type=_map,
        metavar="FROM=TO",
        help="the sources that a process had in the folder FROM are here in TO, as in --map /app=.; can be repeated",
    )
    option("--omit", action="append", metavar="PATTERN", help="leave files out, as in --omit '*/tests/*'")
    option("--fail-under", type=float, default=0.0, metavar="PERCENT", help="exit with 1 where less is covered")
    return parser


if __name__ == "__main__":
    sys.exit(main())
