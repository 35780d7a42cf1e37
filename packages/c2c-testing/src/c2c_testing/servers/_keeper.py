"""The test run's side of the watchdog: start it, talk to it, end it."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from c2c_testing.servers import _watchdog
from c2c_testing.servers._places import ServerError, folders

_CLOSE_TIMEOUT = 30.0


class Keeper:
    """A folder and the processes of one server, which vanish with this process however it ends.

    ``uid`` is the user that the processes run as.
    """

    def __init__(self, uid: int) -> None:
        self.uid = uid
        self._owner = os.getpid()
        self._lock = threading.Lock()
        # A session of its own: Ctrl-C reaches the test run only, which then tears down in its own order.
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-I", "-S", _watchdog.__file__, str(folders(uid)), str(uid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._number = 0
        self.folder = Path(self._answer(0)["folder"])

    def _answer(self, number: int) -> dict[str, Any]:
        assert self._process.stdout
        # A Ctrl-C that interrupted an earlier command left its answer unread.
        while line := self._process.stdout.readline():
            given, answer = json.loads(line)
            if given == number:
                if "error" in answer:
                    raise ServerError(answer["error"])
                return dict(answer)
        raise ServerError("The watchdog of a local server ended: it was closed, or killed by someone")

    def _ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        if os.getpid() != self._owner:
            raise ServerError("A local server is commanded by the process that started it, not by one forked from it")
        with self._lock:
            assert self._process.stdin
            self._number += 1
            try:
                self._process.stdin.write(json.dumps([self._number, command, arguments]).encode() + b"\n")
                self._process.stdin.flush()
            except (OSError, ValueError) as error:
                raise ServerError("This local server is closed") from error
            return self._answer(self._number)

    def start(self, argv: Sequence[str | Path], env: Mapping[str, str | None], cwd: Path) -> int:
        """Start the main process and return its id."""
        pid: int = self._ask("start", argv=[*map(str, argv)], env=dict(env), cwd=str(cwd))["pid"]
        return pid

    def run(self, argv: Sequence[str | Path], env: Mapping[str, str | None], timeout: float = 120) -> str:
        """Run a command of at most ``timeout`` seconds and return its output; raises ServerError with it."""
        words = [*map(str, argv)]
        answer = self._ask("run", argv=words, env=dict(env), cwd=str(self.folder), timeout=timeout)
        output: str = answer["output"]
        if answer["code"]:
            raise ServerError(f"{Path(words[0]).name} ended with {answer['code']}:\n{output[-4000:]}")
        return output

    def is_running(self) -> bool:
        """Tell whether the main process lives (a paused one does)."""
        return bool(self._ask("status")["running"])

    def exit_code(self) -> int | None:
        """Return the main process's exit code, negative for a signal; None while it lives."""
        code: int | None = self._ask("status")["code"]
        return code

    def pids(self) -> list[int]:
        """Return the living processes, the main one first."""
        pids: list[int] = self._ask("pids")["pids"]
        return pids

    def send(self, number: int) -> None:
        """Send a signal to the main process."""
        self._ask("send", number=int(number))

    def stop(self, number: int, timeout: float) -> None:
        """Signal the main process, wait up to ``timeout`` seconds for its end, kill what is left."""
        self._ask("stop", number=int(number), timeout=timeout)

    def kill(self) -> None:
        """SIGKILL every process."""
        self._ask("kill")

    def pause(self) -> None:
        """SIGSTOP every process."""
        self._ask("pause")

    def resume(self) -> None:
        """SIGCONT every process."""
        self._ask("resume")

    def close(self) -> None:
        """Kill every process and remove the folder; nothing where it is done, or in a forked process."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            if self._process.stdin:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()
            try:
                self._process.wait(_CLOSE_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout:
                self._process.stdout.close()
