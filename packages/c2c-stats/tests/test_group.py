"""Files of numbers that processes share."""

import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from c2c_stats._cells_file import SEGMENT, CellsFile, read_cells
from c2c_stats._group import Group
from c2c_stats._guard import MOST_SERIES
from c2c_stats._identity import identify
from c2c_stats._merging import key_of, record_of
from c2c_stats._notices import say
from c2c_stats._private_folder import open_folder
from c2c_stats._processes import Process, root_of_forks, this_process


@pytest.fixture
def folder(tmp_path):
    """Give the descriptor of a private folder."""
    path = tmp_path / "group"
    path.mkdir(mode=0o700)
    fd = open_folder(path)
    yield fd
    os.close(fd)


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


@pytest.mark.parametrize(
    "content", [b"", b"x" * SEGMENT, b"c2cstat1" + struct.pack("=Q", 2**63) + b"\xff" * (SEGMENT - 16)]
)
def test_broken_files(tmp_path, content):
    """A file that is not ours, or broken, is nothing."""
    (tmp_path / "f").write_bytes(content)
    assert read(tmp_path / "f") == {}


DIES = """
import os, sys
from c2c_stats._group import Group
from c2c_stats._identity import identify
from c2c_stats._private_folder import open_folder
from c2c_stats._processes import this_process
group = Group(open_folder(sys.argv[1]), this_process(), this_process())
group.place(identify("counter", ["c"], None), (), 1)[0] = 10
cells = group.place(identify("gauge", ["g"], None), (), 2)
cells[0], cells[1] = float(sys.argv[2]), float(sys.argv[2])
for number in range(int(sys.argv[3])):
    group.place(identify("counter", ["many"], {"n": f"{os.getpid()}-{number}"}), (), 1)[0] = 1
os.kill(os.getpid(), 9)
"""


def die(path, when, many=0):
    """Run a process that counts ten and is killed."""
    subprocess.run([sys.executable, "-c", DIES, str(path), str(when), str(many)], check=False, timeout=60)


def test_killed_processes_are_merged(folder, tmp_path):
    """Counters of the dead stay, their last gauge too; their files are gone."""
    path = tmp_path / "group"
    group = Group(folder, this_process(), root_of_forks())
    mine = group.place(identify("counter", ["c"], None), (), 1)
    mine[0] = 1
    for number in (3, 1, 2):
        die(path, number)
    assert len(list(path.iterdir())) == 4
    for _ in range(2):
        records = {key: record_of(key, numbers) for key, numbers in group.read().items()}
        assert {one.name: one.values[0] for one in records.values()} == {("c",): 31, ("g",): 3}
        assert sorted(one.name for one in path.iterdir()) == [
            f"{os.getpid()}-{this_process().started}-0",
            "ended",
            "lock",
        ]
    mine[0] += 1
    assert group.read()[key_of(identify("counter", ["c"], None), ())] == (32,)
    assert group.members() == [this_process()]


FORKS = """
import os, sys
from c2c_stats._group import Group
from c2c_stats._identity import identify
from c2c_stats._private_folder import open_folder
from c2c_stats._processes import root_of_forks, this_process

for _ in range(int(sys.argv[2])):
    if os.fork() == 0:
        group = Group(open_folder(sys.argv[1]), this_process(), root_of_forks())
        group.absorb()
        group.place(identify("counter", ["c"], None), (), 1)[0] = 10
        os.kill(os.getpid(), 9)
    os.wait()
"""


def test_recycled_workers_leave_one_file_that_does_not_grow(folder, tmp_path):
    """After 100 processes there is what there is after 4: one file, of the same size, with all that was counted."""
    path = tmp_path / "group"
    group = Group(folder, this_process(), root_of_forks())
    sizes = []
    for number, total in ((4, 40), (96, 1000)):
        subprocess.run([sys.executable, "-c", FORKS, str(path), str(number)], check=True, timeout=300)
        # Each took the one before it in: only the last is left to the reader.
        assert len(list(path.iterdir())) == 4
        assert group.read()[key_of(identify("counter", ["c"], None), ())] == (total,)
        assert len(list(path.iterdir())) == 3
        sizes.append(sum(one.stat().st_size for one in path.iterdir()))
    assert sizes[0] == sizes[1]


def test_a_crash_while_merging_counts_nothing_twice(folder, tmp_path):
    """Where the merged file is written and a dead one's not yet removed, it counts once."""
    path = tmp_path / "group"
    group = Group(folder, this_process(), root_of_forks())
    die(path, 1)
    (dead,) = [one for one in path.iterdir() if not one.name.startswith(f"{os.getpid()}-")]
    content = dead.read_bytes()
    key = key_of(identify("counter", ["c"], None), ())
    assert group.read()[key] == (10,)
    dead.write_bytes(content)
    assert group.read()[key] == (10,)
    assert not dead.exists()
    die(path, 2)
    assert group.read()[key] == (20,)


def test_who_is_merging_is_not_waited_for(folder, tmp_path):
    """While another process merges, or hangs at it, the numbers are there nevertheless."""
    import fcntl

    path = tmp_path / "group"
    group = Group(folder, this_process(), root_of_forks())
    die(path, 1)
    with (path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        start = time.monotonic()
        assert group.read()[key_of(identify("counter", ["c"], None), ())] == (10,)
        assert time.monotonic() - start < 20
        assert len(list(path.iterdir())) == 3


def test_series_of_the_dead_are_limited(folder, tmp_path):
    """Labels that each process makes anew do not grow for ever; what was counted stays counted."""
    path = tmp_path / "group"
    group = Group(folder, this_process(), root_of_forks())
    for number in range(3):
        die(path, number, MOST_SERIES - 100)
    merged = group.read()
    many = [record_of(key, numbers) for key, numbers in merged.items() if b"many" in key]
    assert len(many) <= MOST_SERIES + 1
    assert sum(one.values[0] for one in many) == 3 * (MOST_SERIES - 100)


def test_folders_of_others_are_refused(tmp_path):
    """A link, or a folder that others may enter, is not used."""
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("open", "link"):
        with pytest.raises(OSError, match=name):
            open_folder(tmp_path / name)


def test_processes():
    """This process lives; a zombie, and another process of the same id, do not."""
    me = this_process()
    assert me.alive
    assert not Process(me.pid, me.started + 1).alive
    child = subprocess.Popen(["sleep", "60"])
    assert root_of_forks().pid != child.pid
    pid = os.fork()
    if not pid:
        os._exit(0 if root_of_forks() == root_before else 1)
    assert os.waitpid(pid, 0)[1] == 0
    child.kill()
    deadline = time.monotonic() + 30
    fields = Path(f"/proc/{child.pid}/stat")
    while b") Z " not in fields.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.01)
    started = int(fields.read_bytes().rpartition(b")")[2].split()[19])
    assert not Process(child.pid, started).alive
    child.wait()


root_before = root_of_forks()
