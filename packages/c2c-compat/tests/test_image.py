"""A Dockerfile of that time on the image of today: read, and its commands run, since there is no docker here."""

import configparser
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name

from c2cwsgiutils.pyramid_logging import PyramidCeeSysLogHandler

SERVICE = Path(__file__).parent / "service"
IMAGE = Path(__file__).parents[3] / "docker/Dockerfile"
EXAMPLE = Path(__file__).parents[3] / "acceptance_tests/app"


def stages(path: Path) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Return the stages of a Dockerfile: what each begins with, and its instructions."""
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    text = path.read_text().replace("\\\n", "")
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            steps: list[tuple[str, str]] = []
            found[name] = base, steps
        elif word.isupper():
            steps.append((word, rest.strip()))
    return found


def history(target: str) -> list[tuple[str, str]]:
    """Return all instructions of a target of the image, from Debian on."""
    image = stages(IMAGE)
    base, steps = image[target]
    return [*history(base), *steps] if base in image else steps


def test_who_installs() -> None:
    """The image's user is root until the service's Dockerfile names another one, after all that it runs."""
    assert [rest for word, rest in history("compat") if word == "USER"][-1] == "0"
    assert [rest for word, rest in history("compat") if word == "WORKDIR"][-1] == "/app"
    ((base, steps),) = stages(SERVICE / "Dockerfile").values()
    assert base.partition(":")[2] in stages(IMAGE)
    words = [word for word, _ in steps]
    assert words.count("USER") == 1
    assert words.index("USER") > max(number for number, word in enumerate(words) if word == "RUN")
    assert not {"root", "0"} & set(dict(steps)["USER"].split())


def test_what_is_in_the_image() -> None:
    """c2c-compat and what it needs are installed, where ``pip`` of the service's Dockerfile installs, too."""
    runs = " ".join(rest for word, rest in history("compat") if word == "RUN")
    assert "/src/c2c-compat" in runs
    assert "PATH=/venv/bin:" in " ".join(rest for word, rest in history("compat") if word == "ENV")
    assert ("COPY", "--from=build /venv/ /venv/") in history("compat")
    assert any("python3 -m venv /venv" in rest for word, rest in history("build") if word == "RUN")


def test_what_it_runs(tmp_path: Path) -> None:
    """Each command is one that c2c-compat brings, or pip; the version that it writes is the service's."""
    ((_, steps),) = stages(SERVICE / "Dockerfile").values()
    app = tmp_path / "app"
    shutil.copytree(SERVICE, app)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ran = []
    for command in (rest for word, rest in steps if word == "RUN"):
        ran.append(command.split()[0])
        if ran[-1] != "pip":
            build = {"PATH": path, "HOME": "/", "GIT_TAG": "1.4", "GIT_HASH": "0123456"}
            subprocess.run(["sh", "-c", command], cwd=app, env=build, check=True, timeout=120)
    assert ran == ["pip", "c2cwsgiutils_genversion.py"]
    assert json.loads((app / "versions.json").read_text())["main"] == {"git_hash": "0123456", "git_tag": "1.4"}
    start = json.loads(dict(steps)["CMD"])
    done = subprocess.run([*start, "--help"], env={"PATH": path}, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_example_application() -> None:
    """It has what such a service looks up there: the CEE handler in its ini, and a script for the graph of models."""
    ini = configparser.RawConfigParser()
    ini.read(EXAMPLE / "production.ini")
    assert "cee" in ini["handlers"]["keys"].split(", ")
    assert ini["handler_cee"]["class"] == "c2c_logging.PyramidCeeSysLogHandler"
    assert resolve_name(ini["handler_cee"]["class"]) is PyramidCeeSysLogHandler
    assert "generate_model_graph(" in (EXAMPLE / "models_graph.py").read_text()
