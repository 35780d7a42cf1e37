"""Sizes of objects and of memory."""

from c2c_debug.sizes import dump_memory_maps, get_size

__all__ = ["dump_memory_maps", "get_size"]
