"""Every command of the packages: ``--version``, ``--help``, and a mistake that is one line and exit status 2."""

import importlib.metadata

import pytest

COMMANDS = sorted(
    point.name
    for point in importlib.metadata.entry_points(group="console_scripts")
    if point.value.startswith("c2c_") and point.name.startswith("c2c-")
)


@pytest.fixture
def run(folder):
    """Return a function that runs a command to its end: here, but for the one that becomes another program."""
    return lambda name, *arguments: (folder.run if name == "c2c-run" else folder.call)(name, *arguments)


def test_all_are_tried():
    """Those that the contracts name are among them."""
    assert {"c2c-run", "c2c-settings", "c2c-genversion", "c2c-stats-db", "c2c-health-check"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_version_and_help(run, name):
    """Both are printed, and the command ends well."""
    version = run(name, "--version")
    assert (version.returncode, version.stdout.split()[0]) == (0, name), version.stderr
    usage = run(name, "--help")
    assert (usage.returncode, usage.stderr) == (0, "")
    assert name in usage.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_a_mistake(run, name):
    """One line, which names the command, and exit status 2."""
    done = run(name, "--nonsense")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"{name}: ")
