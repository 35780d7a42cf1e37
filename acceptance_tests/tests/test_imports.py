"""What needs no Pyramid imports none."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["c2c_broadcast", "c2c_stats", "c2c_logging", "c2c_sentry", "c2c_testing"])
def test_no_pyramid(name: str) -> None:
    """A script, a worker of a queue or an ASGI service uses these packages without Pyramid."""
    program = f"import sys, {name}; print(sorted({{'pyramid', 'webob', 'zope'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "[]", done.stderr
