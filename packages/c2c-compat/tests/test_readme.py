"""The README's tables are complete, and what they tell to use now is there."""

import ast
import importlib
import re
import runpy
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from pyramid.config import Configurator
from webtest import TestApp

import c2cwsgiutils.pyramid
from c2c_broadcast import declarations
from c2c_broadcast.settings import RETIRED

README = (Path(__file__).parent.parent / "README.md").read_text()
UTILS = "DOCKER_GATEWAY approx in_docker retry_timeout skipIfCI wait_url"
BIN = Path(sys.executable).parent
ROOT = Path(c2cwsgiutils.__path__[0])
# What other modules of c2c-compat use.
OUR_OWN = {"add_routes", "add_sections", "tell_of_worker"}


def table(title: str) -> list[tuple[str, str]]:
    """Return the rows of the table under a heading."""
    text = README.split(f"### {title}\n")[1].split("\n##")[0]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")][2:]
    return [(old.strip(), now.strip()) for old, now in rows]


def quoted(cell: str) -> list[str]:
    """Return what a cell has in backquotes."""
    return re.findall(r"`([^`]+)`", cell)


def names_of(path: Path) -> set[str]:
    """Return the public names of a module: those of ``__all__``, else all that it defines for services."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                found = {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
                if "__all__" in found:
                    return set(ast.literal_eval(node.value))
                names |= found
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return {name for name in names if not name.startswith("_") or name == "_FastDumps"} - OUR_OWN


def resolved(name: str) -> Any:
    """Return what a dotted name means, importing as much as is needed."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


NAMES = [(quoted(old)[0], quoted(now)) for old, now in table("Names")]
PLAIN = [(old, now[0]) for old, now in NAMES if len(now) == 1 and re.fullmatch(r"c2c_[\w.]+", now[0])]
# Built when it is looked at, or with what an extra brings.
APART = ("c2cwsgiutils.wsgi_app.", "c2cwsgiutils.acceptance.image.")


def test_every_name_is_there() -> None:
    """The table has each name of era 3, once, and nothing that is not there."""
    wanted = ["c2cwsgiutils.setup_process", "c2cwsgiutils.wsgi_app.application"]
    wanted += [f"c2cwsgiutils.acceptance.utils.{name}" for name in UTILS.split()]
    for path in ROOT.rglob("*.py"):
        module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        if module != "c2cwsgiutils":
            wanted += [f"{module}.{name}" for name in sorted(names_of(path))]
    shown = [old for old, _ in NAMES]
    assert len(shown) == len(set(shown))
    assert set(shown) <= set(wanted)
    six = runpy.run_path(str(Path(__file__).parent / "names_of_six.py"))["NAMES"]
    of_six = {
        f"c2cwsgiutils.{module}.{re.split(r'[(*]', one)[0]}" for module, text in six.items() for one in text.split()
    }
    assert set(wanted) - set(shown) <= of_six | {f"c2cwsgiutils.{one}.includeme" for one in ("metrics", "stats")}


@pytest.mark.parametrize(("old", "now"), [pair for pair in PLAIN if not pair[0].startswith(APART)])
def test_names_of_now(old: str, now: str) -> None:
    """What is named on the right is what the left one is."""
    assert resolved(now) is resolved(old) or old.endswith("DOCKER_GATEWAY")


def test_includes_of_now() -> None:
    """What is to be included can be."""
    for package in {match for _, now in table("Names") for match in re.findall(r'config\.include\("(\w+)"\)', now)}:
        Configurator(settings={}).include(package)


def test_commands() -> None:
    """The table has each command that is installed, and leads to one that is."""
    installed = {point.name for point in entry_points(group="console_scripts")}
    rows = [(quoted(old), quoted(now)[0].split()[0]) for old, now in table("Commands")]
    ours = {name for name in installed if name.startswith("c2cwsgiutils")}
    assert {name for old, _ in rows for name in old if name.startswith("c2cwsgiutils")} == ours
    assert {now for _, now in rows} <= installed


@pytest.mark.parametrize("command", ["c2c-coverage-report", "c2c-check-es"])
def test_options(command: str) -> None:
    """Each option of a command is explained, and none that it has not."""
    done = subprocess.run([BIN / command, "--help"], capture_output=True, text=True, check=True)
    section = next(part for part in README.split("\n## ") if part.splitlines()[0].endswith(f"`{command}`"))
    given = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", done.stdout)) - {"--help", "--version"}
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", section))
    assert told - {"--output"} == given - {"--output"}  # which the README has in its short form, too


def test_variables() -> None:
    """The table has each variable that the packages declare, with its ini key, and those that are retired."""
    rows = table("Variables")
    declared = {}
    for point in entry_points(group="c2c.settings"):
        for declaration, _ in declarations(point.load()).values():
            star = "{name}" if declaration.prefix else ""
            names = [f"{name}{star}" for name in (declaration.env, declaration.key, *declaration.aliases) if name]
            declared.setdefault(names[0], names)
    now = {quoted(right)[0]: quoted(right) for _, right in rows if quoted(right)}
    missing = [
        f"| | {' or '.join(f'`{one}`' for one in names)} |"
        for name, names in declared.items()
        if now.get(name) != names
    ]
    assert not missing, "rows that are missing in the README of c2c-compat, or wrong:\n" + "\n".join(missing)
    left = {name for old, _ in rows for name in quoted(old)}
    assert {*RETIRED, "C2CWSGIUTILS_CONFIG", "GUNICORN_PARAMS", "LOG_HOST", "LOG_PORT"} <= left
    for old, right in rows:
        if quoted(old) and quoted(old)[0] in declared:
            assert quoted(old) == quoted(right)[:1]


def test_urls(tmp_path: Path) -> None:
    """The table has the URL of each view that there is when everything is switched on."""
    versions = tmp_path / "versions.json"
    versions.write_text('{"main": {"git_hash": "0"}, "packages": {}}')
    switches = ("stats_view", "debug_view_enabled", "sql_profiler_enabled", "log_view_enabled")
    settings = {f"c2c.{name}": "true" for name in (*switches, "db_maintenance_view_enabled")}
    settings |= {
        "c2c.secret": "a-secret-of-the-tests",
        "c2c.versions_path": str(versions),
        "c2c.profiler_path": "/prof",
    }
    config = Configurator(settings=settings)
    config.include(c2cwsgiutils.pyramid.includeme)
    config.commit()
    routes = {item["introspectable"]["pattern"] for item in config.introspector.get_category("routes")}
    shown = {name for row in table("URLs") for cell in row for name in quoted(cell) if name.startswith(("{base}", "/"))}
    shown = {name.replace("{base}", "/c2c").replace("{path}", "*path") for name in shown}
    assert shown == routes - {"/prof", "/c2c*rest"}
    assert "`C2C_PROFILER_PATH`" in {old for old, _ in table("URLs")}


def test_ini_files() -> None:
    """What ini files name now is there."""
    for old, now in table("Ini files"):
        name = quoted(now)[0] if quoted(now) else ""
        if name.startswith("egg:"):
            _, _, filter_name = name.partition("#")
            points = [*entry_points(group="paste.filter_factory"), *entry_points(group="paste.filter_app_factory")]
            assert filter_name in {point.name for point in points}
        elif name.startswith("class = "):
            assert resolved(name.removeprefix("class = ")) is resolved(quoted(old)[0].removeprefix("class = "))


def test_example() -> None:
    """The service of the README starts."""
    code = README.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    app = TestApp(names["main"]({}, **{"sqlalchemy.url": "sqlite://"}))
    assert "db_engine_sqlalchemy" in app.get("/api/c2c/health_check").json["successes"]


def test_what_shows_it() -> None:
    """Each row selects tests that are there: each word of a selection is in the name of a test or of a file of them."""
    rows = re.findall(r"^\| (.+) \| `(.*)` \|$", README.split("## What shows it\n")[1].split("\n## ")[0], re.MULTILINE)[
        1:
    ]
    assert [int(what.partition(".")[0]) for what, _ in rows if what[0].isdigit()] == list(range(1, 14))
    files = {path.stem: path.read_text() for path in Path(__file__).parent.glob("test_*.py")}
    names = {*files, *(name for text in files.values() for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE))}
    for what, arguments in rows:
        words = arguments.split("-k ")[1].strip("\"'").split(" or ")
        assert all(any(word in name for name in names) for word in words), what
