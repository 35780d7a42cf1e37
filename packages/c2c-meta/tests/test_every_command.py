"""Every command of the packages: ``--version``, ``--help``, and a mistake that is one line and exit status 2."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = sorted(
    point.name
    for point in importlib.metadata.entry_points(group="console_scripts")
    if point.value.startswith("c2c_") and point.name.startswith("c2c-")
)


def run(name, *arguments):
    """Run a command of this environment to its end."""
    program = Path(sys.executable).parent / name
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_all_are_tried():
    """Those that the contracts name are among them."""
    assert {"c2c-run", "c2c-settings", "c2c-genversion", "c2c-stats-db", "c2c-health-check"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_version_and_help(name):
    """Both are printed, and the command ends well."""
    version = run(name, "--version")
    assert (version.returncode, version.stdout.split()[0]) == (0, name), version.stderr
    usage = run(name, "--help")
    assert (usage.returncode, usage.stderr) == (0, "")
    assert name in usage.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_a_mistake(name):
    """One line, which names the command, and exit status 2."""
    done = run(name, "--nonsense")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"{name}: ")
