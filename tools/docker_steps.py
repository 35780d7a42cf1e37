"""Run the steps of a Dockerfile without docker: root, Debian's debootstrap, and Linux' overlay file system.

``python tools/docker_steps.py docker/Dockerfile light FOLDER`` builds the target in that folder, as docker would: a
layer a stage, RUN in a chroot with process and mount namespaces of its own, COPY, ENV, WORKDIR, USER, SHELL,
HEALTHCHECK and CMD. Only ``FROM debian:bookworm-slim`` and stages of the file are known; what is not known stops it.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import string
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dockerfile_parse import DockerfileParser

from tools.docker_image import Image

# As in docker/Dockerfile.dockerignore.
_IGNORED = {"__pycache__", "tests", ".pytest_cache"}
DEBIAN = "debian:bookworm-slim"


def _configured(image: Image, instruction: str, value: str) -> Image:
    """Return the image with what an instruction says about it."""
    changes: dict[str, dict[str, Any]] = {
        "ENV": {"environ": lambda: {**image.environ, **_pairs(value, image.environ)}},
        "SHELL": {"shell": lambda: tuple(json.loads(value))},
        "USER": {"user": lambda: value},
        "WORKDIR": {"folder": lambda: value},
        "CMD": {"command": lambda: image.argv(value)},
        "HEALTHCHECK": {"healthcheck": lambda: image.argv(value.split("CMD", 1)[1].strip())},
    }
    if instruction not in {*changes, "RUN", "COPY", "EXPOSE"}:
        raise SystemExit(f"{instruction} is not known here: {value}")
    return replace(image, **{name: found() for name, found in changes.get(instruction, {}).items()})


class Builder:
    """Runs the stages of one Dockerfile.

    Args:
        dockerfile: the file.
        context: the folder that COPY copies from.
        scratch: a folder on a file system that overlays can be made of; what is in it is used again.
    """

    def __init__(self, dockerfile: Path, context: Path, scratch: Path) -> None:
        self._context = context
        self._scratch = scratch
        scratch.mkdir(parents=True, exist_ok=True)
        self._stages: dict[str, list[tuple[str, str]]] = {}
        self._built: dict[str, Image] = {}
        name = ""
        # The parser would read the environment for us, and write to the folder: a file object keeps it from both.
        with dockerfile.open("rb") as file:
            for step in DockerfileParser(fileobj=file).structure:
                instruction, value = step["instruction"].upper(), step["value"]
                if instruction == "FROM":
                    name = value.split()[-1]
                    self._stages[name] = []
                if instruction != "COMMENT":
                    self._stages[name].append((instruction, value))

    def build(self, target: str) -> Image:
        """Return a stage after all of its steps, building those that it needs."""
        if target == DEBIAN:
            return Image((self._debian(),))
        if target not in self._stages:
            raise SystemExit(f"no stage {target}: there are {', '.join(self._stages)}")
        if target not in self._built:
            self._built[target] = self._stage(target, self._stages[target])
        return self._built[target]

    def _stage(self, target: str, steps: list[tuple[str, str]]) -> Image:
        base = self.build(steps[0][1].split()[0])
        layer = self._scratch / target
        image = replace(base, layers=(*base.layers, layer))
        # What the stage is made of: the same steps, on the same layers, with the same files, give the same layer.
        stamp, made_of = self._scratch / f"{target}.stamp", self._made_of(base, steps)
        if stamp.exists() and stamp.read_text() == made_of:
            for instruction, value in steps[1:]:
                image = _configured(image, instruction, value)
            return image
        for path in (layer, Path(f"{layer}.work")):
            shutil.rmtree(path, ignore_errors=True)
        stamp.unlink(missing_ok=True)
        layer.mkdir()
        for instruction, value in steps[1:]:
            started = time.monotonic()
            image = self._step(image, instruction, value)
            sys.stdout.write(f"{time.monotonic() - started:6.1f} s {target}: {instruction} {value[:90]}\n")
        stamp.write_text(made_of)
        return image

    def _made_of(self, base: Image, steps: list[tuple[str, str]]) -> str:
        found = hashlib.sha256(repr(steps).encode())
        for layer in base.layers[1:]:
            found.update(Path(f"{layer}.stamp").read_bytes())
        for instruction, value in steps:
            options, sources, _ = _copied(value) if instruction == "COPY" else ({}, [], "")
            if "from" in options:
                self.build(options["from"])
                found.update((self._scratch / f"{options['from']}.stamp").read_bytes())
                continue
            for path in sorted(path for source in sources for path in (self._context / source).rglob("*")):
                if path.is_file() and not _IGNORED & set(path.relative_to(self._context).parts):
                    found.update(str(path).encode() + path.read_bytes())
            for source in sources:
                found.update((self._context / source).read_bytes() if (self._context / source).is_file() else b"")
        return found.hexdigest()

    def _debian(self) -> Path:
        root = self._scratch / "debian"
        if not (root / ".complete").exists():
            shutil.rmtree(root, ignore_errors=True)
            log = self._scratch / "debootstrap.log"
            with log.open("wb") as output:
                command = ["debootstrap", "--variant=minbase", "bookworm", str(root)]
                if subprocess.run(command, stdout=output, stderr=output, check=False).returncode:
                    raise SystemExit(f"debootstrap failed:\n{log.read_text()[-2000:]}")
            (root / ".complete").touch()
        return root

    def _step(self, image: Image, instruction: str, value: str) -> Image:
        match instruction:
            case "RUN":
                self._run(image, image.argv(value))
            case "COPY":
                self._copy(image, value)
            case "WORKDIR":
                self._run(image, ["mkdir", "-p", value], user="0")
        return _configured(image, instruction, value)

    @staticmethod
    def _run(image: Image, argv: Sequence[str], user: str | None = None) -> None:
        # What the network of this machine wants of pip is no part of the image.
        command = image.popen(argv, environ={"PIP_CERT": "/run/ca.crt", "DEBIAN_FRONTEND": "noninteractive"}, user=user)
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise SystemExit(f"RUN {shlex.join(argv)}\nfailed with {done.returncode}:\n{done.stdout[-4000:]}")

    def _copy(self, image: Image, value: str) -> None:
        options, sources, target = _copied(value)
        top = image.layers[-1] / target.strip("/")
        if target.endswith("/"):
            top.mkdir(parents=True, exist_ok=True)
        for source in sources:
            found = self._source(source, options.get("from"))
            ignored = None if "from" in options else shutil.ignore_patterns(*_IGNORED)
            if found.is_dir():
                shutil.copytree(found, top, symlinks=True, dirs_exist_ok=True, ignore=ignored)
            else:
                shutil.copy2(found, top)
        _owned_by_root(top)

    def _source(self, source: str, stage: str | None) -> Path:
        if stage is None:
            return self._context / source
        for layer in reversed(self.build(stage).layers):
            if (layer / source.strip("/")).exists():
                return layer / source.strip("/")
        raise SystemExit(f"COPY --from={stage}: there is no {source}")


def _copied(value: str) -> tuple[dict[str, str], list[str], str]:
    """Return options, sources and target of a COPY."""
    words = value.split()
    options = dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--"))
    *sources, target = (word for word in words if not word.startswith("--"))
    return options, sources, target


def _pairs(value: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an ENV, those that it uses put in."""
    pairs = (word.split("=", 1) for word in shlex.split(re.sub(r"\\\n", " ", value)))
    return {name: string.Template(text).safe_substitute(environ) for name, text in pairs}


def _owned_by_root(top: Path) -> None:
    for folder, _, files in os.walk(top):
        for name in (".", *files):
            os.chown(Path(folder, name), 0, 0, follow_symlinks=False)


def main() -> int:
    """Build the target named on the command line."""
    if len(sys.argv) != 4:  # noqa: PLR2004 # the program and three words
        sys.stderr.write("usage: docker_steps.py DOCKERFILE TARGET SCRATCH\n")
        return 2
    Builder(Path(sys.argv[1]), Path.cwd(), Path(sys.argv[3]).resolve()).build(sys.argv[2])
    return 0


if __name__ == "__main__":
    sys.exit(main())
