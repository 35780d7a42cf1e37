"""Find the Pythons of this machine that the packages say to support."""

import os
import subprocess
import sys
from pathlib import Path

LINES = ("3.11", "3.12", "3.13", "3.14")
_TOLD = "_C2C_PYTHONS"


def found() -> dict[str, tuple[str, str]]:
    """Return, for each line such as 3.12 that is here, the program and its version.

    What is found is told to the processes that this one starts, by an environment variable, so that all of them agree.
    """
    if _TOLD not in os.environ:
        all_lines = {line: _find(line) for line in LINES}
        os.environ[_TOLD] = ";".join(f"{line},{at[0]},{at[1]}" for line, at in all_lines.items() if at)
    entries = (entry.split(",") for entry in os.environ[_TOLD].split(";"))
    return {line: (program, version) for line, program, version in entries}


def _find(line: str) -> tuple[str, str] | None:
    """Return this Python, one on the PATH, or one of pyenv's, whichever is of this line and runs."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for candidate in (sys.executable, f"python{line}", *map(str, sorted(pyenv.glob(f"versions/{line}.*/bin/python")))):
        version = _version(candidate)
        if version.startswith(f"{line}."):
            return candidate, version
    return None


def _version(program: str) -> str:
    """Return the version of a Python; nothing where it does not run, as a shim of pyenv may not."""
    command = [program, "-c", "import platform; print(platform.python_version())"]
    try:
        answer = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    except OSError:
        return ""
    return answer.stdout.strip()
