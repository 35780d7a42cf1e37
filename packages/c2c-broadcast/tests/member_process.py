"""A process that takes part in broadcasts, for the tests: it obeys one line of JSON after the other.

Each line is a name of a function below and its arguments; each gets a line with the result. C2C_* variables say where
Redis is.
"""

import json
import logging
import os
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

from c2c_broadcast import broadcast
from c2c_broadcast.shared_state import SharedState

CALLS: list[dict] = []
CHANGES: list[list] = []


def _ping(**params):
    CALLS.append(params)
    return {"pong": True, **params}


def _relay(channel, timeout=5):
    return {"relayed": len(broadcast.ask(channel, timeout=timeout).answers)}


def _explode():
    raise RuntimeError("password=hunter2hunter2 is wrong")


def _hang(seconds):
    time.sleep(seconds)
    return "rested"


def _burn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return "burnt"


def ask(**arguments):
    """Ask; return the answers as a dict, with the seconds that it took."""
    begin = time.monotonic()
    answers = broadcast.ask(**arguments)
    return {**asdict(answers), "seconds": time.monotonic() - begin}


def tell(**arguments):
    """Broadcast; return what that returns."""
    return broadcast.broadcast(**arguments)


def change(name, **arguments):
    """Set a key of a shared state."""
    return asdict(STATES[name].set(**arguments))


def reset(name, key):
    """Reset a key of a shared state."""
    return asdict(STATES[name].reset(key))


def entries(name):
    """Return the values of a shared state, and the changes that were told."""
    values = {key: entry.value for key, entry in STATES[name].entries().items()}
    return {"values": values, "changes": CHANGES, "everywhere": STATES[name].everywhere}


def calls():
    """Return the parameters of all pings."""
    return CALLS


def health():
    """Return the broadcaster's health."""
    return asdict(broadcast.get_broadcaster().health())


def members():
    """Return the process ids of all members."""
    return [member.pid for member in broadcast.get_broadcaster().members()]


def threads():
    """Return the names of this process's threads."""
    return [thread.name for thread in threading.enumerate()]


def sockets():
    """Return how many sockets this process has."""
    files = list(Path("/proc/self/fd").iterdir())
    return sum(str(file.readlink()).startswith("socket:") for file in files if file.is_symlink())


def forked(channel, use_before):
    """Fork; the child asks. Return its answers."""
    if use_before:
        broadcast.ask(channel)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        before = threads()
        found = ask(channel=channel, timeout=5)
        with os.fdopen(write, "w") as pipe:
            json.dump({**found, "before": before, "child": os.getpid()}, pipe)
        broadcast.close()
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        result = json.load(pipe)
    os.waitpid(child, 0)
    return {**result, "after": ask(channel=channel, timeout=5)}


def _say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main():
    """Subscribe, then obey."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    broadcast.init(application="member")
    for channel, callback in {
        "ping": _ping,
        "relay": _relay,
        "explode": _explode,
        "hang": _hang,
        "burn": _burn,
        "set": lambda: {1, 2},
        "nan": lambda: float("nan"),
        "large": lambda: "x" * (17 * 1024 * 1024),
        "megabytes": lambda: "x" * (10 * 1024 * 1024),
        "exit": sys.exit,
    }.items():
        broadcast.subscribe(channel, callback)
    if "start" in sys.argv:
        broadcast.start()
    _say("ready")
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            result = globals()[name](**arguments)
        except Exception as error:  # noqa: BLE001 # the test shall see whatever it is
            result = {"error": repr(error)}
        _say(json.dumps(result))


def _told(key, entry):
    CHANGES.append([key, None if entry is None else entry.value, None if entry is None else entry.version])
    if key == "bad":
        raise RuntimeError("a listener that fails")


STATES = {"levels": SharedState("levels", _told)}

if __name__ == "__main__":
    main()
