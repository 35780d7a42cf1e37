"""c2c-settings: the table of effective values."""

import json
import os
import subprocess
import sys
from pathlib import Path

COMMAND = [str(Path(sys.executable).parent / "c2c-settings")]

# What Pyramid imports may warn of itself, by the version of setuptools; that is not this command's.
QUIET = {"PATH": "/bin", "PYTHONWARNINGS": "ignore"}

INI = """
[app:main]
use = egg:nothing
c2c.secret = hunter2-hunter2-hunter2
c2c.redis_url = redis://:hunter2@host:6379
c2c.base_path = %(BASE)s
"""


def run(tmp_path: Path, ini: str | None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command on an ini file."""
    arguments = []
    if ini is not None:
        path = tmp_path / "production.ini"
        path.write_text(ini)
        arguments = [str(path)]
    return subprocess.run([*COMMAND, *arguments], env={**QUIET, **environ}, capture_output=True, text=True, check=False)


def test_values_and_origins(tmp_path: Path) -> None:
    """Each setting is a line that a terminal has room for: name, origin, value (secrets masked)."""
    done = run(tmp_path, INI, BASE="/tools", C2C_REDIS_DB="4")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert lines["C2C_BASE_PATH"] == ["ini", "/tools"]
    assert lines["C2C_SECRET"] == ["ini", "***"]
    assert lines["C2C_REDIS_DB"] == ["environment", "4"]
    assert lines["C2C_BROADCAST_PREFIX"] == ["default", "broadcast_api_"]
    assert max(len(line) for line in done.stdout.splitlines() if line.startswith("C2C_REDIS")) <= 80
    assert "hunter2" not in done.stdout + done.stderr


def test_without_an_ini_the_environment_alone(tmp_path: Path) -> None:
    """No argument: what the environment says."""
    done = run(tmp_path, None, C2C_BASE_PATH="/x")
    assert done.returncode == 0
    assert "/x" in done.stdout


def test_a_bad_value_is_a_line_and_exit_1(tmp_path: Path) -> None:
    """The table goes on after a setting that can't be read."""
    done = run(tmp_path, None, C2C_REDIS_DB="many")
    assert done.returncode == 1
    assert "ERROR environment C2C_REDIS_DB" in done.stdout
    assert "C2C_BROADCAST_PREFIX" in done.stdout


def test_a_missing_ini_is_one_line_and_exit_2(tmp_path: Path) -> None:
    """No traceback: the file and the reason."""
    done = subprocess.run([*COMMAND, "/nowhere.ini"], env=QUIET, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "c2c-settings: /nowhere.ini: no such file\n"


def test_an_undefined_variable_is_one_line_and_exit_2(tmp_path: Path) -> None:
    """The variable is named."""
    done = run(tmp_path, INI)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "BASE" in done.stderr


def test_a_broken_ini_is_one_line_and_exit_2(tmp_path: Path) -> None:
    """A file that does not parse is said, in one line."""
    done = run(tmp_path, "no section\n")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_nobody_reads_on() -> None:
    """``c2c-settings | head`` ends without a traceback."""
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(COMMAND, env=QUIET, stdout=writes, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writes)
    assert done.stderr == ""


def test_a_misspelt_name_is_a_line_and_exit_1(tmp_path: Path) -> None:
    """A variable or key that is nearly a setting is named with the one it is near to; others' names are let be."""
    done = run(
        tmp_path,
        "[app:main]\nuse = egg:nothing\nc2c.base_pth = /x\n",
        C2C_SECERT="a",
        C2C_OTHER="b",
        CC2_BASE_PATH="b",
        C2CX="c",
    )
    assert done.returncode == 1
    errors = [line.strip() for line in done.stdout.splitlines() if "ERROR" in line]
    assert errors == [
        "ERROR nothing reads C2C_SECERT: is it C2C_SECRET?",
        "ERROR nothing reads CC2_BASE_PATH: is it C2C_BASE_PATH?",
        "ERROR nothing reads c2c.base_pth: is it c2c.base_path?",
    ]


def test_json(tmp_path: Path) -> None:
    """A list of objects, secrets masked."""
    done = subprocess.run(
        [*COMMAND, "--json"],
        env={**QUIET, "C2C_SECRET": "hunter2-hunter2"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = {one["environment"]: one for one in json.loads(done.stdout)}
    assert done.returncode == 0
    assert (found["C2C_SECRET"]["package"], found["C2C_SECRET"]["key"]) == ("c2c_broadcast", "c2c.secret")
    assert (found["C2C_SECRET"]["value"], found["C2C_SECRET"]["from"]) == ("***", "environment")
    assert "hunter2" not in done.stdout
