"""``c2c-genversion``: what it writes, from arguments and from git."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from c2c_health.version import main, packages

_COMMAND = Path(sys.executable).with_name("c2c-genversion")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in an empty folder that is in no work tree."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def _written(folder):
    return json.loads((folder / "versions.json").read_text())


def test_tag_and_hash(here):
    """The command itself writes the contract's file."""
    subprocess.run([_COMMAND, "1.2.3", "4b0c1d2"], check=True)
    found = _written(here)
    assert set(found) == {"main", "packages"}
    assert found["main"] == {"git_hash": "4b0c1d2", "git_tag": "1.2.3"}
    assert found["packages"]["pyramid"] == importlib.metadata.version("pyramid")
    # An editable installation, as this package is here.
    assert found["packages"]["c2c-health"] == importlib.metadata.version("c2c-health")


@pytest.mark.parametrize("arguments", [["4b0c1d2"], ["", "4b0c1d2"]])
def test_hash_only(here, arguments):
    """Without a tag, or with an empty one, there is none in the file."""
    assert main(arguments) == 0
    assert _written(here)["main"] == {"git_hash": "4b0c1d2"}


def test_from_git(here):
    """Without arguments git is asked, for the tag of this very commit too."""

    def git(*arguments):
        who = ["-c", "user.name=x", "-c", "user.email=x@localhost", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "one")
    assert main([]) == 0
    assert _written(here)["main"] == {"git_hash": git("rev-parse", "HEAD")}
    git("tag", "v1")
    assert main([]) == 0
    assert _written(here)["main"] == {"git_hash": git("rev-parse", "HEAD"), "git_tag": "v1"}


def test_odd_distributions(tmp_path):
    """Names with odd characters stay as they are; of two of one name the first counts; broken ones are left out."""
    for number, (folder, lines) in enumerate(
        [
            ("a/zope.interface-1.dist-info", "Name: zope.interface\nVersion: 1\n"),
            ("a/odd-2.dist-info", "Name: Ödd näme/\u202e\nVersion: 2+local.1\n"),
            ("a/broken-3.dist-info", "Summary: nothing\n"),
            ("b/zope.interface-9.dist-info", "Name: zope.interface\nVersion: 9\n"),
        ]
    ):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "METADATA").write_text(f"Metadata-Version: 2.{number}\n{lines}", encoding="utf-8")
    (tmp_path / "a/empty-4.dist-info").mkdir()
    found = packages(importlib.metadata.distributions(path=[str(tmp_path / "a"), str(tmp_path / "b")]))
    assert found == {"zope.interface": "1", "Ödd näme/\u202e": "2+local.1"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["a", "b", "c"], "3 arguments"), ([""], "GIT_HASH is empty"), ([], "git knows no commit here")],
)
def test_bad_usage(here, capsys, arguments, message):
    """Exit 2 and one line; nothing is written."""
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (here / "versions.json").exists()


def test_a_folder_that_is_not_ours(here, capsys):
    """One line too."""
    (here / "versions.json").mkdir()
    assert main(["4b0c1d2"]) == 2
    assert "versions.json" in capsys.readouterr().err


def test_without_git(here, capsys, monkeypatch):
    """Says that the hash has to be given."""
    assert shutil.which("git")
    monkeypatch.setenv("PATH", str(here))
    assert main([]) == 2
    assert "there is no git" in capsys.readouterr().err
