"""Build the wheel and the source archive of a package, and verify what is in them."""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from packaging.metadata import Metadata
from packaging.version import Version
from uv import find_uv_bin

from tools.workspace import ROOT, Package, RefusedError

_NOT_FOR_USERS = ("tests", "conftest.py")


def build(package: Package, folder: Path) -> tuple[Path, Path]:
    """Return the wheel and the source archive, made in a folder, the wheel from the archive."""
    command = [find_uv_bin(), "build", "--quiet", "--no-build-isolation", "--python", sys.executable]
    command += ["--out-dir", str(folder), str(package.folder)]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    if found.returncode:
        raise RefusedError(f"{package.name} can't be built: {' '.join(found.stderr.split())}")
    return files(package, folder)


def files(package: Package, folder: Path) -> tuple[Path, Path]:
    """Return where the wheel and the source archive of a package's version are in a folder."""
    return folder / f"{package.file_name}-py3-none-any.whl", folder / f"{package.file_name}.tar.gz"


def verify(package: Package, folder: Path) -> None:
    """Check the files of a package in a folder; ``RefusedError`` names all that is wrong with them."""
    wheel, archive = files(package, folder)
    missing = [path.name for path in (wheel, archive) if not path.exists()]
    if missing:
        raise RefusedError(f"{', '.join(missing)} was not built: does pyproject.toml say version {package.version}?")
    wrong = [*_of_wheel(package, wheel), *_of_archive(package, archive)]
    if wrong:
        raise RefusedError(f"the files of {package.name} {package.version} are wrong: {'; '.join(wrong)}")


def twine_check(*paths: Path) -> None:
    """Check that an index takes the files and can show their README; ``RefusedError`` says what twine does."""
    command = [sys.executable, "-m", "twine", "--no-color", "check", "--strict", *map(str, paths)]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    if found.returncode:
        raise RefusedError(f"twine check --strict: {' '.join(found.stdout.split())}")


def _of_wheel(package: Package, path: Path) -> Iterator[str]:
    """Yield what is wrong with a wheel."""
    with zipfile.ZipFile(path) as wheel:
        contents = {name: wheel.read(name) for name in wheel.namelist()}
    info = f"{package.file_name}.dist-info"
    yield from _of_metadata(package, contents.get(f"{info}/METADATA", b""))
    expected = {f"{info}/licenses/LICENSE"}
    expected |= {f"{name}/{file}" for name in package.import_names for file in ("__init__.py", "py.typed")}
    source = package.folder / "src"
    expected |= {
        str(file.relative_to(source))
        for file in source.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    yield from (f"the wheel has no {name}" for name in sorted(expected - contents.keys()))
    yield from _unwanted(contents, {info, *package.import_names})
    here = str(ROOT).encode()
    yield from (f"{name} has a path of this machine" for name, content in contents.items() if here in content)


def _unwanted(names: dict[str, bytes], tops: set[str]) -> Iterator[str]:
    """Yield the files that are not for users, or are outside of the folders that are."""
    for name in names:
        path = PurePosixPath(name)
        tests = any(part in _NOT_FOR_USERS or part.startswith("test_") for part in path.parts)
        if tests or path.parts[0] not in tops:
            yield f"the wheel has {name}"


def _of_metadata(package: Package, text: bytes) -> Iterator[str]:
    """Yield what is wrong with the metadata (PEP 566 and those after it; the parser refuses what they forbid)."""
    try:
        found = Metadata.from_email(text, validate=True)
    except ExceptionGroup as errors:
        yield from (f"the metadata: {error}" for error in errors.exceptions)
        return
    if (found.name, found.version) != (package.name, Version(str(package.version))):
        yield f"the metadata is of {found.name} {found.version}"
    if found.license_expression is None or not found.license_files:
        yield "the metadata has no licence"
    if not found.requires_python or not found.description or not found.classifiers:
        yield "the metadata lacks requires-python, the README or classifiers"
    for requirement in found.requires_dist or []:
        if requirement.url:
            yield f"{requirement} is needed from an address"
    for label, url in (found.project_urls or {}).items():
        if not url.startswith("https://"):
            yield f"the URL {label} is {url}"


def _of_archive(package: Package, path: Path) -> Iterator[str]:
    """Yield what is wrong with a source archive."""
    with tarfile.open(path) as archive:
        names = {PurePosixPath(name).relative_to(package.file_name) for name in archive.getnames()}
    wanted = {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "PKG-INFO"}
    yield from (f"the archive has no {name}" for name in sorted(wanted - {str(name) for name in names}))
    tests = [str(name) for name in names if set(name.parts) & set(_NOT_FOR_USERS)]
    yield from (f"the archive has {name}" for name in sorted(tests))
