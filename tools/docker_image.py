"""An image without docker: layers of an overlay file system, and how its commands run."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 # of the image, where the workers' metrics are
_CA = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True, slots=True)
class Image:
    """What a stage is at some step: its layers (lowest first) and its configuration."""

    layers: tuple[Path, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "root"
    shell: tuple[str, ...] = ("/bin/sh", "-c")
    healthcheck: tuple[str, ...] = ()
    command: tuple[str, ...] = ()

    def argv(self, value: str) -> tuple[str, ...]:
        """Return the command line of RUN, CMD or HEALTHCHECK: a JSON list, or text for the shell."""
        return tuple(json.loads(value)) if value.startswith("[") else (*self.shell, value)

    def popen(self, argv: Sequence[str], *, environ: Mapping[str, str], user: str | None = None) -> list[str]:
        """Return the command line, for this machine, that runs ``argv`` in the image.

        It sees the machine's network and resolver, and no other of its files; what it writes is in the top layer.
        """
        top, lower = self.layers[-1], ":".join(str(layer) for layer in reversed(self.layers[:-1]))
        work, root = Path(f"{top}.work"), Path(f"{top}.root")
        for path in (top, work, root):
            path.mkdir(exist_ok=True)
        variables = " ".join(shlex.quote(f"{name}={value}") for name, value in {**self.environ, **environ}.items())
        inside = shlex.quote(f"cd {shlex.quote(self.folder)} && exec {shlex.join(argv)}")
        script = "; ".join(
            (
                "set -e",
                f"mount -t overlay overlay -o lowerdir={lower},upperdir={top},workdir={work} {root}",
                f"mount -t proc proc {root}/proc",
                f"mount --bind /dev {root}/dev",
                f"mount -t tmpfs -o mode=1777 tmpfs {root}{_SHARED_MEMORY}",
                f"touch {root}/etc/resolv.conf {root}/run/ca.crt",
                f"mount --bind /etc/resolv.conf {root}/etc/resolv.conf",
                f"mount --bind {_CA} {root}/run/ca.crt",
                f"exec env -i {variables} chroot --userspec={_numeric(user or self.user)} {root} /bin/sh -c {inside}",
            )
        )
        return ["unshare", "--mount", "--pid", "--fork", "/bin/bash", "-c", script]


def _numeric(user: str) -> str:
    """Return ``--userspec`` of a USER: a number has the group of root, as in docker."""
    return "0:0" if user == "root" else f"{user}:0"
