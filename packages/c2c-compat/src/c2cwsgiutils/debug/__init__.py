"""Live diagnosis, of daemons too."""

from typing import Any

from c2c_compat._daemon import init_daemon
from c2c_compat._include import including
from c2c_debug import stacks
from c2c_debug.sizes import dump_memory_maps, get_size

__all__ = ["dump_memory_maps", "get_size", "includeme", "init", "init_daemon"]

init = includeme = including("c2c_debug")


def take_stacks() -> dict[str, Any]:
    """Return the stacks of this process, this function in them: acceptance tests look for its folder."""
    return stacks.take()
