"""The wheel brings a distribution named c2cwsgiutils: installers list it, are satisfied, and remove it with ours."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent
POINTS = "import importlib.metadata as m; print(*sorted(e.name for e in m.entry_points(group='paste.filter_factory')))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=PACKAGE, check=True, capture_output=True, timeout=300)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(params=["pip", "uv"])
def installer(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Give what runs an installer on an environment of its own, without any index; it returns status and output."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True, timeout=300)
    python = str(tmp_path / "venv/bin/python")
    more: dict[str, list[str]]
    if request.param == "pip":
        start = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
        more = {"install": ["--no-index", "--no-deps"], "uninstall": ["-y"]}
    else:
        start = [sys.executable, "-m", "uv", "pip"]
        more = {"install": ["--offline", "--no-index", "--no-deps"]}

    def run(command: str, *arguments: str | Path) -> tuple[int, str]:
        words = [python, "-c", POINTS]
        if command != "points":
            of_uv = ["--python", python] if request.param == "uv" else []
            words = [*start, command, *of_uv, *more.get(command, ()), *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
        return done.returncode, done.stdout + done.stderr

    return run


def test_installed_satisfied_removed(wheel: Path, installer: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """Who requires c2cwsgiutils has it; it can't be removed alone; it goes with what brought it."""

    def there() -> set[str]:
        (packages,) = (tmp_path / "venv/lib").glob("python3*/site-packages")
        return {path.name for path in packages.glob("c2cwsgiutils*")}

    assert installer("install", wheel)[0] == 0
    assert "6.1.10" in next(line for line in installer("list")[1].splitlines() if line.startswith("c2cwsgiutils"))
    status, said = installer("install", "c2cwsgiutils[standard,broadcast]>=6")
    assert status == 0, said
    installer("uninstall", "c2cwsgiutils")  # pip says that there is nothing to remove, uv that it can't
    assert there() == {"c2cwsgiutils", "c2cwsgiutils.egg-info"}
    assert installer("points")[1] == "client_info profiler sentry\n"
    assert installer("uninstall", "c2c-compat")[0] == 0
    assert there() == set()
