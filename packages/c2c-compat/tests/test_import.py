"""The package as it is today: a place, and nothing that runs."""

import subprocess
import sys

_PROGRAM = """
import sys, threading
import c2c_compat
assert c2c_compat.__doc__
loaded = sorted(name for name in sys.modules if name.startswith("c2c_") and name != "c2c_compat")
assert not loaded, loaded
assert threading.active_count() == 1
"""


def test_importing_it_does_nothing() -> None:
    """No other package is imported, no thread is started."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
