"""What ends all waiting at once, because what is waited for can't come any more."""

from collections.abc import Callable

#: Each is called before each try of ``retry_timeout`` and raises when there is no point in going on.
ALARMS: set[Callable[[], None]] = set()


def check_alarms() -> None:
    """Raise what an alarm has to say."""
    for alarm in tuple(ALARMS):
        alarm()
