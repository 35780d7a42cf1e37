"""What needs no Pyramid does without: a script, a worker of a queue, an ASGI service."""

import subprocess
import sys

_PROGRAM = """
import sys
import c2c_broadcast
from c2c_broadcast import SharedState, broadcast, mask, when_imported
broadcast.subscribe("ping", lambda: {"pong": True})
broadcast.init()
print(broadcast.ask("ping").answers[0]["pong"], sorted({"pyramid", "webob"} & set(sys.modules)))
"""


def test_the_base_is_used_without_pyramid():
    """Importing it, broadcasts, states and the masker import neither Pyramid nor WebOb."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "True []", done.stderr
