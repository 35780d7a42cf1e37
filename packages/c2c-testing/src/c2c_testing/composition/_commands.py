"""Run a command to its end; what it said is in the error."""

import shlex
import subprocess
from collections.abc import Sequence
from typing import Any

_LONGEST_OUTPUT = 4000


class CommandError(subprocess.CalledProcessError):
    """A command ended with another status than 0; the message has the end of its output."""

    def __str__(self) -> str:
        said = "\n".join(_text(part).rstrip() for part in (self.stdout, self.stderr) if part)
        return f"{shlex.join(self.cmd)} ended with {self.returncode}:\n{said[-_LONGEST_OUTPUT:]}"


def call(words: Sequence[str], **kw: Any) -> Any:
    """Run a command and return its standard output, as text; ``kw`` are those of subprocess.run, with ``check=True``.

    Raises:
        CommandError: it ended with another status than 0, unless ``check=False``
        subprocess.TimeoutExpired: it took longer than ``timeout`` seconds, if that is given
    """
    check = kw.pop("check", True)
    kw.pop("capture_output", None)
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
    if "input" not in kw:
        options["stdin"] = subprocess.DEVNULL
    if kw.get("text") is False:
        del options["errors"]  # it would make text of it all the same
    result = subprocess.run([*words], check=False, **{**options, **kw})  # noqa: S603 - the test run's own command
    if check and result.returncode:
        raise CommandError(result.returncode, [*words], result.stdout, result.stderr)
    return result.stdout


def _text(output: str | bytes) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output
