"""Release a package: ``python -m tools.release c2c-health 1.1.0``, or ``make release P=c2c-health V=1.1.0``.

Refuses, with one line and exit code 2 and without having changed anything, what is not fit to be released. Else: the
package's fragments become a section of its CHANGELOG.md, the version in its pyproject.toml is bumped, the files are
built and verified, and all is committed and tagged ``c2c-health-v1.1.0``. Nothing is pushed or uploaded: it says how.
"""

import argparse
import datetime as dt
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.version import Version

from tools.changelog import section, with_section
from tools.fragments import KINDS, Fragment, Level, fragments
from tools.public_api import changes
from tools.release_files import build, twine_check, verify
from tools.workspace import DIST, ROOT, Package, RefusedError, git, package, packages, released

_SHOWN = 3


def main(arguments: list[str]) -> int:
    """Release what the command line says."""
    parser = argparse.ArgumentParser(prog="release", description="Release one package.")
    parser.add_argument("package", help="such as c2c-health")
    parser.add_argument("version", help="such as 1.1.0")
    parser.add_argument("--green", help="the command that succeeds when all is green (make check test-PACKAGE)")
    options = parser.parse_args(arguments)
    try:
        released_package = package(options.package)
        version = _version(options.version)
        told = _check(released_package, version)
        _check_green(options.green or f"make check test-{released_package.name}")
        _release(released_package, version, told)
    except RefusedError as error:
        sys.stderr.write(f"release: {error}\n")
        return 2
    return 0


def _version(text: str) -> Version:
    """Return a version of three numbers."""
    if not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", text):
        raise RefusedError(f"{text!r} is no version of three numbers, such as 1.1.0")
    return Version(text)


def _check(wanted: Package, version: Version) -> list[Fragment]:
    """Return the fragments of a release that can be made; ``RefusedError`` says why it can't."""
    branch = git("symbolic-ref", "--short", "HEAD", check=False)
    if branch != "main":
        raise RefusedError(f"releases are made on main, and {branch or 'no branch'} is checked out: git switch main")
    dirty = git("status", "--porcelain").splitlines()
    if dirty:
        raise RefusedError(f"the tree is not clean ({', '.join(line[3:] for line in dirty[:_SHOWN])}): commit first")
    upstream = git("rev-parse", "--abbrev-ref", "@{upstream}", check=False)
    if upstream and git("rev-list", "--count", f"HEAD..{upstream}") != "0":
        raise RefusedError(f"main is behind {upstream}: git pull")
    told = fragments(wanted)
    if not told:
        folder = f"packages/{wanted.name}/changelog.d"
        raise RefusedError(f"{wanted.name} has nothing to tell its users: {folder} has no fragment")
    _check_fits(wanted, version, told)
    _check_dependents(wanted, version)
    return told


def _check_fits(wanted: Package, version: Version, told: list[Fragment]) -> None:
    """Check that the version follows the last one by as much as the change asks for."""
    tags = released(wanted)
    if not tags:
        if version < wanted.version:
            raise RefusedError(
                f"the first release of {wanted.name} can't be {version}: it calls itself {wanted.version}"
            )
        return
    last = max(tags)
    nexts = {
        Level.PATCH: Version(f"{last.major}.{last.minor}.{last.micro + 1}"),
        Level.MINOR: Version(f"{last.major}.{last.minor + 1}.0"),
        Level.MAJOR: Version(f"{last.major + 1}.0.0"),
    }
    levels = {following: level for level, following in nexts.items()}
    if version not in levels:
        raise RefusedError(
            f"{version} does not follow {last}, the last release: {', '.join(map(str, nexts.values()))} do"
        )
    with tempfile.TemporaryDirectory() as folder:
        found = changes(_exported(wanted, tags[last], Path(folder)), wanted.folder)
    found += [(KINDS[item.kind], f"changelog.d/{item.path.name} tells it") for item in told]
    asked = max(level for level, _ in found)
    if asked > levels[version]:
        reasons = [reason for level, reason in found if level == asked]
        more = f" and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
        raise RefusedError(
            f"{wanted.name} {version} is a {levels[version].name.lower()} release, but since {tags[last]} "
            f"{'; '.join(reasons[:_SHOWN])}{more}: that is a {asked.name.lower()} release, {nexts[asked]}"
        )


def _exported(wanted: Package, revision: str, folder: Path) -> Path:
    """Write the package as it was at a revision into a folder; return where it is."""
    archive = folder / "old.tar"
    git("archive", "--format=tar", f"--output={archive}", revision, "--", f"packages/{wanted.name}")
    shutil.unpack_archive(archive, folder / "old", "tar")
    return folder / "old" / "packages" / wanted.name


def _check_dependents(wanted: Package, version: Version) -> None:
    """Check that our packages that need this one admit the version."""
    for other in packages():
        extras = ["", *other.project.get("optional-dependencies", {})]
        for requirement in [found for extra in extras for found in other.requirements(extra)]:
            if requirement.name == wanted.name and version not in requirement.specifier:
                raise RefusedError(
                    f"{other.name} needs {requirement}, and could not be installed with {version}: first let "
                    f"packages/{other.name}/pyproject.toml admit it, once {other.name} works with it"
                )


def _check_green(command: str) -> None:
    """Check that main is green: run its checks and the package's tests, here and now."""
    sys.stdout.write(f"release: {command}\n")
    sys.stdout.flush()
    if subprocess.run(shlex.split(command), check=False, cwd=ROOT).returncode:
        raise RefusedError(f"main is not green: {command} failed")


def _release(wanted: Package, version: Version, told: list[Fragment]) -> None:
    """Write, build, verify, commit and tag; what was written is taken back when the files are wrong."""
    tag = f"{wanted.name}-v{version}"
    changelog, project = wanted.folder / "CHANGELOG.md", wanted.folder / "pyproject.toml"
    with tempfile.TemporaryDirectory() as folder:
        try:
            new = section(version, dt.datetime.now(dt.UTC).date(), told)
            changelog.write_text(with_section(changelog.read_text("utf-8"), new), "utf-8")
            for fragment in told:
                fragment.path.unlink()
            text = project.read_text("utf-8")
            text, count = re.subn(r'(?m)^version = ".*"$', f'version = "{version}"', text, count=1)
            assert count == 1, project
            project.write_text(text, "utf-8")
            new_one = Package(wanted.name)
            paths = build(new_one, Path(folder))
            verify(new_one, Path(folder))
            twine_check(*paths)
            git("add", "--all", "--", f"packages/{wanted.name}")
            git("commit", "--quiet", "--message", f"{wanted.name} {version}")
        except BaseException:
            git("checkout", "--quiet", "HEAD", "--", f"packages/{wanted.name}")
            raise
        git("tag", "--annotate", "--message", f"{wanted.name} {version}", tag)
        DIST.mkdir(exist_ok=True)
        for old in DIST.glob(f"{wanted.name.replace('-', '_')}-[0-9]*"):
            old.unlink()
        built = [shutil.copy(path, DIST / path.name) for path in Path(folder).glob("*-[0-9]*")]
    sys.stdout.write(f"Released {tag}. To publish it:\n    git push --atomic origin main {tag}\n    uv publish")
    sys.stdout.write("".join(f" {path.relative_to(ROOT)}" for path in map(Path, sorted(built))) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
