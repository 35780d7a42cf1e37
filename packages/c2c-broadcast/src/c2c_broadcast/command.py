"""What the commands have in common: ``--version``, and a mistake that is one line and exit status 2."""

import argparse
import importlib.metadata
from typing import Any, NoReturn

from c2c_broadcast.secrets import mask


class Parser(argparse.ArgumentParser):
    """The parser of a command of the distribution ``package``, whose version ``--version`` shows."""

    def __init__(self, package: str, **options: Any) -> None:
        super().__init__(**options)
        self.add_argument("--version", action="version", version=f"%(prog)s {importlib.metadata.version(package)}")

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, secrets masked, and exit with 2."""
        self.exit(2, f"{self.prog}: {one_line(message)} ({self.prog} --help says what there is)\n")


def one_line(error: object) -> str:
    """Return what an error, or a text, says as one line, secrets masked."""
    return mask(" ".join(str(error).split()) or type(error).__name__)
