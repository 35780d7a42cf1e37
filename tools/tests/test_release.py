"""Releases rehearsed in a scratch clone: what is refused and why, what is written, tagged and built."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from tools.workspace import ROOT, Package

_P = "c2c-sentry"
_FIRST = Package(_P).version
_MINOR = f"{_FIRST.major}.{_FIRST.minor + 1}.0"
_MAJOR = f"{_FIRST.major + 1}.0.0"
_IDENTITY = {f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


class Clone:
    """A clone of this repository that may be broken."""

    def __init__(self, folder):
        self.folder = folder
        self.package = folder / "packages" / _P
        self.init = self.package / "src" / "c2c_sentry" / "__init__.py"
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | _IDENTITY

    def run(self, *command):
        """Run a program at the clone's top."""
        return subprocess.run(
            command, check=False, cwd=self.folder, env=self._environ, capture_output=True, text=True, timeout=300
        )

    def git(self, *arguments):
        """Return what git prints."""
        found = self.run("git", *arguments)
        assert found.returncode == 0, found.stderr
        return found.stdout.strip()

    def commit(self):
        """Commit all."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a change")

    def tell(self, name, text="Something that users can act on."):
        """Write a fragment."""
        folder = self.package / "changelog.d"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"{text}\n")

    def tell_all(self):
        """Write a fragment for each package, so that none lacks one."""
        for package in (self.folder / "packages").iterdir():
            (package / "changelog.d").mkdir(exist_ok=True)
            (package / "changelog.d" / "1.changed.md").write_text("Something that users can act on.\n")

    def replace(self, path, old, new):
        """Replace a text in a file, where it is."""
        text = path.read_text()
        assert old in text, path
        path.write_text(text.replace(old, new))

    def release(self, version, package=_P, green="true"):
        """Run the release program; what is green is not rehearsed here, unless the test says so."""
        return self.run(sys.executable, "-m", "tools.release", package, str(version), "--green", green)

    def refused(self, said, *arguments, **options):
        """Release, and hold that it is refused with one line that has these words, and that nothing has changed."""
        before = self._state()
        found = self.release(*arguments, **options)
        assert found.returncode == 2, found.stdout + found.stderr
        assert len(found.stderr.splitlines()) == 1, found.stderr
        assert all(word in found.stderr for word in said), found.stderr
        assert self._state() == before

    def _state(self):
        return [self.git(*words) for words in (["status", "--porcelain"], ["rev-parse", "HEAD"], ["tag"])]


@pytest.fixture
def clone(tmp_path):
    """Give a clone on main, with the programs as they are in this tree, that has never released anything."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True, capture_output=True, text=True)
    found = Clone(folder)
    found.git("checkout", "--quiet", "-B", "main")
    found.run("git", "branch", "--unset-upstream")
    for tag in found.git("tag").splitlines():
        found.git("tag", "--delete", tag)
    shutil.copytree(ROOT / "tools", folder / "tools", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    with (found.package / "pyproject.toml").open("a") as file:
        file.write('\n[project.urls]\nSource = "https://s"\nDocumentation = "https://d"\nChangelog = "https://c"\n')
    found.tell("1.added.md", "The first thing that is added.\nIn two lines.")
    found.commit()
    return found


def test_two_releases(clone):
    """The first is made; the second removes a name: it is refused as a minor one, and made as a major one."""
    before = clone.init.read_text()
    clone.init.write_text(f"{before}\n\ndef gone() -> int:\n    return 1\n")
    clone.replace(clone.init, "__all__ = [", '__all__ = [\n    "gone",')
    clone.commit()
    found = clone.release(_FIRST)
    assert found.returncode == 0, found.stdout + found.stderr
    tag = f"{_P}-v{_FIRST}"
    assert f"git push --atomic origin main {tag}" in found.stdout
    assert clone.git("tag") == tag
    assert clone.git("rev-parse", f"{tag}^{{commit}}") == clone.git("rev-parse", "main")
    assert clone.git("status", "--porcelain") == ""
    changelog = (clone.package / "CHANGELOG.md").read_text()
    assert re.search(rf"## {_FIRST} \(\d{{4}}-\d\d-\d\d\)\n\n### Added\n\n(?:- .*\n)*- The first thing", changelog), (
        changelog
    )
    assert "In two lines. (#1)\n" in changelog
    assert list((clone.package / "changelog.d").glob("*.md")) == []

    clone.init.write_text(before)
    clone.tell("2.changed.md")
    clone.commit()
    clone.refused(["griffe: ", "gone", f"that is {_MAJOR}"], _MINOR)
    clone.refused(["c2c-meta needs c2c-sentry"], _MAJOR)
    meta = clone.folder / "packages" / "c2c-meta" / "pyproject.toml"
    old = re.search(rf'"{_P}([^"]*)"', meta.read_text())[1]
    clone.replace(meta, f'"{_P}{old}"', f'"{_P}>={_FIRST}"')
    clone.commit()
    found = clone.release(_MAJOR)
    assert found.returncode == 0, found.stdout + found.stderr
    assert clone.git("tag").splitlines() == sorted([tag, f"{_P}-v{_MAJOR}"])
    assert f'version = "{_MAJOR}"' in (clone.package / "pyproject.toml").read_text()
    changelog = (clone.package / "CHANGELOG.md").read_text()
    assert changelog.index(f"## {_MAJOR} (") < changelog.index(f"## {_FIRST} (")
    wheel = clone.folder / "dist" / f"c2c_sentry-{_MAJOR}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as file:
        about = file.read(f"c2c_sentry-{_MAJOR}.dist-info/METADATA").decode()
        sbom = json.loads(file.read(f"c2c_sentry-{_MAJOR}.dist-info/sboms/c2c-sentry.cdx.json"))
    assert f"\nVersion: {_MAJOR}\n" in about
    assert "\nProject-URL: Changelog, https://c\n" in about
    assert {one["name"] for one in sbom["components"]} == {one.name for one in Package(_P).requirements()}
    assert (sbom["metadata"]["component"]["name"], sbom["metadata"]["component"]["version"]) == (_P, _MAJOR)
    assert sorted(path.name for path in wheel.parent.glob("*-[0-9]*")) == [wheel.name, f"c2c_sentry-{_MAJOR}.tar.gz"]


def test_what_follows_what(clone):
    """Only the next patch, minor or major version is a release, and what was added is no patch."""
    assert clone.release(_FIRST).returncode == 0
    clone.tell("2.fixed.md")
    clone.commit()
    clone.refused(["does not follow"], _FIRST)
    clone.refused(["does not follow", _MINOR, _MAJOR], f"{_FIRST.major}.{_FIRST.minor + 2}.0")
    clone.tell("3.added.md")
    clone.commit()
    patch = f"{_FIRST.major}.{_FIRST.minor}.{_FIRST.micro + 1}"
    clone.refused(["of what was added", f"that is {_MINOR}"], patch)
    assert clone.release(_MINOR).returncode == 0


def test_refusals(clone):
    """What is not fit to be released is refused with one line, before anything is changed."""
    clone.refused(["no package 'c2c-nothing'", "c2c-health"], _FIRST, package="c2c-nothing")
    clone.refused(["'1.1' is no version"], "1.1")
    clone.refused(["'1.1.0rc1' is no version"], "1.1.0rc1")
    clone.refused(["can't be 0.9.0"], "0.9.0")
    clone.refused(["not green: false failed"], _FIRST, green="false")
    clone.tell("9.added.md")
    clone.refused(["not clean", "9.added.md"], _FIRST)
    clone.git("clean", "--quiet", "--force", "-d")
    clone.git("switch", "--quiet", "--create", "other")
    clone.refused(["on main", "other is checked out"], _FIRST)
    clone.git("switch", "--quiet", "main")
    for path in (clone.package / "changelog.d").iterdir():
        path.unlink()
    clone.commit()
    clone.refused(["changelog.d is empty"], _FIRST)
    clone.replace(clone.package / "pyproject.toml", "Changelog = ", "News = ")
    clone.commit()
    clone.refused(["[project.urls] wants", "Changelog"], _FIRST)


def test_files_that_are_wrong_are_taken_back(clone):
    """Where the files can't be built or are not as an index wants them, nothing is committed; the tree is as it was."""
    clone.replace(clone.package / "pyproject.toml", 'license = "BSD-2-Clause"', 'license = "no licence"')
    clone.commit()
    clone.refused(["uv failed"], _FIRST)


def test_changes_have_fragments(clone):
    """A change of source without a fragment is told, with what to write; names are held, too."""
    fragments = [sys.executable, "-m", "tools.fragments"]
    clone.tell_all()
    clone.commit()
    assert clone.release(_FIRST).returncode == 0
    assert clone.run(*fragments).returncode == 0
    (clone.init.parent / "_new.py").touch()
    found = clone.run(*fragments)
    assert found.returncode == 1
    assert "c2c-sentry: src/ has changed since c2c-sentry-v" in found.stderr, found
    clone.tell("2.added.md")
    assert clone.run(*fragments).returncode == 0
    clone.tell("more.wrong.md")
    found = clone.run(*fragments)
    assert found.returncode == 1
    assert "more.wrong.md: name it <issue>." in found.stderr, found


def test_fragments_newer_than_a_base(clone):
    """With a base revision, a fragment of an earlier change does not stand for a new one."""
    fragments = [sys.executable, "-m", "tools.fragments", "--base", "main"]
    clone.tell_all()
    clone.commit()
    clone.git("switch", "--quiet", "--create", "change")
    clone.init.write_text(f"{clone.init.read_text()}\n")
    clone.commit()
    found = clone.run(*fragments)
    assert found.returncode == 1
    assert "c2c-sentry: src/ has changed" in found.stderr
    clone.tell("3.changed.md")
    clone.commit()
    assert clone.run(*fragments).returncode == 0
    assert clone.run(*fragments[:-1], "nowhere").returncode == 2
