"""Each command, under both of its names, does what the c2c command does."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from c2c_testing.servers import Postgres
from c2c_testing.sinks import HttpSink, StatsdSink

BIN = Path(sys.executable).parent
PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
# The documented name, its dashed form, and whose work it does.
COMMANDS = {
    "c2cwsgiutils_run": ("c2cwsgiutils-run", "c2c-run"),
    "c2cwsgiutils_genversion.py": ("c2cwsgiutils-genversion", "c2c-genversion"),
    "c2cwsgiutils_stats_db.py": ("c2cwsgiutils-stats-db", "c2c-stats-db"),
    "c2cwsgiutils_test_print.py": ("c2cwsgiutils-test-print", "c2c-test-print"),
    "c2cwsgiutils_coverage_report.py": ("c2cwsgiutils-coverage-report", "c2c-coverage-report"),
    "c2cwsgiutils_check_es.py": ("c2cwsgiutils-check-es", "c2c-check-es"),
}


def run(folder: Path, *command: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of this environment in a folder."""
    return subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONWARNINGS": "ignore", **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def both(name: str) -> pytest.MarkDecorator:
    """Run a test with both names of a command."""
    return pytest.mark.parametrize("name", [name, COMMANDS[name][0]])


def test_the_list_is_complete() -> None:
    """What is declared is the contract, and what it leads to is there."""
    declared = set(tomllib.loads(PYPROJECT.read_text())["project"]["scripts"])
    ours = {"c2c-check-es", "c2c-coverage-report"}
    assert declared == {*COMMANDS, *(dashed for dashed, _ in COMMANDS.values()), *ours}
    targets = {target for _, target in COMMANDS.values()}
    assert targets <= {point.name for point in entry_points(group="console_scripts")}


@pytest.mark.parametrize("name", sorted({*COMMANDS, *(dashed for dashed, _ in COMMANDS.values())}))
def test_help(name: str, tmp_path: Path) -> None:
    """Each tells how it is used."""
    done = run(tmp_path, name, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()


@both("c2cwsgiutils_run")
def test_run(name: str, tmp_path: Path) -> None:
    """The service is run elsewhere; here it says in one line that there is no file."""
    done = run(tmp_path, name, C2CWSGIUTILS_CONFIG="production.ini")
    assert (done.returncode, done.stderr) == (2, f"c2c-run: {tmp_path}/production.ini: no such file\n")


@both("c2cwsgiutils_genversion.py")
def test_genversion(name: str, tmp_path: Path) -> None:
    """It writes versions.json in the current folder."""
    done = run(tmp_path, name, "1.4", "0123456")
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "versions.json").read_text())
    assert written["main"] == {"git_hash": "0123456", "git_tag": "1.4"}
    assert written["packages"]["c2c-compat"]


@both("c2cwsgiutils_stats_db.py")
def test_stats_db(name: str, tmp_path: Path, postgres: Postgres, statsd_sink: StatsdSink) -> None:
    """It counts rows of tables, with options as they were written, and sends them to statsd."""
    postgres.execute("CREATE TABLE IF NOT EXISTS of_the_test (id int)")
    options = ["--statsd_address", statsd_sink.address, "--statsd_prefix", "db"]
    done = run(tmp_path, name, "--db", postgres.url, "--schema", "public", *options, STATSD_USE_TAGS="1")
    assert done.returncode == 0, done.stderr
    count = statsd_sink.wait(lambda one: one.name == "db.count" and one.tags.get("table") == "of_the_test")
    assert count[0].value == 0
    postgres.execute("DROP TABLE of_the_test")


@both("c2cwsgiutils_test_print.py")
def test_test_print(name: str, tmp_path: Path, http_sink: HttpSink) -> None:
    """It prints the example of a print server."""
    cached = {"Cache-Control": "max-age=3600", "Content-Type": "application/json"}
    fresh = {"Cache-Control": "no-cache", "Content-Type": "application/json"}
    http_sink.answer("/print/apps.json", json=["parcel"], headers=cached)
    http_sink.answer("/print/parcel/capabilities.json", json={"app": "parcel"}, headers=cached)
    http_sink.answer("/print/parcel/exampleRequest.json", json={"page": json.dumps({"a": 1})}, headers=cached)
    http_sink.answer("/print/parcel/report.pdf", method="POST", json={"ref": "r"}, headers=fresh)
    http_sink.answer("/print/status/r.json", json={"done": True, "status": "finished"}, headers=fresh)
    http_sink.answer("/print/report/r", body=b"%PDF", headers={**fresh, "Content-Type": "application/pdf"})
    done = run(tmp_path, name, "--url", f"{http_sink.url}/print/")
    assert done.returncode == 0, done.stderr
    assert [one.json() for one in http_sink.requests if one.method == "POST"] == [{"a": 1}]


@both("c2cwsgiutils_coverage_report.py")
def test_coverage_report(name: str, tmp_path: Path) -> None:
    """It reports on what a script that imports setup_process, or coverage_setup, has run."""
    first = "import c2cwsgiutils.coverage_setup as c\nc.init()\nimport code_of_the_test\n"
    second = "import c2cwsgiutils.setup_process\nimport code_of_the_test\n"
    (tmp_path / "code_of_the_test.py").write_text("A = 1\nif A > 1:\n    B = 2\n")
    environ = {"COVERAGE": "1", "COVERAGE_PATH": str(tmp_path / "data")}
    (tmp_path / ".coveragerc").write_text("[run]\nsource = code_of_the_test\n")
    for code in (first, second):
        done = run(tmp_path, "python", "-c", code, PYTHONPATH=str(tmp_path), **environ)
        assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "data").iterdir())) == 2
    done = run(tmp_path, name, "data")
    assert done.returncode == 0, done.stderr
    assert "code_of_the_test.py" in next(tmp_path.rglob("coverage.xml")).read_text()


@both("c2cwsgiutils_check_es.py")
def test_check_es(name: str, tmp_path: Path, http_sink: HttpSink) -> None:
    """It tells the age of the newest record."""

    def answer(hits: list[Mapping[str, Any]]) -> dict[str, Any]:
        newest = {"newest": {"value": 1_000}}
        shards = {"total": 1, "successful": 1, "failed": 0}
        return {"timed_out": False, "_shards": shards, "hits": {"hits": hits}, "aggregations": newest}

    http_sink.answer("/_all/_search", method="POST", json=answer([{"_id": "1"}]))
    done = run(tmp_path, name, ES_URL=http_sink.url, LOG_INTERVAL="0.05")
    assert done.returncode == 0, done.stderr
    assert "the newest record is" in done.stdout
