"""What happens to a worker process, as Pyramid events of each application in it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShuttingDown:
    """This process was told to stop (SIGTERM, SIGINT, SIGQUIT, reload) or stops by itself (max-requests); sent once.

    Subscribe with ``config.add_subscriber(callback, ShuttingDown)``. The callback may run in a signal handler, in the
    middle of anything: it sets a flag and no more, takes no lock and logs nothing. Requests are still being served.
    """

    pid: int
