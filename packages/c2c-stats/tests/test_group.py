"""Files of numbers that processes share."""

import dataclasses
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from c2c_broadcast.process import Process, family, start_ticks, this_process
from c2c_stats._series import MOST, MOST_SERIES, Counter, Gauge, identify, say
from c2c_stats._sink import Sink
from c2c_stats.prometheus._processes import LARGEST, SEGMENT, CellsFile, PrometheusBackend, key_of, read_cells


@pytest.fixture
def folder(tmp_path):
    """Give a private folder."""
    path = tmp_path / "group"
    path.mkdir(mode=0o700)
    return path


def join(folder):
    """Begin to record in a folder."""
    group = PrometheusBackend(Sink(), folder)
    group.start()
    return group


def counter(name="c"):
    """Return a counter."""
    return Counter(identify("counter", [name], None), None)


KEY = key_of(counter())


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


def test_write_and_read(tmp_path, caplog):
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
    assert (tmp_path / "f").stat().st_blocks * 512 < LARGEST / 4, "what nobody wrote takes no room"
    assert file.place(b"x" * LARGEST, 1) is None
    say()
    assert f"it has {LARGEST:,} bytes" in caplog.text
    file.close()
    cells[5][0] = 1


def test_the_format(tmp_path):
    """A file has what its module says, numbers at aligned places: processes of other versions read it, too."""
    file = new_file(tmp_path / "f")
    for key, numbers in ((b"key", (1.5, -2)), (b"eightkey", (3,)), (b"nine keys", ())):
        file.place(key, len(numbers))[:] = memoryview(struct.pack(f"={len(numbers)}d", *numbers)).cast("d")
    file.close()
    wanted = struct.pack(
        "=8sQII8s2dII8sdII16s", GOOD, 96, 32, 3, b"key", 1.5, -2, 24, 8, b"eightkey", 3, 24, 9, b"nine keys"
    )
    content = (tmp_path / "f").read_bytes()
    assert content == wanted + bytes(32 * 1024 * 1024 - len(wanted))
    (tmp_path / "f").write_bytes(wanted)
    assert read(tmp_path / "f") == {b"key": (1.5, -2), b"eightkey": (3,), b"nine keys": ()}
    assert key_of(counter("é\ud800")) == '["counter",["é?"],[],[]]'.encode()


def test_numbers_at_the_limits(folder):
    """What a process may record its file may have: zeros, the greatest, of a gauge the least, too; unset it is none."""
    group = join(folder)
    group.place(counter("zero"))
    group.place(counter("most"))[0] = MOST
    for name, value in (("zero", 0), ("most", MOST), ("least", -MOST)):
        cells = group.place(Gauge(identify("gauge", [name], None), None))
        cells[0], cells[1] = value, 1
    group.place(Gauge(identify("gauge", ["unset"], None), None))
    assert {(one.kind, *one.name, one.values[0]) for one in group.records()} == {
        ("counter", "zero", 0),
        ("counter", "most", MOST),
        ("gauge", "zero", 0),
        ("gauge", "most", MOST),
        ("gauge", "least", -MOST),
    }
    assert not group._said


def test_a_backend_that_is_closed(folder):
    """It takes its process's numbers away; one that never began takes nothing."""
    assert PrometheusBackend(Sink()).members() == [this_process()]
    before = descriptors()
    group = join(folder)
    group.place(counter())[0] = 3
    assert group.members() == [this_process()]
    assert (folder / this_process().name).stat().st_mode & 0o777 == 0o600
    PrometheusBackend(Sink(), folder).close()
    assert group.read() == {KEY: (3,)}
    group.close()
    assert list(folder.iterdir()) == []
    assert group.place is None
    assert group.members() == [this_process()]
    assert descriptors() == before


def descriptors():
    """Return how many files this process has open."""
    return len([*Path("/proc/self/fd").iterdir()])


def test_nothing_yet(tmp_path):
    """A file that its process has just made has nothing yet."""
    new_file(tmp_path / "f")
    assert read(tmp_path / "f") == {}


def no_room(*_arguments):
    """Be a full disk."""
    raise OSError("No space left on device")


def test_no_room(tmp_path, caplog, monkeypatch):
    """A file that can't grow gives no more memory, says so once, and stops nothing."""
    monkeypatch.setattr(os, "posix_fallocate", no_room)
    file = new_file(tmp_path / "f")
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
    "empty": b"",
    "short": GOOD + b"1",
    "cut in its lengths": GOOD + struct.pack("=QI", 40, 24),
    "cut in its numbers": GOOD + struct.pack("=QII24s", 56, 40, 23, b'["counter",["a"],[],[]]'),
    "cut": GOOD + struct.pack("=QII", 20, 16, 4) + bytes(SEGMENT - 24),
    "no end": GOOD + struct.pack("=QII", 40, 400, 4) + bytes(SEGMENT - 24),
    "no json": GOOD + struct.pack("=QII8sd", 40, 24, 8, b"anything", 5.0) + bytes(SEGMENT - 40),
    "other json": GOOD + struct.pack("=QII8sd", 40, 24, 8, b"[1,2,3] ", 5.0) + bytes(SEGMENT - 40),
    "too many numbers": GOOD
    + struct.pack("=QII24s2d", 64, 48, 23, b'["counter",["a"],[],[]]', 5, 6)
    + bytes(SEGMENT - 64),
    "negative": GOOD + struct.pack("=QII24sd", 56, 40, 23, b'["counter",["a"],[],[]]', -5) + bytes(SEGMENT - 56),
    "too great": GOOD + struct.pack("=QII24sd", 56, 40, 23, b'["counter",["a"],[],[]]', 1e301) + bytes(SEGMENT - 56),
    "no gauge": GOOD
    + struct.pack("=QII24s2d", 64, 48, 21, b'["gauge",["a"],[],[]]', float("nan"), 1)
    + bytes(SEGMENT - 64),
    "no number": GOOD
    + struct.pack("=QII24sd", 56, 40, 23, b'["counter",["a"],[],[]]', float("nan"))
    + bytes(SEGMENT - 56),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_files_of_dead_processes(folder, caplog, content):
    """A file that is foreign, newer or broken fails no scrape: left out, said once, removed."""
    group = join(folder)
    group.place(counter())[0] = 3
    (folder / "1-1").write_bytes(content)
    (folder / "not-of-a-process").write_bytes(content)
    for _ in range(3):
        assert [one.values for one in group.records()] == [(3,)]
    say()
    assert not (folder / "1-1").exists()
    assert len(caplog.messages) == 1
    assert "1-1 " in caplog.text


def test_a_broken_file_of_a_living_process(folder, caplog):
    """It is left out, and left alone: its process may be of another version."""
    living = Process(os.getppid(), start_ticks(os.getppid()))
    (folder / living.name).write_bytes(b"x" * SEGMENT)
    assert join(folder).read() == {}
    say()
    assert len(caplog.messages) == 1
    assert (folder / living.name).exists()


def test_a_broken_file_is_not_taken_over(folder, caplog):
    """Who begins and takes a broken file of a dead process over begins with nothing."""
    (folder / "1-1").write_bytes(b"x" * SEGMENT)
    group = join(folder)
    group.place(counter())[0] = 3
    assert group.read() == {KEY: (3,)}
    assert [path.name for path in folder.iterdir()] == [this_process().name]
    say()
    assert len(caplog.messages) == 1


BEGINS = """
import os, sys
from pathlib import Path
from c2c_stats._series import Counter, Gauge, identify
from c2c_stats._sink import Sink
from c2c_stats.prometheus._processes import PrometheusBackend

def begin():
    group = PrometheusBackend(Sink(), Path(sys.argv[1]))
    group.start()
    return group
"""
DIES = (
    BEGINS
    + """
group = begin()
group.place(Counter(identify("counter", ["c"], None), None))[0] = 10
cells = group.place(Gauge(identify("gauge", ["g"], None), None))
cells[0], cells[1] = float(sys.argv[2]), float(sys.argv[2])
for number in range(int(sys.argv[3])):
    group.place(Counter(identify("counter", ["many"], {"n": f"{os.getpid()}-{number}"}), None))[0] = 1
    cells = group.place(Gauge(identify("gauge", ["many"], {"n": f"{os.getpid()}-{number}"}), None))
    cells[0], cells[1] = 1, float(sys.argv[2])
os.kill(os.getpid(), 9)
"""
)


def die(path, when, many=0):
    """Run a process that counts ten and is killed."""
    subprocess.run([sys.executable, "-c", DIES, str(path), str(when), str(many)], check=False, timeout=60)


def test_killed_processes_are_counted(folder):
    """Counters of the dead stay, their last gauge too; each took over the file of the one before."""
    for number in (3, 1, 2):
        die(folder, number)
        assert len(list(folder.iterdir())) == 1
    group = join(folder)
    mine = group.place(counter())
    for number in (1, 2):
        mine[0] = number
        assert {one.name: one.values[0] for one in group.records()} == {("c",): 30 + number, ("g",): 3}
        assert [one.name for one in folder.iterdir()] == [this_process().name]
    assert group.members() == [this_process()]


FORKS = (
    BEGINS
    + """
for _ in range(int(sys.argv[2])):
    if os.fork() == 0:
        begin().place(Counter(identify("counter", ["c"], None), None))[0] = 10
        os.kill(os.getpid(), 9)
    os.wait()
"""
)


def test_recycled_workers_leave_one_file_that_does_not_grow(folder):
    """After 100 processes there is what there is after 4: two files, with all that was counted, no larger."""
    group = join(folder)
    sizes = []
    for number, total in ((4, 40), (96, 1000)):
        subprocess.run([sys.executable, "-c", FORKS, str(folder), str(number)], check=True, timeout=300)
        assert len(list(folder.iterdir())) == 2
        assert group.read() == {KEY: (total,)}
        sizes.append(sum(one.stat().st_blocks for one in folder.iterdir()))
    assert sizes[1] == sizes[0]


AT_ONCE = (
    BEGINS
    + """
go, going = os.pipe()
for _ in range(8):
    if os.fork() == 0:
        os.close(going)
        os.read(go, 1)
        begin().place(Counter(identify("counter", ["c"], None), None))[0] = 10
        os.kill(os.getpid(), 9)
os.close(going)
for _ in range(8):
    os.wait()
"""
)


def test_many_that_take_over_at_once(folder):
    """Each file is taken over by one process only: nothing is counted twice, nothing is lost."""
    for number in (1, 2, 3):
        die(folder, number)
    for turn in (1, 2, 3):
        subprocess.run([sys.executable, "-c", AT_ONCE, str(folder)], check=True, timeout=120)
        assert join(folder).read()[KEY] == (30 + 80 * turn,)


def test_a_take_over_that_fails(folder, monkeypatch, caplog):
    """Where there is no room for the numbers of the dead, or their heir crashes meanwhile, they stay as they are."""
    die(folder, 1)
    monkeypatch.setattr(os, "posix_fallocate", no_room)
    store = Sink()
    group = PrometheusBackend(store, folder)
    group.start()
    assert group.place is None
    store.series(counter().identity).cells[0] = 7
    assert [one.values for one in group.records()] == [(7,)]
    say()
    assert "its own numbers only" in caplog.text
    monkeypatch.undo()
    (folder / f"{this_process().name}.new").write_text("half of it")
    group = join(folder)
    group.place(counter())[0] = 1
    assert group.read()[KEY] == (11,)


def test_a_second_file_of_one_process(folder):
    """A process that begins anew, after an exec, goes on with what it recorded before; nobody's is lost for it."""
    die(folder, 1)
    for number in (3, 4):
        group = join(folder)
        group.place(counter())[0] = number
        group.forked()
        die(folder, 1)
    assert join(folder).read()[KEY] == (37,)


def test_series_of_the_dead_are_limited(folder):
    """Labels that each process makes anew do not grow; what was counted stays counted; the newest gauges stay."""
    for number in (1, 3, 2):
        die(folder, number, MOST_SERIES - 100)
    found = list(join(folder).records())
    many = {kind: [one for one in found if (one.name, one.kind) == (("many",), kind)] for kind in ("counter", "gauge")}
    assert len(many["counter"]) == MOST_SERIES + 1
    assert sum(one.values[0] for one in many["counter"]) == 3 * (MOST_SERIES - 100)
    assert sorted(one.values[1] for one in many["gauge"]) == [2] * 100 + [3] * (MOST_SERIES - 100)


@pytest.mark.parametrize("listed", ["before", "after"])
def test_a_file_that_is_taken_over_while_another_reads(folder, monkeypatch, listed):
    """Whoever reads while a file gets another name counts it once nevertheless."""
    group = join(folder)
    group.place(counter())[0] = 5
    die(folder, 1)
    (dead,) = [path for path in folder.iterdir() if path.name != this_process().name]
    names = PrometheusBackend._names

    def in_between(self):
        found = names(self)
        if dead.exists():
            dead.rename(folder / Process(1, 1).name)
        return found if listed == "before" else [name for name in found if name != dead.name]

    monkeypatch.setattr(PrometheusBackend, "_names", in_between)
    assert group.read()[KEY] == (15,)


def test_the_folder_is_that_of_the_master_before(monkeypatch):
    """After gunicorn's USR2 the new master's processes share the old ones' folder, also once those are gone."""
    from c2c_broadcast.process import service_folder
    from c2c_stats.prometheus import _processes

    own, us = service_folder("stats"), family()
    before = Process(1, us.root.ticks - 1)
    old = own.parent.parent / f"{us.namespace}-{before.name}"
    (old / "stats").mkdir(mode=0o700, parents=True)
    origin = own / "origin"
    origin.unlink(missing_ok=True)
    monkeypatch.setattr(_processes, "family", lambda: dataclasses.replace(us, starter=before))
    try:
        (old / "stats" / "origin").write_text(old.name)
        assert _processes._shared_folder() == own, "another program, which started this one, has its own"
        origin.unlink()
        monkeypatch.setenv("GUNICORN_PID", "1")
        for _ in range(2):
            assert _processes._shared_folder() == old / "stats"
            assert {(old / one.name).stat().st_mode & 0o777 for one in (this_process(), us.root)} == {0o600}
            monkeypatch.delenv("GUNICORN_PID", raising=False)  # as gunicorn does once the old master ended
        shutil.rmtree(old)
        assert _processes._shared_folder() == own, "where that folder is gone there is nothing to share"
    finally:
        origin.unlink(missing_ok=True)
        shutil.rmtree(old, ignore_errors=True)
