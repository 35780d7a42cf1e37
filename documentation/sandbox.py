"""Where the commands of a page run: a folder, a shell that goes on from block to block, and one server."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from documentation.console import Command, fits, pattern

_SERVERS = re.compile(r"^(?:[A-Z0-9_]+=\S+ )*(?:c2c-run|pserve|gunicorn|waitress-serve)\b[^;&|]*$")
_END = "-- end of the command --"
# A machine may have other things to do.
_PATIENCE = 180.0
_SETTLED = 30.0


class Sandbox:
    """Runs commands as a reader would type them.

    Args:
        folder: where they run.
        environ: variables beside ``PATH``.
        instead: texts of the page (addresses, URLs) to what stands for them here; turned back in what is seen.
        port: where what the page calls ``localhost:8080`` listens.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], instead: Mapping[str, str], port: int) -> None:
        self.folder = folder
        self.port = port
        self._instead = {**instead, "localhost:8080": f"127.0.0.1:{port}", "127.0.0.1:8080": f"127.0.0.1:{port}"}
        self._server: subprocess.Popen[bytes] | None = None
        self._log = folder / ".server.log"
        # A terminal shows no progress of a transfer that it shows itself.
        (folder / ".curlrc").write_text("silent\nshow-error\n")
        programs = Path(sys.executable).parent
        self._shell = subprocess.Popen(
            ["/bin/bash", "--noprofile", "--norc"],
            cwd=folder,
            env={
                "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
                "HOME": str(folder),
                "LANG": "C.UTF-8",
                # What c2c-run does by default, but on this page's port, and with fewer workers.
                "GUNICORN_PARAMS": f"-b 127.0.0.1:{port} --worker-class gthread --threads 4 --workers 2",
                # No balancer is there to be told: servers stop at once.
                "C2C_HEALTH_LINGER": "0",
                "PYTHONUNBUFFERED": "1",
                **environ,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def here(self, text: str) -> str:
        """Return a text of the page as it is said here."""
        for theirs, ours in self._instead.items():
            text = text.replace(theirs, ours)
        return text

    def write(self, path: str, text: str) -> Path:
        """Write a file that the page shows."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.here(text), encoding="utf-8")
        return file

    def run(self, command: Command) -> None:
        """Run a command.

        Raises:
            AssertionError: what is seen is not what the page promises.
        """
        if _SERVERS.match(command.text):
            self._serve(command)
            return
        deadline = time.monotonic() + _SETTLED
        seen = self._page(self._typed(self.here(command.text)))
        # A busy machine: a worker that is still starting, a replica that is some moments behind.
        while not fits(command.output, seen) and _asks(command.text) and time.monotonic() < deadline:
            time.sleep(1)
            seen = self._page(self._typed(self.here(command.text)))
        assert fits(command.output, seen), f"$ {command.text}\n-- the page says:\n{command.output}\n-- seen:\n{seen}"

    def close(self) -> None:
        """End the shell and the server."""
        self._stop()
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.close()
        self._shell.stdout.close()
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()

    def _page(self, seen: str) -> str:
        """Return what was seen here as the page says it."""
        for theirs, ours in reversed(list(self._instead.items())):
            seen = seen.replace(ours, theirs)
        return seen.replace(f"{self.folder}/", "")

    def _typed(self, text: str) -> str:
        assert self._shell.stdin
        assert self._shell.stdout
        # Input from nowhere: a command that asks for some gets none, and does not eat the next one.
        self._shell.stdin.write(f"{{ {text}\n}} </dev/null\necho; echo '{_END}'\n")
        self._shell.stdin.flush()
        lines = []
        for line in self._shell.stdout:
            if line.rstrip() == _END:
                break
            lines.append(line)
        return "".join(lines).removesuffix("\n")

    def _serve(self, command: Command) -> None:
        self._stop()
        variables = self._typed("env -0 | base64 -w0")
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(  # noqa: S603 # what the page says is what is to be run
                ["/bin/bash", "-c", f"exec {self._plain(self.here(command.text))}"],
                cwd=self.folder,
                env=_environ(variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait(command)

    @staticmethod
    def _plain(text: str) -> str:
        """Return a command that ``exec`` takes: variables before it are env's."""
        return f"env {text}" if re.match(r"[A-Z0-9_]+=", text) else text

    def _wait(self, command: Command) -> None:
        """Wait until the server answers and has said what the page promises."""
        assert self._server
        deadline = time.monotonic() + _PATIENCE
        promised = [pattern(part.strip()) for part in command.output.split("\n...") if part.strip(" .\n")]
        while True:
            seen = self._page(self._log.read_text(errors="replace"))
            if self._listens() and all(part.search(seen) for part in promised):
                return
            assert self._server.poll() is None, f"$ {command.text}\nended:\n{seen}"
            assert time.monotonic() < deadline, f"$ {command.text}\n-- promised:\n{command.output}\n-- seen:\n{seen}"
            time.sleep(0.1)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(5)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _stop(self) -> None:
        if self._server is None:
            return
        self._server.terminate()
        try:
            self._server.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
        self._server = None


def _asks(text: str) -> bool:
    """Tell whether a command only asks, so that it may ask again."""
    return text.startswith(("curl ", "op ", "c2c-health-check ")) and " -X " not in text


def _environ(encoded: str) -> dict[str, str]:
    """Return the variables that ``env -0 | base64`` printed."""
    import base64

    pairs = base64.b64decode(encoded).decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)
