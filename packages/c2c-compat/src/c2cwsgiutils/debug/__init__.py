"""Live diagnosis, of daemons too."""

from c2c_compat._daemon import init_daemon
from c2c_compat._include import including
from c2c_debug.sizes import dump_memory_maps, get_size

__all__ = ["dump_memory_maps", "get_size", "includeme", "init", "init_daemon"]

init = includeme = including("c2c_debug")
