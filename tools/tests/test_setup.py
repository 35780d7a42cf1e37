"""The set-up, wherever it is: `make setup` as far as its own tools."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PIP = r"""global.index-url='https://example.com/pypi'
global.extra-index-url='\\nfile:///a\\nfile:///b'
global.cert='/etc/company.pem'
:env:.timeout='180'
"""


@pytest.fixture
def folder(tmp_path):
    """Give what the set-up reads, in a folder whose name has what names may have."""
    made = tmp_path / "ä b'c (d)"
    made.mkdir()
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, made)
    for name in ("tools", "documentation"):
        shutil.copytree(ROOT / name, made / name, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    return made


def make(folder, *arguments):
    """Run make there."""
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def test_a_folder_of_any_name(folder):
    """The environment, uv in it, and what pip is configured to use are made there and nowhere else."""
    before = set(folder.parent.iterdir())
    done = make(folder, f"PYTHON={sys.executable}", ".venv/uv.env")
    assert done.returncode == 0, done.stderr
    assert (folder / ".venv" / "bin" / "uv").is_file()
    assert set(folder.parent.iterdir()) == before


@pytest.mark.parametrize("named", ["/nowhere/python", "old"])
def test_no_python_or_an_old_one(folder, named):
    """One line that names it and the remedy, exit 2, and no half of an environment."""
    old = folder / "old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make(folder, f"PYTHON={old if named == 'old' else named}", "setup")
    assert done.returncode == 2
    assert "is no Python >= 3.11: name another" in done.stderr.splitlines()[0]
    assert not (folder / ".venv").exists()


def test_what_pip_uses_uv_uses():
    """Index, further ones and the certificate of pip's configuration; what is set for uv wins."""
    made = subprocess.run([ROOT / "tools" / "uv_environ"], input=PIP, capture_output=True, text=True, check=True).stdout
    shown = "echo $UV_DEFAULT_INDEX, $UV_INDEX, $SSL_CERT_FILE, $UV_SYSTEM_CERTS"
    given = {"PATH": os.environ["PATH"], "UV_SYSTEM_CERTS": "false"}
    done = subprocess.run(["bash", "-c", made + shown], env=given, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "https://example.com/pypi, file:///a file:///b, /etc/company.pem, false"


def test_a_home_that_nobody_can_write_to():
    """Uv's cache is in the environment then."""
    given = {"PATH": os.environ["PATH"], "HOME": "/proc/nope"}
    done = subprocess.run(
        [ROOT / "tools" / "uv_environ"], env=given, input="", capture_output=True, text=True, check=True
    )
    assert 'UV_CACHE_DIR="$ROOT/.venv/uv-cache"' in done.stdout
