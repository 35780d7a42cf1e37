"""Beside the real c2cwsgiutils nothing works, and one line says what to do."""

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

COMMANDS = sorted(
    point.name for point in entry_points(group="console_scripts") if point.name.startswith("c2cwsgiutils")
)


@pytest.fixture
def beside(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which a distribution c2cwsgiutils is installed, too."""
    metadata = tmp_path / "c2cwsgiutils-3.12.1.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: c2cwsgiutils\nVersion: 3.12.1\n")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


@pytest.mark.parametrize("name", ["", ".pyramid", ".setup_process", ".acceptance.utils"])
def test_import(beside: dict[str, str], name: str) -> None:
    """No module can be imported; the message names the distribution, its version and the remedy."""
    code = f"import c2cwsgiutils{name}"
    done = subprocess.run([sys.executable, "-c", code], env=beside, capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: c2c-compat has the import name c2cwsgiutils")
    assert "the distribution c2cwsgiutils 3.12.1," in last
    assert "pip uninstall c2cwsgiutils; pip install --force-reinstall --no-deps c2c-compat" in last


@pytest.mark.parametrize("name", COMMANDS)
def test_command(beside: dict[str, str], name: str) -> None:
    """Each command says so in one line, and exits with 2."""
    command = [Path(sys.executable).parent / name, "--help"]
    done = subprocess.run(command, env=beside, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "pip uninstall c2cwsgiutils" in done.stderr


def test_without_metadata(tmp_path: Path) -> None:
    """What a broken installation left is one, too."""
    (tmp_path / "c2cwsgiutils-3.12.1.dist-info").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", "import c2cwsgiutils"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "ImportError: c2c-compat has the import name" in done.stderr


def test_one_of_ours(tmp_path: Path) -> None:
    """A distribution of the name that says it is ours, as poetry wants one, is not refused."""
    metadata = tmp_path / "c2cwsgiutils-6.1.10.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: c2cwsgiutils\nVersion: 6.1.10\nSummary: provided by c2c-compat\n")
    own = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", "import c2cwsgiutils.pyramid"], env=own, check=True, timeout=120)


REMAINS = (
    "from pyramid.config import Configurator; Configurator(settings={}).include('c2c_compat')",
    "from c2c_compat._include import including; including('c2c_stats')(None)",
    "from c2c_compat._setup import set_up; set_up()",
)


@pytest.mark.parametrize("code", REMAINS)
def test_installed_later(beside: dict[str, str], code: str) -> None:
    """Where the real one, installed later, has its ``__init__.py`` in the place of ours, what remains refuses."""
    done = subprocess.run([sys.executable, "-c", code], env=beside, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].startswith("ImportError: c2c-compat has the import name c2cwsgiutils")
