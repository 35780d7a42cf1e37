"""Environments that hold what is installed from the built wheels, and the Pythons to make them with."""

import json
import os
import subprocess
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from uv import find_uv_bin

from tools.workspace import DIST, packages

_LINES = ("3.11", "3.12", "3.13", "3.14")
_SMOKE = Path(__file__).parent / "smoke" / "run.py"
# What is tested is what is installed, as on a machine that has no repository.
_ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith(("C2C_", "PYTHON", "VIRTUAL_ENV"))}


def _run(*command, **options):
    return subprocess.run(
        [str(word) for word in command],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_ENVIRON,
        **options,
    )


@cache
def pythons():
    """Return, for each line of Python that uv finds here (pyenv's, too), the program and its version."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders = [*map(str, sorted(pyenv.glob("versions/3.1?.*/bin"))), *os.environ["PATH"].split(os.pathsep)]
    # A shim of pyenv's runs some of them only, and takes its time to say so.
    path = os.pathsep.join(folder for folder in folders if not folder.startswith(f"{pyenv}/shims"))
    command = [find_uv_bin(), "python", "list", "--only-installed", "--output-format", "json"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "PATH": path})
    found = {}
    for one in json.loads(listed.stdout):
        line = ".".join(one["version"].split(".")[:2])
        if one["implementation"] == "cpython" and line in _LINES:
            found.setdefault(line, (one["path"], one["version"]))
    return dict(sorted(found.items()))


def pytest_report_header():
    """Say which Pythons are tested, and which are not here."""
    used = ", ".join(f"{version} ({path})" for path, version in pythons().values())
    missing = [line for line in _LINES if line not in pythons()]
    return [f"Pythons: {used}", *([f"NOT TESTED, because not found: Python {', '.join(missing)}"] if missing else [])]


def pytest_generate_tests(metafunc):
    """Run a test that has ``python`` on each line of Python that is here."""
    if "python" in metafunc.fixturenames:
        metafunc.parametrize("python", list(pythons()))


@pytest.fixture
def found_pythons():
    """Give the lines of Python that are here."""
    return list(pythons())


@dataclass(frozen=True)
class Environment:
    """An environment made by uv for one test."""

    folder: Path
    python: str
    python_version: str

    def install(self, wanted, pins, *options):
        """Install ``wanted`` from the wheels in dist/ and, what is not ours, from the registry; ``pins`` constrain."""
        file = self.folder / "constraints.txt"
        file.write_text(pins)
        # uv remembers wheels by their version, and ours are built again and again under the same one.
        anew = [word for package in packages() for word in ("--refresh-package", package.name)]
        sources = ["--no-sources", "--find-links", DIST, "--constraints", file, *anew]
        found = self._uv("install", "--quiet", *sources, *options, *wanted)
        assert found.returncode == 0, f"{self._name} can't install {' '.join(wanted)}:\n{found.stdout}"
        found = self._uv("check")
        assert found.returncode == 0, f"{self._name}: uv pip check after installing {' '.join(wanted)}:\n{found.stdout}"

    def names(self):
        """Return the names of all distributions in it."""
        lines = self._uv("freeze", "--quiet").stdout.splitlines()
        return {line.replace(" @ ", "==").split("==")[0] for line in lines}

    def holds_the_wheels(self):
        """Check that our packages in it are the wheels of dist/, file by file, and not another's of that name."""
        site = next(self.folder.glob("lib/python3*/site-packages"))
        for package in packages():
            record = site / f"{package.file_name}.dist-info" / "RECORD"
            if record.exists():
                with zipfile.ZipFile(DIST / f"{package.file_name}-py3-none-any.whl") as wheel:
                    lines = wheel.read(f"{package.file_name}.dist-info/RECORD").decode().splitlines()
                different = set(filter(None, lines)) - set(record.read_text().splitlines())
                different = {line for line in different if "/RECORD," not in line}
                assert not different, f"{package.name} is not the wheel of dist/: {sorted(different)}"

    def smoke(self, *wanted):
        """Import and include what was installed, and ask it something."""
        program = [self.folder / "bin" / "python", "-X", f"pycache_prefix={self.folder}.pycache", _SMOKE]
        found = _run(*program, *wanted, timeout=300, cwd=self.folder)
        assert found.returncode == 0, f"{self._name}: {' '.join(wanted)} does not work:\n{found.stdout}"
        return found.stdout

    def _uv(self, *arguments):
        return _run(find_uv_bin(), "pip", arguments[0], "--python", self.folder, *arguments[1:], timeout=900)

    @property
    def _name(self):
        return f"Python {self.python_version}"


@pytest.fixture
def environment(tmp_path_factory):
    """Give a function that makes an empty environment for a line of Python (None: the oldest).

    It is always in the same place, where the byte code that earlier tests compiled is good again: half of the time.
    """
    base = tmp_path_factory.getbasetemp()

    def make(line):
        line = line or next(iter(pythons()))
        python, version = pythons()[line]
        found = _run(find_uv_bin(), "venv", "--quiet", "--clear", "--python", python, base / line, timeout=300)
        assert found.returncode == 0, found.stdout
        return Environment(base / line, python, version)

    return make
