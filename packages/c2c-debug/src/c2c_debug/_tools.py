"""What the tools of one application share: the gate of heavy calls, the masker, and its part in broadcasts."""

from typing import Any

from c2c_broadcast import broadcast, mask
from c2c_broadcast.broadcast import Answers
from c2c_debug import _stacks_view
from c2c_debug._deadline import LONGEST, Deadline
from c2c_debug._heavy import BusyError, Gate, too_many
from c2c_debug._memory import memory
from c2c_debug._sampling import sample

KEY = "c2c_debug.tools"
MEMORY = "c2c_debug_memory"
PROFILE = "c2c_debug_profile"
# Beyond the deadline of the work itself, for the way there and back and what cannot be interrupted.
_MARGIN = 10.0
_RETRY = 10


class Tools:
    """One application's tools, or a daemon's."""

    def __init__(self, masker: Any = mask) -> None:
        self.masker = masker
        self.gate = Gate()

    def subscribe(self) -> None:
        """Answer what other processes ask."""
        broadcast.subscribe(_stacks_view.CHANNEL, _stacks_view.take)
        broadcast.subscribe(MEMORY, self._memory)
        broadcast.subscribe(PROFILE, self._profile)

    def _memory(self, ticket: str, **options: Any) -> dict[str, Any]:
        with self.gate.enter("memory", LONGEST, ticket):
            return memory(**options, mask=self.masker, deadline=Deadline())

    def _profile(self, ticket: str, seconds: float, hz: float) -> dict[str, Any]:
        with self.gate.enter("profile", seconds, ticket):
            return take_profile(seconds, hz)

    def ask(self, channel: str, params: dict[str, Any], seconds: float = LONGEST) -> Answers:
        """Ask all processes to do something heavy.

        Raises:
            HTTPTooManyRequests: One of them is at something heavy already.
        """
        answers = broadcast.ask(channel, params, timeout=seconds + _MARGIN)
        busy = next((failure for failure in answers.failed if failure.type == BusyError.__name__), None)
        if busy is not None:
            raise too_many(f"{busy.hostname}/{busy.pid}: {busy.message}", _RETRY)
        return answers


def take_profile(seconds: float, hz: float) -> dict[str, Any]:
    """Sample this process for so long; see ``Samples.answer``."""
    return sample(seconds, hz).answer()


def tools_of(registry: Any) -> Tools:
    """Return the tools of an application that included the package."""
    found: Tools = registry[KEY]
    return found
