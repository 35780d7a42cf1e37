"""Memory maps."""

from c2c_debug.sizes import dump_memory_maps

_SMAPS = b"""\
557dcc1b9000-557dcc1bb000 r--p 00000000 fe:00 260386                     /usr/lib/with space.so
Size:                  8 kB
KernelPageSize:        4 kB
MMUPageSize:           4 kB
Rss:                   8 kB
Pss:                   5 kB
Pss_Dirty:             0 kB
Shared_Clean:          0 kB
VmFlags: rd mr mw me sd
557dcc1bb000-557dcc1bf000 r-xp 00002000 fe:00 260386                     /usr/lib/with space.so
Size:                 16 kB
KernelPageSize:        4 kB
MMUPageSize:           4 kB
Rss:                  12 kB
Pss:                   6 kB
Pss_Dirty:             0 kB
VmFlags: rd ex mr mw me sd
7f3c4c000000-7f3c4c021000 rw-p 00000000 00:00 0
Size:                132 kB
KernelPageSize:        4 kB
MMUPageSize:           4 kB
Rss:                 100 kB
Pss:                 100 kB
VmFlags: rd wr mr mw me nr sd
7ffd0-7ffd2 r-xp 00000000 00:00 0                          [vdso]
Size:                  8 kB
Rss:                   4 kB
Pss:                   0 kB
"""


def test_of_a_kernels_text(tmp_path):
    """Mappings of one name are one, most memory first; a newer or older kernel's other lines do not matter."""
    smaps = tmp_path / "7" / "smaps"
    smaps.parent.mkdir()
    smaps.write_bytes(_SMAPS)
    assert dump_memory_maps(7, tmp_path) == [
        {"name": "[anon]", "size_kb": 132, "rss_kb": 100, "pss_kb": 100},
        {"name": "/usr/lib/with space.so", "size_kb": 24, "rss_kb": 20, "pss_kb": 11},
        {"name": "[vdso]", "size_kb": 8, "rss_kb": 4, "pss_kb": 0},
    ]
    smaps.write_bytes(b"")
    assert dump_memory_maps(7, tmp_path) == []


def test_of_this_process(service):
    """The view tells of this very process: its heap, and the biggest first."""
    found = service.get("/debug/memory_maps").json
    assert {"[heap]", "[stack]"} <= {one["name"] for one in found}
    sizes = [one["rss_kb"] for one in found]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) > 10_000
