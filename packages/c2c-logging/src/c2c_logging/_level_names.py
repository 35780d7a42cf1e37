"""Names of levels: what people may write, and the numbers behind them."""

import logging

NAMES = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET")


def level_number(name: str) -> int:
    """Return the number of a level given by name, in any case.

    Raises:
        ValueError: There is no such level; the message lists them.
    """
    number = logging.getLevelNamesMapping().get(name.strip().upper())
    if number is None:
        raise ValueError(f"must be one of {', '.join(known_names())}")
    return number


def known_names() -> list[str]:
    """Return the names of all levels, those added by ``logging.addLevelName`` too, the most severe first."""
    return [name for name, _ in sorted(logging.getLevelNamesMapping().items(), key=lambda pair: -pair[1])]
