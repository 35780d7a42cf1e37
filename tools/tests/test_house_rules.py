"""The rule of locks: what is found under a lock, by whatever way, and what is left alone."""

import pytest

from tools.house_rules import Package

HEAD = """
import logging, threading, time
from collections.abc import Callable
_LOG = logging.getLogger(__name__)

class Held:
    def __init__(self, callback: Callable[[], None]) -> None:
        self._busy = threading.Lock()
        self._callback = callback
        self._other = Other()

    def _say(self):
        _LOG.warning("said")

class Other:
    def waits_long(self):
        time.sleep(1)
"""


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("_LOG.info('x')", "logs"),
        ("self._say()", "logs"),
        ("self._other.waits_long()", "waits"),
        ("self._callback()", "calls back"),
        ("given()", "calls back"),
        ("[one() for one in self.all]", "calls back"),
        ("self._event.wait(1)", "waits"),
        ("self._worker.join()", "waits"),
        ("', '.join(given)", None),
        ("found = lambda: _LOG.info('x')", None),
        ("self._items.append(given)", None),
    ],
)
def test_what_is_done_under_a_lock(tmp_path, code, kind):
    """Logging, waiting and calling back are found, here and in what is called; nothing else is."""
    path = tmp_path / "module.py"
    path.write_text(
        f"{HEAD}\nclass Mine(Held):\n    def work(self, given):\n        with self._busy:\n            {code}\n"
    )
    assert [finding.kind for finding in Package([path]).findings()] == ([kind] if kind else [])


def test_outside_of_a_lock_all_is_allowed(tmp_path):
    """Collected under the lock, said after."""
    path = tmp_path / "module.py"
    path.write_text(f"{HEAD}\n    def work(self):\n        with self._busy:\n            x = 1\n        _LOG.info(x)\n")
    assert Package([path]).findings() == []
