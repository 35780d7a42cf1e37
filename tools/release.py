"""Release a package: ``python -m tools.release c2c-health 1.1.0``, or ``make release P=c2c-health V=1.1.0``.

Refuses, with one line and exit code 2 and without having changed anything, what is not fit to be released. Else
towncrier writes the changelog, the version is bumped, uv builds, twine and check-wheel-contents look at the files, an
SBOM goes into the wheel, and all is committed and tagged ``c2c-health-v1.1.0``. It says how to push and upload.
"""

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.version import Version

from tools.fragments import fragments
from tools.workspace import DIST, ROOT, Package, RefusedError, git, packages, released

_BIN = Path(sys.executable).parent
_LEVELS = ("patch", "minor", "major")


def main() -> int:
    """Release what the command line says."""
    parser = argparse.ArgumentParser(prog="release", description="Release one package.")
    parser.add_argument("package", help="such as c2c-health")
    parser.add_argument("version", help="such as 1.1.0")
    parser.add_argument("--green", help="the command that succeeds when all is green (make check test-PACKAGE)")
    options = parser.parse_args()
    wanted, version = Package(options.package), options.version
    green = options.green or f"make check test-{wanted.name}"
    try:
        _check(wanted, version)
        _check_others(wanted, version, green)
        _release(wanted, version)
    except RefusedError as error:
        sys.stderr.write(f"release: {error}\n")
        return 2
    return 0


def _check(wanted: Package, version: str) -> None:
    """Say why a release can't be made: ``RefusedError``."""
    if wanted not in packages():
        raise RefusedError(
            f"there is no package {wanted.name!r}: there are {', '.join(one.name for one in packages())}"
        )
    if not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", version):
        raise RefusedError(f"{version!r} is no version of three numbers, such as 1.1.0")
    branch = git("symbolic-ref", "--short", "HEAD", check=False)
    if branch != "main":
        raise RefusedError(f"releases are made on main, and {branch or 'no branch'} is checked out: git switch main")
    if dirty := git("status", "--porcelain").splitlines():
        raise RefusedError(f"the tree is not clean ({dirty[0][3:]}): commit first")
    upstream = git("rev-parse", "--abbrev-ref", "@{upstream}", check=False)
    if upstream and git("rev-list", "--count", f"HEAD..{upstream}") != "0":
        raise RefusedError(f"main is behind {upstream}: git pull")
    if not {"Source", "Documentation", "Changelog"} <= wanted.project.get("urls", {}).keys():
        raise RefusedError(
            f"packages/{wanted.name}/pyproject.toml: [project.urls] wants Source, Documentation, Changelog"
        )
    if not fragments(wanted):
        raise RefusedError(f"{wanted.name} has nothing to tell its users: packages/{wanted.name}/changelog.d is empty")
    if tags := released(wanted):
        _check_follows(wanted, version, max(tags), tags[max(tags)])
    elif Version(version) < wanted.version:
        raise RefusedError(f"the first release of {wanted.name} can't be {version}: it is {wanted.version} already")


def _check_others(wanted: Package, version: str, green: str) -> None:
    """Check that our packages that need this one admit the version, and that main is green, here and now."""
    for other in packages():
        for extra in ("", *other.project.get("optional-dependencies", {})):
            for needed in other.requirements(extra):
                if needed.name == wanted.name and version not in needed.specifier:
                    place = f"packages/{other.name}/pyproject.toml"
                    raise RefusedError(f"{other.name} needs {needed}: first let {place} admit {version}")
    if subprocess.run(shlex.split(green), check=False, cwd=ROOT).returncode:
        raise RefusedError(f"main is not green: {green} failed")


def _check_follows(wanted: Package, version: str, last: Version, tag: str) -> None:
    """Check that the version follows the last one by as much as fragments and griffe say that it must."""
    major, minor, patch = last.release
    nexts = (f"{major}.{minor}.{patch + 1}", f"{major}.{minor + 1}.0", f"{major + 1}.0.0")
    if version not in nexts:
        raise RefusedError(f"{version} does not follow {last}, the last release: {', '.join(nexts)} do")
    kinds = {path.name.split(".")[-2] for path in fragments(wanted)}
    asked, why = (1, "a fragment tells of what was added") if "added" in kinds else (0, "")
    for place in sorted(wanted.folder.glob("src/*/__init__.py")):
        source = f"packages/{wanted.name}/src"
        if said := _said(_BIN / "griffecli", "check", place.parent.name, "-s", source, "-a", tag, "--verbose"):
            asked, why = 2, f"griffe: {said[:300]}"
    if "removed" in kinds:
        asked, why = 2, "a fragment tells of what was removed"
    if asked > nexts.index(version):
        raise RefusedError(f"{version} is a {_LEVELS[nexts.index(version)]} release, but {why}: that is {nexts[asked]}")


def _said(*command: str | Path) -> str:
    """Run a program; return what it said if it failed, in one line, else nothing."""
    found = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    return " ".join((found.stdout + found.stderr).split()) or "nothing" if found.returncode else ""


def _run(*command: str | Path) -> None:
    if said := _said(*command):
        raise RefusedError(f"{Path(command[0]).name} failed: {said[:500]}")


def _release(wanted: Package, version: str) -> None:
    """Write, build, verify, commit and tag; what was written is taken back when something is wrong."""
    tag, place = f"{wanted.name}-v{version}", f"packages/{wanted.name}"
    try:
        _run(_BIN / "towncrier", "build", "--yes", "--config", "towncrier.toml", "--dir", place, "--version", version)
        project = wanted.folder / "pyproject.toml"
        text = re.sub(r'(?m)^version = ".*"$', f'version = "{version}"', project.read_text("utf-8"), count=1)
        project.write_text(text, "utf-8")
        built = build(Package(wanted.name))
        _add_sbom(Package(wanted.name), built[0])
        git("add", "--all", "--", place)
        git("commit", "--quiet", "--message", f"{wanted.name} {version}")
    except BaseException:
        git("reset", "--quiet", "HEAD", "--", place)
        git("checkout", "--quiet", "HEAD", "--", place)
        raise
    git("tag", "--annotate", "--message", f"{wanted.name} {version}", tag)
    files = " ".join(str(path.relative_to(ROOT)) for path in built)
    sys.stdout.write(
        f"Released {tag}. To publish it:\n    git push --atomic origin main {tag}\n    uv publish {files}\n"
    )


def build(wanted: Package) -> list[Path]:
    """Build the wheel and the source archive of a package into dist/, and look at them; return where they are.

    Raises:
        RefusedError: uv, twine or check-wheel-contents say what is wrong.
    """
    files = f"{wanted.name.replace('-', '_')}-[0-9]*"
    for old in DIST.glob(files):
        old.unlink()
    _run(_BIN / "uv", "build", "-q", "--no-build-isolation", "--python", sys.executable, "-o", DIST, wanted.folder)
    shutil.rmtree(wanted.folder / "build", ignore_errors=True)
    built = sorted(DIST.glob(files))
    if {path.name for path in built} != {f"{wanted.file_name}-py3-none-any.whl", f"{wanted.file_name}.tar.gz"}:
        raise RefusedError(f"built {', '.join(path.name for path in built)}, not {wanted.file_name}")
    _run(_BIN / "twine", "--no-color", "check", "--strict", *built)
    # c2c-compat: two packages (W009), equal __init__ files (W002), an egg-info without modules (W004, W010).
    _run(_BIN / "check-wheel-contents", "--ignore", "W002,W004,W009,W010", *built[:1])
    return built


def _add_sbom(wanted: Package, wheel: Path) -> None:
    """Put what a package declares to need into its wheel (PEP 770), as CycloneDX says such things."""
    with tempfile.TemporaryDirectory() as place:
        _run(_BIN / "wheel", "unpack", wheel, "--dest", place)
        needs, sboms = Path(place, "needs"), Path(place, wanted.file_name, f"{wanted.file_name}.dist-info/sboms")
        sboms.mkdir()
        needs.write_text("\n".join(wanted.project["dependencies"]), "utf-8")
        about = ("--pyproject", wanted.folder / "pyproject.toml", "--output-reproducible")
        _run(_BIN / "cyclonedx-py", "requirements", *about, "-o", sboms / f"{wanted.name}.cdx.json", needs)
        _run(_BIN / "wheel", "pack", sboms.parents[1], "--dest-dir", DIST)


if __name__ == "__main__":
    sys.exit(main())
