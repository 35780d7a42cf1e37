"""Whether this process works: its threads and its part in broadcasts, and nothing outside of it."""

import threading
import time
from collections.abc import Iterator

from c2c_broadcast import broadcast
from c2c_health._outcomes import Outcome, State, Verdict
from c2c_health._threads import Threads

_PATIENCE = 2.0
_FULL = 1_000  # as many as the base lets wait


def look(threads: Threads) -> Iterator[Verdict]:
    """Yield how the parts of this process are. That a request is answered at all is the first of them."""
    yield _verdict("request_threads", 0.0, None)
    health = broadcast.get_broadcaster().health()
    yield _verdict("broadcast_listener", 0.0, None if health.listening else "the listener's thread is dead")
    full = health.queued >= _FULL
    yield _verdict("broadcast_executor", 0.0, f"{health.queued:,} callbacks wait for a thread" if full else None)
    begun = time.perf_counter()
    trouble = _trouble(threads)
    yield _verdict("check_threads", time.perf_counter() - begun, trouble)


def _trouble(threads: Threads) -> str | None:
    ran = threading.Event()
    try:
        threads.submit(ran.set)
    except RuntimeError as error:
        return f"there is no thread to run a check ({error})"
    return None if ran.wait(_PATIENCE) else f"no thread ran anything within {_PATIENCE:g} s"


def _verdict(name: str, seconds: float, trouble: str | None) -> Verdict:
    state = State.FAILED if trouble else State.PASSED
    return Verdict(name, 1, state, Outcome(state, seconds, time.time(), message=trouble), trouble)
