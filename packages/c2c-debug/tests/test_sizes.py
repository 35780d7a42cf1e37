import os

import pytest

from c2c_debug.sizes import dump_memory_maps, get_size


def test_size_has_all_that_it_leads_to() -> None:
    """A list is as big as what is in it, and functions are followed only when that is wanted."""
    assert get_size(["x" * 100_000]) > 100_000
    assert get_size([test_size_has_all_that_it_leads_to], python_internals_map=True) > get_size(
        [test_size_has_all_that_it_leads_to]
    )


def test_maps_of_a_process() -> None:
    """By default it is this process; a process that is not there is an OSError."""
    mine = dump_memory_maps()
    assert {"name", "size_kb", "rss_kb", "pss_kb"} == set(mine[0])
    assert {one["name"] for one in dump_memory_maps(os.getpid())} & {one["name"] for one in mine}
    with pytest.raises(OSError, match="smaps"):
        dump_memory_maps(2**22 + 1)
