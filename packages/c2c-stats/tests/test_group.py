"""Files of numbers that processes share."""

import fcntl
import os
import shutil
import struct
import subprocess
import sys
import time

import pytest

from c2c_broadcast.process import family, this_process
from c2c_stats._notices import say
from c2c_stats._series import MOST_SERIES, identify
from c2c_stats.prometheus._processes import SEGMENT, CellsFile, Group, key_of, read_cells, record_of


@pytest.fixture
def folder(tmp_path):
    """Give a private folder."""
    path = tmp_path / "group"
    path.mkdir(mode=0o700)
    return path


def new_file(path):
    """Return a file of numbers at a path."""
    return CellsFile(os.open(path, os.O_RDWR | os.O_CREAT))


def read(path):
    """Return what a file of numbers has."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return dict(read_cells(fd))
    finally:
        os.close(fd)


def test_write_and_read(tmp_path):
    """What is written is read at once, over many segments."""
    file = new_file(tmp_path / "f")
    cells = []
    for number in range(3000):
        cells.append(file.place(b"key-%d" % number, 1 + number % 17))
        cells[-1][0] = number
    cells[5][0] += 0.5
    found = read(tmp_path / "f")
    assert len(found) == 3000
    assert found[b"key-5"] == (5.5, 0, 0, 0, 0, 0)
    assert (tmp_path / "f").stat().st_size % SEGMENT == 0
    assert file.place(b"x" * SEGMENT, 1) is None
    file.close()
    cells[5][0] = 1


def test_no_room(tmp_path, caplog):
    """A file that can't grow gives no more memory, says so once, and stops nothing."""
    file = CellsFile(os.open(tmp_path, os.O_RDONLY))
    assert file.place(b"a", 1) is None
    assert file.place(b"a", 1) is None
    say()
    assert len(caplog.records) == 1
    file.close()


GOOD = b"c2cstat1"
BROKEN = {
    "foreign": b"x" * SEGMENT,
    "newer": b"c2cstat2" + bytes(SEGMENT - 8),
    "too long": GOOD + struct.pack("=Q", 2**63) + b"\xff" * (SEGMENT - 16),
    "cut": GOOD + struct.pack("=QII", 20, 16, 4) + bytes(SEGMENT - 24),
    "no end": GOOD + struct.pack("=QII", 40, 400, 4) + bytes(SEGMENT - 24),
    "no json": GOOD + struct.pack("=QII8sd", 40, 24, 8, b"anything", 5.0) + bytes(SEGMENT - 40),
    "other json": GOOD + struct.pack("=QII8sd", 40, 24, 8, b"[1,2,3] ", 5.0) + bytes(SEGMENT - 40),
    "too many numbers": GOOD
    + struct.pack("=QII24s2d", 64, 48, 23, b'["counter",["a"],[],[]]', 5, 6)
    + bytes(SEGMENT - 64),
    "negative": GOOD + struct.pack("=QII24sd", 56, 40, 23, b'["counter",["a"],[],[]]', -5) + bytes(SEGMENT - 56),
    "no number": GOOD
    + struct.pack("=QII24sd", 56, 40, 23, b'["counter",["a"],[],[]]', float("nan"))
    + bytes(SEGMENT - 56),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_files_of_dead_processes(folder, caplog, content):
    """A file that is foreign, newer or broken fails no scrape: left out, said once, removed."""
    group = Group(folder, this_process())
    group.place(identify("counter", ["c"], None), (), 1)[0] = 3
    (folder / "1-1-0").write_bytes(content)
    (folder / "not-of-a-process").write_bytes(content)
    for _ in range(3):
        assert [record_of(key, numbers).values for key, numbers in group.read().items()] == [(3,)]
    say()
    assert not (folder / "1-1-0").exists()
    assert len(caplog.messages) == 1
    assert "1-1-0" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"generation": 1, "holds": [], "numbers": {"no key": [1]}}',
        b'{"generation": 1, "holds": [], "numbers": {"[\\"later\\",[\\"a\\"],[],[]]": [1]}}',
        b'{"generation": 1, "holds": [], "numbers": {"[\\"counter\\",[\\"a\\"],[],[]]": ["1"]}}',
    ],
    ids=["empty", "foreign", "key", "newer", "text"],
)
def test_a_broken_file_of_all_that_ended(folder, caplog, content):
    """The file of those that ended, broken or of a later version, fails no scrape either; it is made anew."""
    group = Group(folder, this_process())
    group.place(identify("counter", ["c"], None), (), 1)[0] = 3
    (folder / "ended").write_bytes(content)
    for _ in range(2):
        assert [record_of(key, numbers).values for key, numbers in group.read().items()] == [(3,)]
    say()
    assert len(caplog.messages) == 1
    die(folder, 1)
    assert group.read()[key_of(identify("counter", ["c"], None), ())] == (13,)


def test_empty_files(tmp_path):
    """A file that its process has just made has nothing yet."""
    for content in (b"", bytes(SEGMENT)):
        (tmp_path / "f").write_bytes(content)
        assert read(tmp_path / "f") == {}


DIES = """
import os, sys
from c2c_stats.prometheus._processes import Group
from c2c_stats._series import identify
from pathlib import Path
from c2c_broadcast.process import this_process
group = Group(Path(sys.argv[1]), this_process())
group.place(identify("counter", ["c"], None), (), 1)[0] = 10
cells = group.place(identify("gauge", ["g"], None), (), 2)
cells[0], cells[1] = float(sys.argv[2]), float(sys.argv[2])
for number in range(int(sys.argv[3])):
    group.place(identify("counter", ["many"], {"n": f"{os.getpid()}-{number}"}), (), 1)[0] = 1
    cells = group.place(identify("gauge", ["many"], {"n": f"{os.getpid()}-{number}"}), (), 2)
    cells[0], cells[1] = 1, float(sys.argv[2])
os.kill(os.getpid(), 9)
"""


def die(path, when, many=0):
    """Run a process that counts ten and is killed."""
    subprocess.run([sys.executable, "-c", DIES, str(path), str(when), str(many)], check=False, timeout=60)


def test_killed_processes_are_merged(folder, tmp_path):
    """Counters of the dead stay, their last gauge too; their files are gone."""
    path = tmp_path / "group"
    group = Group(folder, this_process())
    mine = group.place(identify("counter", ["c"], None), (), 1)
    mine[0] = 1
    for number in (3, 1, 2):
        die(path, number)
    assert len(list(path.iterdir())) == 4
    for _ in range(2):
        records = {key: record_of(key, numbers) for key, numbers in group.read().items()}
        assert {one.name: one.values[0] for one in records.values()} == {("c",): 31, ("g",): 3}
        assert sorted(one.name for one in path.iterdir()) == [
            f"{os.getpid()}-{this_process().ticks}-0",
            "ended",
            "lock",
        ]
    mine[0] += 1
    assert group.read()[key_of(identify("counter", ["c"], None), ())] == (32,)
    assert group.members() == [this_process()]


FORKS = """
import os, sys
from c2c_stats.prometheus._processes import Group
from c2c_stats._series import identify
from pathlib import Path
from c2c_broadcast.process import this_process

for _ in range(int(sys.argv[2])):
    if os.fork() == 0:
        group = Group(Path(sys.argv[1]), this_process())
        group.absorb()
        group.place(identify("counter", ["c"], None), (), 1)[0] = 10
        os.kill(os.getpid(), 9)
    os.wait()
"""


def test_recycled_workers_leave_one_file_that_does_not_grow(folder, tmp_path):
    """After 100 processes there is what there is after 4: one file, of the same size, with all that was counted."""
    path = tmp_path / "group"
    group = Group(folder, this_process())
    sizes = []
    for number, total in ((4, 40), (96, 1000)):
        subprocess.run([sys.executable, "-c", FORKS, str(path), str(number)], check=True, timeout=300)
        # Each took the one before it in: only the last is left to the reader.
        assert len(list(path.iterdir())) == 4
        assert group.read()[key_of(identify("counter", ["c"], None), ())] == (total,)
        assert len(list(path.iterdir())) == 3
        sizes.append(sum(one.stat().st_size for one in path.iterdir()))
    assert sizes[1] < sizes[0] + 20, "only the digits of the numbers"


def test_a_crash_while_merging_counts_nothing_twice(folder, tmp_path):
    """Where the merged file is written and a dead one's not yet removed, it counts once."""
    path = tmp_path / "group"
    group = Group(folder, this_process())
    die(path, 1)
    (dead,) = [one for one in path.iterdir() if not one.name.startswith(f"{os.getpid()}-")]
    content = dead.read_bytes()
    (path / "ended.new").write_text("{")  # of who crashed while it was written
    key = key_of(identify("counter", ["c"], None), ())
    assert group.read()[key] == (10,)
    dead.write_bytes(content)
    with (path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert group.read()[key] == (10,)
        assert dead.exists(), "it can't be removed meanwhile"
    assert group.read()[key] == (10,)
    assert not dead.exists()
    die(path, 2)
    assert group.read()[key] == (20,)


def test_a_second_file_of_one_process(folder):
    """A process that begins anew has another file; what it recorded before stays counted."""
    for number in (3, 4):
        group = Group(folder, this_process())
        group.place(identify("counter", ["c"], None), (), 1)[0] = number
        group.close()
    assert group.read()[key_of(identify("counter", ["c"], None), ())] == (7,)


def test_who_is_merging_is_not_waited_for(folder, tmp_path):
    """While another process merges, or hangs at it, the numbers are there nevertheless."""
    path = tmp_path / "group"
    group = Group(folder, this_process())
    die(path, 1)
    with (path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        start = time.monotonic()
        assert group.read()[key_of(identify("counter", ["c"], None), ())] == (10,)
        assert time.monotonic() - start < 20
        assert not (path / "ended").exists(), "two would write it at once"


def test_series_of_the_dead_are_limited(folder, tmp_path):
    """Labels that each process makes anew do not grow; what was counted stays counted; the newest gauges stay."""
    path = tmp_path / "group"
    group = Group(folder, this_process())
    for number in (1, 3, 2):
        die(path, number, MOST_SERIES - 100)
    found = [record_of(key, numbers) for key, numbers in group.read().items()]
    many = {kind: [one for one in found if (one.name, one.kind) == (("many",), kind)] for kind in ("counter", "gauge")}
    assert len(many["counter"]) <= MOST_SERIES + 1
    assert sum(one.values[0] for one in many["counter"]) == 3 * (MOST_SERIES - 100)
    assert sorted(one.values[1] for one in many["gauge"]) == [2] * 100 + [3] * (MOST_SERIES - 100)


@pytest.mark.parametrize("listed", ["before", "after"])
def test_two_tidy_up_while_a_third_reads(folder, monkeypatch, listed):
    """Whoever reads while one process merges, and a second one finds nothing left to merge, counts all nevertheless."""
    group = Group(folder, this_process())
    group.place(identify("counter", ["c"], None), (), 1)[0] = 5
    die(folder, 1)
    names = Group._names
    tidied = []

    def in_between(self):
        found = names(self)
        if not tidied:
            tidied.append(True)
            self._absorb(self._names_of_ended())
            self._absorb([])
        return found if listed == "before" else names(self)

    monkeypatch.setattr(Group, "absorb", lambda _self: None)
    monkeypatch.setattr(Group, "_names", in_between)
    key = key_of(identify("counter", ["c"], None), ())
    assert group.read()[key] == (15,)
    assert group._ended()[2] == 1
    group._absorb([])
    assert group._ended()[2] == 1, "a number that was there before tells a reader that nothing changed"


def test_the_folder_is_that_of_the_master_before(monkeypatch):
    """After gunicorn's USR2 the new master's processes share the old ones' folder, also once those are gone."""
    from c2c_broadcast.process import service_folder
    from c2c_stats.prometheus import _processes as _group

    own = service_folder("stats")
    above, us = own.parent.parent, family()
    old = above / f"{us.namespace}-1-{us.root.ticks - 1}"
    (old / "stats").mkdir(mode=0o700, parents=True)
    origin = own / "origin"
    try:
        (old / "stats" / "origin").write_text(old.name)
        assert _group._before_upgrade(above) is None
        origin.write_text(old.name)
        assert _group._shared_folder() == old / "stats"
        assert (old / this_process().name).exists()
    finally:
        origin.unlink(missing_ok=True)
        shutil.rmtree(old)
