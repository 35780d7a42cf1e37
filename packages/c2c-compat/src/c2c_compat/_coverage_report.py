"""``c2c-coverage-report``: one report of what all processes of an acceptance test ran."""

import sys
from collections.abc import Sequence
from pathlib import Path

import coverage

from c2c_broadcast.command import Parser, one_line

_FOLDER = Path("reports", "coverage")
# What COVERAGE=1 has each process write: the name, host, process id, a random part.
_FILES = "coverage.*.pid*.*"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report; return 0, 1 where less is covered than wanted, 2 where there is no report."""
    parser = Parser(
        "c2c-compat",
        prog="c2c-coverage-report",
        description="Write one report (Cobertura XML, HTML, a table) of what all processes of an acceptance test ran.",
        epilog="[paths], omit and fail_under are as coverage's own configuration has them.",
    )
    places = f"data files, or folders of them; default: {_FOLDER}"
    parser.add_argument("data", nargs="*", type=Path, default=[_FOLDER], metavar="DATA", help=places)
    output = Path("reports", "coverage-report")
    parser.add_argument("-o", "--output", type=Path, default=output, metavar="FOLDER", help=f"default: {output}")
    arguments = parser.parse_args(argv)
    try:
        total, wanted = report(arguments.data, arguments.output)
    except coverage.exceptions.NoSource as error:
        return _fail(f"{one_line(error)} ([paths] of coverage's configuration says where the sources are here)")
    except (coverage.exceptions.CoverageException, OSError) as error:
        return _fail(one_line(error))
    if total < wanted:
        sys.stderr.write(f"c2c-coverage-report: {total:.2f} % are covered, less than {wanted:g} %\n")
        return 1
    return 0


def report(places: Sequence[Path], output: Path) -> tuple[float, float]:
    """Combine the data files, write the reports; return how many per cent are covered, and how many should be.

    Raises:
        CoverageException: there is nothing to report on, or the sources are not found
    """
    files = [str(path) for place in places for path in (place.rglob(_FILES) if place.is_dir() else [place])]
    measured = coverage.Coverage(data_file=str(output / ".coverage"))
    if not any(map(Path.exists, map(Path, files))):
        raise coverage.exceptions.NoDataError(
            f"no data in {', '.join(map(str, places))}: "
            "were the processes started with COVERAGE=1, and did they end in peace?"
        )
    output.mkdir(parents=True, exist_ok=True)
    measured.combine(files, strict=True, keep=True)
    measured.save()
    measured.xml_report(outfile=str(output / "coverage.xml"))
    measured.html_report(directory=str(output))
    wanted = measured.get_option("report:fail_under")
    return measured.report(file=sys.stdout), float(str(wanted))


def _fail(message: str) -> int:
    sys.stderr.write(f"c2c-coverage-report: {message}\n")
    return 2
