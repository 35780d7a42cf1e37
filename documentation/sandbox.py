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

from documentation.blocks import fits

SECRET = "documented-secret-of-operators"  # noqa: S105 # made up: the demo's
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
        (folder / ".server.log").touch()
        # A terminal shows no progress of a transfer that it shows itself.
        (folder / ".curlrc").write_text("silent\nshow-error\n")
        variables = {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            # What c2c-run does by default, but on this page's port, and with fewer workers.
            "GUNICORN_PARAMS": f"-b 127.0.0.1:{port} --worker-class gthread --threads 4 --workers 2",
            # No balancer is there to be told: servers stop at once.
            "C2C_HEALTH_LINGER": "0",
            "PYTHONUNBUFFERED": "1",
            **environ,
        }
        self._shell = subprocess.Popen(
            ["/bin/bash", "--noprofile", "--norc"],
            cwd=folder,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def write(self, path: str, text: str) -> None:
        """Write a file that the page shows."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self._here(text), encoding="utf-8")

    def run(self, command: str, promised: str) -> None:
        """Run a command.

        Raises:
            AssertionError: what is seen is not what the page promises.
        """
        serves = _SERVERS.match(command)
        if serves:
            self._stop()
            # No job of the shell's: the page's own may be %1.
            self._typed(f"{command} >.server.log 2>&1 & _server=$!; disown")
        see = self._served if serves else self._seen
        # On a busy machine a worker may still start, a replica be some moments behind. What asks may ask again.
        asks = command.startswith(("curl ", "op ", "c2c-health-check ")) and " -X " not in command
        deadline = time.monotonic() + (_PATIENCE if serves else _SETTLED if asks else 0)
        done, seen = see(command, promised)
        while not done and time.monotonic() < deadline:
            time.sleep(0.5)
            done, seen = see(command, promised)
        assert done, f"$ {command}\n-- the page says:\n{promised}\n-- seen:\n{seen}"

    def _seen(self, command: str, promised: str) -> tuple[bool, str]:
        """Run a command to its end; return whether what it prints is what is promised, and that."""
        seen = self._page(self._typed(command))
        return fits(promised, seen), seen

    def _served(self, command: str, promised: str) -> tuple[bool, str]:
        """Return whether the server answers and has logged what is promised, in whatever order, and its log."""
        seen = self._page((self.folder / ".server.log").read_text(errors="replace"))
        assert self._typed("kill -0 $_server") == "", f"$ {command}\nended:\n{seen}"
        with socket.socket() as probe:
            probe.settimeout(5)
            answers = probe.connect_ex(("127.0.0.1", self.port)) == 0
        parts = [part for part in promised.split("\n...") if part.strip(" .\n")]
        return answers and all(fits(f"...{part}...", seen) for part in parts), seen

    def close(self) -> None:
        """End the server and the shell."""
        self._stop()
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.communicate()

    def _here(self, text: str) -> str:
        """Return a text of the page as it is said here."""
        for theirs, ours in self._instead.items():
            text = text.replace(theirs, ours)
        return text

    def _page(self, seen: str) -> str:
        """Return what was seen here as the page says it."""
        for theirs, ours in reversed(list(self._instead.items())):
            seen = seen.replace(ours, theirs)
        return seen.replace(f"{self.folder}/", "")

    def _typed(self, text: str) -> str:
        """Type a command; return what it prints."""
        assert self._shell.stdin
        assert self._shell.stdout
        # Input from nowhere: a command that asks for some gets none, and does not eat the next one.
        self._shell.stdin.write(f"{{ {self._here(text)}\n}} </dev/null\necho; echo '{_END}'\n")
        self._shell.stdin.flush()
        lines = []
        for line in self._shell.stdout:
            if line.rstrip() == _END:
                break
            lines.append(line)
        return "".join(lines).removesuffix("\n")

    def _stop(self) -> None:
        """Stop the server that a command started, in 15 s; kill one that does not stop."""
        wait = "for _i in {1..150}; do kill -0 $_server || break; sleep 0.1; done"
        self._typed(f'if [ "$_server" ]; then kill $_server; {wait}; kill -9 $_server; _server=; fi 2>/dev/null')
