"""Try installed packages: ``python run.py 'c2c-health[sql]' c2c-db``: their import, their includeme, a request.

Runs in an environment that holds these packages and what they declare, so it needs the standard library only. What is
tried of a package is in ``try_<package>.py``: ``alone``, and a function for each extra; of several packages at once,
in ``try_<package>_<package>.py``.
"""

import importlib
import re
import sys
from pathlib import Path

_HERE = Path(__file__).parent


def _try(name: str, functions: list[str]) -> None:
    module = importlib.import_module(name)
    for function in functions:
        getattr(module, function)()
        sys.stdout.write(f"{name}.{function}\n")


def main() -> None:
    """Try what the command line names; an exception is a failure."""
    shorts = []
    for argument in sys.argv[1:]:
        match = re.fullmatch(r"c2c-([a-z]+)(?:\[([a-z0-9_,]+)\])?", argument)
        assert match, argument
        shorts.append(match[1])
        _try(f"try_{match[1]}", ["alone", *(match[2] or "").split(",")] if match[2] else ["alone"])
    together = f"try_{'_'.join(sorted(shorts))}"
    if len(shorts) > 1:
        _try(together, ["together"])
    for name, module in list(sys.modules.items()):
        if name.startswith("c2c") and getattr(module, "__file__", None):
            assert str(module.__file__).startswith(sys.prefix), f"{name} is not the installed one: {module.__file__}"


if __name__ == "__main__":
    main()
