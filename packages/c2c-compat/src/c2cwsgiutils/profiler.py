"""The Python profiler: as a WSGI filter, and of a function or a block."""

import cProfile
import pstats
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from c2c_debug import profiler

filter_wsgi_app, filter_factory = profiler.filter_wsgi_app, profiler.paste_filter


@contextmanager
def Profile(path: str | Path, print_number: int = 0) -> Iterator[None]:  # noqa: N802 # the documented name
    """Write a profile of what is decorated, or of a ``with`` block, into a file that ``pstats`` reads.

    Not within another profile of the same thread.

    Args:
        path: the file, ``.prof``
        print_number: how many functions to print, those with the most cumulative time
    """
    profile = cProfile.Profile()
    try:
        with profile:
            yield
    finally:
        profile.dump_stats(path)
        if print_number:
            pstats.Stats(profile, stream=sys.stdout).sort_stats("cumulative").print_stats(print_number)
