"""Every code block of the READMEs, guides and reference pages is held to the truth, or says why it can't be."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter  # noqa: TC003 # fixtures are made of it
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from acceptance_tests import demo as start
from documentation.blocks import ROOT, Block, blocks, pages
from documentation.sandbox import SECRET

ALL = [block for page in pages() for block in blocks(page)]
SHELL = ("sh", "shell", "bash", "")
_PIP = re.compile(r"'?(c2c-[a-z]+)(?:\[([a-z0-9,]+)\])?'?")


def of(*languages: str) -> list[Block]:
    """Return the blocks in these languages that say no reason for not being run."""
    return [block for block in ALL if block.language in languages and not block.reason]


def _python_pages() -> list[Path]:
    # In a guide, a block with a title is a file of the service that its commands start: see test_guides.py.
    untitled = [block for block in of("python") if block.title is None or block.page.name == "README.md"]
    return sorted({block.page for block in untitled})


def _commands(block: Block) -> Iterator[str]:
    """Give the commands of a shell block, without comments."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if command := re.sub(r"(^|\s)#.*", "", line).strip():
            yield command


@pytest.fixture
def environ(running: start.Demo) -> dict[str, str]:
    """Give the variables that name the real parts."""
    programs = Path(sys.executable).parent
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PRIMARY_URL": running.databases.primary.url,
        "REPLICA_URL": running.databases.replica.url,
        "SQLALCHEMY_URL": running.databases.primary.url,
        "REDIS_URL": running.redis.url,
        "SERVICE_URL": running.service.url,
        "C2C_SECRET": SECRET,
    }


def _succeeds(command: list[str], **options: object) -> str:
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, **options
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-6000:]}"
    return done.stdout


@pytest.mark.parametrize("page", _python_pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_python(page: Path, environ: dict[str, str], counted: "Counter[str]") -> None:
    """It runs, one block after the other, and what it defines does what the page says."""
    told = _succeeds(
        [sys.executable, "-m", "documentation.readmes", str(page.relative_to(ROOT))], cwd=ROOT, env=environ
    )
    counted["python blocks run"] += len(re.findall(r"^run ", told, re.MULTILINE))


def test_ini(environ: dict[str, str], tmp_path: Path, counted: "Counter[str]") -> None:
    """The loader takes each block, logging and application."""
    untitled = [block for block in of("ini") if not block.title]
    files = {tmp_path / re.sub(r"\W", "_", block.place): block for block in untitled}
    assert len(files) > 5
    for file, block in files.items():
        file.write_text(block.text, encoding="utf-8")
    _succeeds([sys.executable, "-m", "documentation.inis", *map(str, files)], cwd=ROOT, env=environ)
    counted["ini blocks loaded"] += len(files)


@pytest.mark.parametrize("block", of(*SHELL), ids=lambda block: block.place)
def test_shell(block: Block, environ: dict[str, str], tmp_path: Path, counted: "Counter[str]") -> None:
    """What pip installs exists, with its extras; what curl asks answers."""
    for command in _commands(block):
        words = command.split()
        if words[:2] == ["pip", "install"]:
            _exists(words[2:])
            counted["pip commands checked"] += 1
        elif words[:2] == ["pip", "uninstall"]:
            continue
        else:
            assert words[0] == "curl", (
                f"{block.place}: how is this tested? Else say <!-- not run: reason -->: {command}"
            )
            here = command.replace("localhost:8080/", f"{environ['SERVICE_URL'].removeprefix('http://')}/api/")
            _succeeds(
                ["bash", "-c", here.replace("curl ", "curl --fail --silent --show-error ")], cwd=tmp_path, env=environ
            )
            counted["curl commands run"] += 1


def _exists(words: list[str]) -> None:
    for name, extras in (match.groups() for word in words if (match := _PIP.fullmatch(word))):
        project = tomllib.loads((ROOT / "packages" / name / "pyproject.toml").read_text())["project"]
        unknown = set(filter(None, (extras or "").split(","))) - project.get("optional-dependencies", {}).keys()
        assert not unknown, f"{name} has no extra {unknown}"


@pytest.mark.parametrize("block", of("json", "toml", "yaml"), ids=lambda block: block.place)
def test_data(block: Block, counted: "Counter[str]") -> None:
    """It is what it says that it is written in."""
    parse = {"json": json.loads, "toml": tomllib.loads, "yaml": lambda text: list(yaml.safe_load_all(text))}
    assert parse[block.language](block.text)
    counted["data blocks parsed"] += 1


@pytest.mark.parametrize("block", of("dockerfile"), ids=lambda block: block.place)
def test_dockerfile(block: Block, tmp_path: Path, counted: "Counter[str]") -> None:
    """Hadolint has nothing to say about it."""
    file = tmp_path / "Dockerfile"
    file.write_text(block.text, encoding="utf-8")
    _succeeds([str(Path(sys.executable).parent / "hadolint"), str(file)])
    counted["dockerfile blocks checked"] += 1


def test_every_block_is_held_to_the_truth_or_says_why_not(counted: "Counter[str]") -> None:
    """Console blocks are run by test_guides.py; blocks in other languages want a reason."""
    held = {"python", "ini", "json", "toml", "yaml", "dockerfile", "console", *SHELL}
    unheld = [block.place for block in ALL if block.language not in held and not block.reason]
    assert not unheld, "a mark before the block says why: <!-- not run: reason -->"
    for block in ALL:
        if block.reason:
            counted[f"not run: {block.place}: {block.reason}"] += 1
