"""What a change of the public interface asks of the version."""

import pytest

from tools.fragments import Level
from tools.public_api import changes

_PROJECT = (
    '[project]\nname = "p"\n[project.scripts]\nrun = "p:f"\n[project.optional-dependencies]\nsql = []\ntest = []\n'
)
_SOURCE = """
from p._core import Thing, f
__all__ = ["Thing", "f", "lazy"]
"""
_CORE = """
from dataclasses import dataclass
@dataclass
class Thing:
    size: int = 1
    def grow(self, by=1): ...
    def _shrink(self): ...
def f(a, b=1): ...
def g(): ...
"""


def _write(folder, edits):
    texts = {"pyproject.toml": _PROJECT, "src/p/__init__.py": _SOURCE, "src/p/_core.py": _CORE}
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        edited = text
        for old, new in edits.items():
            edited = edited.replace(old, new)
        path.write_text(edited)
    return folder


@pytest.mark.parametrize(
    ("level", "edits"),
    [
        (None, {}),
        (None, {"def g(): ...": "", "_shrink": "_wither", "test = []": ""}),
        (Level.MAJOR, {'"Thing", ': ""}),
        (Level.MAJOR, {', "lazy"': ""}),
        (Level.MAJOR, {"def f(a, b=1)": "def f(a)"}),
        (Level.MAJOR, {"def f(a, b=1)": "def f(a, b)"}),
        (Level.MAJOR, {"def f(a, b=1)": "def f(a, c, b=1)"}),
        (Level.MAJOR, {"grow(self, by=1)": "expand(self, by=1)"}),
        (Level.MAJOR, {"size: int = 1": "size: int"}),
        (Level.MAJOR, {"sql = []": ""}),
        (Level.MAJOR, {'run = "p:f"': ""}),
        (Level.MINOR, {"def f(a, b=1)": "def f(a, b=2)"}),
        (Level.MINOR, {"def f(a, b=1)": "def f(a, b=1, c=None)"}),
        (Level.MINOR, {"size: int = 1": "size: int = 1\n    weight: int = 0"}),
        (Level.MINOR, {', "lazy"': ', "lazy", "lazier"'}),
        (Level.MINOR, {"sql = []": "sql = []\nredis = []"}),
    ],
)
def test_level(tmp_path, level, edits):
    """A removed or changed name is a major change, an added one a minor; what is private is none."""
    found = changes(_write(tmp_path / "old", {}), _write(tmp_path / "new", edits))
    assert max((asked for asked, _ in found), default=None) == level, found
