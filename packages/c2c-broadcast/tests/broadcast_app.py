"""A small application for the tests with gunicorn: what its workers know of each other."""

import os
import threading
from dataclasses import asdict

from pyramid.config import Configurator

from c2c_broadcast import broadcast
from c2c_broadcast._access import _SHARED
from c2c_broadcast.shared_state import SharedState


def ask(request):
    """Ask all workers."""
    return asdict(broadcast.ask("who", timeout=float(request.params.get("timeout", "10"))))


def hello(request):
    """Tell who answers this request."""
    return {"pid": os.getpid()}


def change(request):
    """Set a value everywhere."""
    return {"everywhere": STATE.set("key", request.params["value"]).everywhere}


def _who():
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "parent": os.getppid(),
        "value": STATE.get("key"),
        "wrong": [count for lockout in _SHARED for count, _ in lockout._failures.values()],
    }


def main():
    """Return the application."""
    config = Configurator()
    config.include("c2c_broadcast")
    config.add_operator_view(hello, name="mine", path="/mine", renderer="json")
    for view in (ask, hello, change):
        config.add_route(view.__name__, f"/{view.__name__}")
        config.add_view(view, route_name=view.__name__, renderer="json")
    broadcast.subscribe("who", _who)
    return config.make_wsgi_app()


STATE = SharedState("state")
app = main()
if "C2C_SECRET" in os.environ:  # another application in this process, with other operators
    os.environ["C2C_SECRET"] += " of another one"
    ANOTHER = main()
THREADS_AT_IMPORT = threading.active_count()
assert not broadcast.get_broadcaster().started
