"""Images, made by the steps of the Dockerfile in a Debian root, and what runs in them."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from acceptance_tests import demo as start
from c2c_testing.servers import PostgresPair, Redis
from tools.docker_image import Image
from tools.docker_steps import Builder

ROOT = Path(__file__).resolve().parent.parent.parent


def end(process: "subprocess.Popen[bytes]") -> None:
    """End what runs in an image: with the first process of its namespace all others are gone."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for pid in children.read_text().split() if children.exists() else ():
        os.kill(int(pid), signal.SIGKILL)
    process.wait()


@pytest.fixture
def stop() -> Callable[["subprocess.Popen[bytes]"], None]:
    """Give the function that ends what runs in an image."""
    return end


@pytest.fixture(scope="session")
def builder() -> Builder:
    """Give what builds stages; the Debian root is kept for the next run, under .venvs."""
    missing = [name for name in ("debootstrap", "unshare", "chroot") if shutil.which(name) is None]
    assert os.geteuid() == 0, "these tests make file systems: run them as root"
    assert not missing, f"not found: {', '.join(missing)}; on Debian: apt-get install debootstrap"
    return Builder(ROOT / "docker" / "Dockerfile", ROOT, ROOT / ".venvs" / "docker")


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[PostgresPair, Redis]]:
    """Give the databases and the Redis that the composition would have."""
    with start.databases() as found:
        yield found


@pytest.fixture
def run() -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Give a function that starts a command in an image, as the image's user; it ends with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def new(image: Image, argv: tuple[str, ...], environ: Mapping[str, str] | None = None, user: str | None = None):
        command = image.popen(argv, environ=environ or {}, user=user)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        started.append(process)
        return process

    yield new
    for process in started:
        end(process)
        out, _ = process.communicate()
        sys.stdout.write(out.decode(errors="replace")[-4000:])
