"""c2c-coverage-report, the real command."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
CODE = "import sys\n\nif len(sys.argv) > 5:\n    print('never')\nprint('done')\n"
CONFIGURATION = "[run]\nsource = shop\n"
# What each process of a service does with COVERAGE=1.
MEASURE = """
import c2c_meta
c2c_meta.start_coverage()
import shop
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with code, and data files of two processes that ran it."""
    (tmp_path / "shop.py").write_text(CODE)
    (tmp_path / ".coveragerc").write_text(CONFIGURATION)
    given = {"COVERAGE": "1", "COVERAGE_PATH": "reports/coverage/api", "PYTHONPATH": "."}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", MEASURE], cwd=tmp_path, env={**os.environ, **given}, check=True)
    assert len(list((tmp_path / "reports/coverage/api").iterdir())) == 2
    return tmp_path


def report(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command."""
    command = [BIN / "c2c-coverage-report", *arguments]
    environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120)


def hits(folder: Path) -> dict[int, int]:
    """Return the lines of the code -> how often they ran, as the report has them."""
    root = ET.parse(folder / "reports" / "coverage-report" / "coverage.xml").getroot()
    (found,) = [one for one in root.iter("class") if (one.get("filename") or "").endswith("shop.py")]
    return {int(line.get("number") or 0): int(line.get("hits") or 0) for line in found.iter("line")}


def test_report(folder: Path) -> None:
    """One report of all data files: a table, XML, HTML; exit status 1 where less is covered than wanted."""
    done = report(folder)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^shop\.py +4 +1 ", done.stdout, re.MULTILINE)  # one line was not run
    assert hits(folder) == {1: 1, 3: 1, 4: 0, 5: 1}
    assert (folder / "reports" / "coverage-report" / "index.html").is_file()
    (folder / ".coveragerc").write_text("[report]\nfail_under = 99\n")
    again = report(folder)
    assert again.returncode == 1
    assert again.stderr == "c2c-coverage-report: 75.00 % are covered, less than 99 %\n"


def test_sources_elsewhere(folder: Path) -> None:
    """The sources may be elsewhere at the report, where coverage's configuration says so."""
    (folder / "elsewhere").mkdir()
    (folder / "shop.py").rename(folder / "elsewhere" / "shop.py")
    done = report(folder)
    assert done.returncode == 2
    assert done.stderr.startswith("c2c-coverage-report: No source for code: ")
    assert "([paths] of coverage's configuration says where the sources are here)" in done.stderr
    (folder / ".coveragerc").write_text(f"{CONFIGURATION}[paths]\nhere =\n    elsewhere\n    {folder}\n")
    done = report(folder)
    assert done.returncode == 0, done.stderr
    assert hits(folder)[4] == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "no data in reports/coverage: were the processes started with COVERAGE=1, and did they end in peace?"),
        (["nowhere"], "no data in nowhere: were"),
        (["--map"], "unrecognized arguments: --map (c2c-coverage-report --help"),
        (["service.ini"], "No usable data files"),
        (["broken"], "No usable data files"),
    ],
)
def test_mistakes(tmp_path: Path, arguments: list[str], expected: str) -> None:
    """What can't be done is one line; exit status 2. So is a data file that is none, which coverage warns of, too."""
    (tmp_path / "service.ini").write_text("[app:main]\n")
    (tmp_path / "broken").write_text("SQLite format 3\0 and no more")
    done = report(tmp_path, *arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stderr.startswith("c2c-coverage-report: ")
    assert done.stderr.count("\n") == 1
