"""A screenshot by a headless Chromium, over the DevTools protocol on a pipe: JSON messages that end with a NUL.

https://chromedevtools.github.io/devtools-protocol/ ; ``--remote-debugging-pipe`` reads file 3 and writes file 4, and
ends the browser when its file 3 is closed, so that none outlives this process.
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_OPTIONS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # 64 MB in a container
    "--disable-extensions",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--mute-audio",
    "--no-first-run",
    "--no-default-browser-check",
    "--password-store=basic",
)
_TIMEOUT = 120.0
_END_TIMEOUT = 10.0
_FIRST_HIGH_FILE = 10


@dataclass(frozen=True, slots=True)
class View:
    """How to look at a page: window in pixels, seconds to wait once it is loaded, headers sent, features of CSS."""

    width: int
    height: int
    sleep: float
    headers: Mapping[str, str]
    media: Sequence[Mapping[str, str]]


def screenshot(url: str, view: View) -> bytes:
    """Return the PNG file of what the window shows; RuntimeError if there is no Chromium, or no such page."""
    with _browser() as browser:
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        browser.session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        size = {"width": view.width, "height": view.height, "deviceScaleFactor": 1, "mobile": False}
        browser.ask("Emulation.setDeviceMetricsOverride", **size)
        browser.ask("Emulation.setEmulatedMedia", features=[dict(feature) for feature in view.media])
        browser.ask("Network.enable")
        browser.ask("Network.setExtraHTTPHeaders", headers=dict(view.headers))
        browser.ask("Page.enable")
        if failure := browser.ask("Page.navigate", url=url).get("errorText"):
            raise RuntimeError(f"Chromium cannot show {url}: {failure}")
        browser.wait("Page.loadEventFired")
        time.sleep(view.sleep)
        return base64.b64decode(browser.ask("Page.captureScreenshot", format="png")["data"])


class _Browser:
    def __init__(self, to: int, of: int, log: Path) -> None:
        self.session: str | None = None
        self._to, self._of, self._log = to, of, log
        self._number = 0
        self._pending = b""
        self._events: list[str] = []
        self._deadline = time.monotonic() + _TIMEOUT

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        try:
            os.write(self._to, json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise self._ended() from None
        while (answer := self._read()).get("id") != self._number:
            pass
        if "error" in answer:
            raise RuntimeError(f"Chromium refuses {method}: {answer['error']['message']}")
        return dict(answer["result"])

    def wait(self, event: str) -> None:
        while event not in self._events:
            self._read()

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            if not select.select([self._of], [], [], max(0.0, self._deadline - time.monotonic()))[0]:
                raise RuntimeError(f"Chromium does not answer after {_TIMEOUT} s")
            received = os.read(self._of, 1 << 16)
            if not received:
                raise self._ended()
            self._pending += received
        line, _, self._pending = self._pending.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "id" not in message:
            self._events.append(message["method"])
        return message

    def _ended(self) -> RuntimeError:
        return RuntimeError(f"Chromium ended:\n{self._log.read_text(errors='replace')[-2000:]}")


@contextlib.contextmanager
def _browser() -> Iterator[_Browser]:
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        raise RuntimeError(f"No Chromium on PATH ({', '.join(_NAMES)}): on Debian, apt install chromium")
    with tempfile.TemporaryDirectory(prefix="c2c-testing-", ignore_cleanup_errors=True) as folder:
        log = Path(folder, "log")
        words = [program, *_OPTIONS, f"--user-data-dir={folder}"]
        if os.geteuid() == 0:
            words.append("--no-sandbox")  # Chromium refuses root a sandbox
        theirs_in, to = _high_pipe()
        of, theirs_out = _high_pipe()
        try:
            pid = _spawn(words, theirs_in, theirs_out, log)
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        try:
            yield _Browser(to, of, log)
        finally:
            os.close(to)  # it ends now
            os.close(of)
            _reap(pid)


def _spawn(words: list[str], reads: int, writes: int, log: Path) -> int:
    return os.posix_spawn(
        words[0],
        [*words, "about:blank"],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, reads, 3),
            (os.POSIX_SPAWN_DUP2, writes, 4),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, str(log), os.O_WRONLY | os.O_CREAT, 0o600),
        ],
        setpgroup=0,  # Ctrl-C is ours
    )


def _high_pipe() -> tuple[int, int]:
    # Not files 3 and 4, which become the browser's.
    ends = os.pipe()
    reader, writer = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FIRST_HIGH_FILE) for end in ends)
    for end in ends:
        os.close(end)
    return reader, writer


def _reap(pid: int) -> None:
    deadline = time.monotonic() + _END_TIMEOUT
    while time.monotonic() < deadline and os.waitpid(pid, os.WNOHANG)[0] == 0:
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # what is left of the group, or all of it
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
