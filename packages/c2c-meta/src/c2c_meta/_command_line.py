"""What the commands have in common: a mistake is one line and exit status 2."""

import argparse
import sys
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit with 2."""
        sys.stderr.write(f"{self.prog}: {message} ({self.prog} --help says what there is)\n")
        sys.exit(2)


def one_line(error: BaseException) -> str:
    """Return what an error says as one line, secrets masked."""
    from c2c_broadcast import mask

    return mask(" ".join(str(error).split()) or type(error).__name__)
