"""The queue and its thread: bounded, in order, never waiting, whatever the consumer does."""

import logging
import os
import subprocess
import sys
import threading
import time

import pytest

from c2c_logging import _sending


class Queue(_sending.Queue):
    """A queue of a test; ``consume(batch, hurry)`` returns nothing."""

    def __init__(self, consume, dropped=lambda count: None, **bounds):
        """Take what a subclass would have as methods and attributes."""
        super().__init__("test")
        self.dropped = dropped
        self.asked = consume
        vars(self).update(bounds)

    def flush(self, at_end=60):
        """Wait so long."""
        self.at_end = at_end
        return super().flush()

    def close(self, at_end=60):
        """Wait so long."""
        self.at_end = at_end
        return super().close()

    def consume(self, batch):
        """Lose none, unless it raises."""
        self.asked(batch, lambda: self.is_late)
        return 0


def test_a_consumer_that_raises_is_asked_again():
    """What it was given is counted as dropped; the thread lives."""
    seen = []

    def consume(batch, hurry):
        if "bad" in batch:
            raise ValueError
        seen.extend(batch)

    dropped = []
    queue = Queue(consume, wait=0.0, dropped=dropped.append)
    queue.put("bad", 1)
    assert queue.flush(30)
    queue.put("good", 1)
    assert queue.close(30)
    assert seen == ["good"]
    assert dropped == [1], "said with the next batch, once"


class Held:
    """A consumer that keeps each batch until it is let go; ``sizes`` are those of the batches."""

    def __init__(self):
        self.sizes = []
        self.begun, self.free = threading.Event(), threading.Event()

    def __call__(self, batch, hurry):
        """Take a batch."""
        self.sizes.append(len(batch))
        self.begun.set()
        self.free.wait(60)


def test_it_is_bounded():
    """10,000 items or 32 MB, the one in hand too: the oldest of all others go, one says it at once, one how many."""
    for sizes, second in (([1] * 10_000, 100), ([16_000_000] * 2, 1)):
        full, dropped, consumer = [], [], Held()
        queue = Queue(consumer, dropped=dropped.append, full=lambda full=full: full.append(1), wait=0.0)
        for size in sizes:
            queue.put("x", size)
            assert consumer.begun.wait(60)
        assert (queue.behind.lines, queue.behind.dropped, full) == (len(sizes), 0, [])
        queue.put("y", 1)
        assert (queue.behind.lines, queue.behind.dropped, full) == (len(sizes), 1, [1])
        consumer.free.set()
        assert queue.flush(60)
        assert (consumer.sizes[:2], dropped) == ([1, second], [1])
        assert queue.close(60)


def test_no_thread_without_an_item():
    """Building one starts nothing, and flushing an empty one returns at once."""
    before = threading.active_count()
    queue = Queue(lambda batch, hurry: None)
    assert queue.flush(30)
    assert threading.active_count() == before


def test_it_works_again_after_its_end():
    """Something logged after ``close`` is written too."""
    seen = []
    queue = Queue(lambda batch, hurry: seen.extend(batch), wait=0.0)
    for item in range(200):
        queue.put(item, 1)
        assert queue.close(30)
    assert seen == list(range(200))


def test_a_consumer_is_told_to_hurry():
    """At the end, one that waits for a server is told that there is no time."""

    def consume(batch, hurry):
        while not hurry():
            time.sleep(0.01)

    queue = Queue(consume, wait=0.0)
    queue.put("x", 1)
    start = time.monotonic()
    queue.close(0.1)
    assert time.monotonic() - start < 20
    while queue._worker.running:
        assert time.monotonic() - start < 60, "it was not told"
        time.sleep(0.01)


def test_a_reader_that_took_nothing_is_waited_for_once():
    """Each handler flushes at the end: all of them together wait once, until something is taken again."""
    blocked = threading.Event()
    queue = Queue(lambda batch, hurry: blocked.wait(60), batch=1, wait=0.0)
    queue.put("x", 1)
    assert not queue.flush(0.3)
    begun = time.monotonic()
    assert not queue.flush(40)
    assert time.monotonic() - begun < 20
    blocked.set()
    queue.put("y", 1)
    deadline = time.monotonic() + 30
    while not queue.flush(30) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert queue.behind is None
    assert queue.close(30)


def test_who_waits_for_all_waits_for_the_count_of_dropped_items():
    """What says how many were dropped is itself put in the queue, and is written before the process ends."""
    blocked = threading.Event()
    seen = []

    def consume(batch, hurry):
        blocked.wait(60)
        if batch == ["7 dropped"]:
            time.sleep(0.5)
        seen.extend(batch)

    def tell(count):
        queue.put(f"{count} dropped", 1)

    queue = Queue(consume, items=3, batch=1, wait=0.0, dropped=tell)
    for number in range(10):
        queue.put(number, 1)
    threading.Timer(0.2, blocked.set).start()
    assert queue.flush(60)
    assert seen[-1] == "7 dropped"


def test_nobody_waits_for_what_is_away():
    """A server that is away may be so for days."""
    blocked = threading.Event()
    queue = Queue(lambda batch, hurry: blocked.wait(60), wait=0.0)
    queue.is_away = True
    queue.put("x", 1)
    begun = time.monotonic()
    assert not queue.flush(40)
    assert time.monotonic() - begun < 20
    blocked.set()


def test_it_tells_how_far_behind_it_is():
    """Since when, how many wait (the one in hand too), how many were dropped; nothing when all is done."""
    blocked, begun = threading.Event(), threading.Event()

    def consume(batch, hurry):
        begun.set()
        blocked.wait(60)

    queue = Queue(consume, items=3, batch=1, wait=0.0)
    assert queue.behind is None
    queue.put(0, 1)
    assert begun.wait(60)
    for number in range(1, 10):
        queue.put(number, 1)
    found = queue.behind
    assert (found.lines, found.dropped) == (3, 7)
    time.sleep(0.05)
    assert found.seconds < queue.behind.seconds < 300
    blocked.set()
    assert queue.flush(30)
    assert queue.behind is None


def test_who_waits_does_not_wait_for_a_batch():
    """``flush`` has written what there is, however long a batch would have gathered."""
    seen = []
    queue = Queue(lambda batch, hurry: seen.extend(batch), batch=100, wait=3_000.0)
    queue.put("x", 1)
    assert queue.flush(60)
    assert seen == ["x"]
    assert queue.close(30)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of Python 3.12 on
def test_a_fork_takes_nothing_along():
    """What is queued is the parent's to write, what it drops the parent's to say; the child's own is written."""
    seen, consumer = [], Held()
    queue = Queue(lambda batch, hurry: consumer(batch, hurry) or seen.extend(batch), items=2, batch=1, wait=0.0)
    for number in range(4):
        queue.put(number, 1)
        assert consumer.begun.wait(60)
    pid = os.fork()
    if pid == 0:
        consumer.__init__()  # a thread that is not here may have held what its events lock
        consumer.free.set()
        empty = queue.behind is None and queue.flush()
        queue.put("child", 1)
        os._exit(0 if empty and queue.flush() and seen == ["child"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert queue.behind.lines == 2
    consumer.free.set()
    assert queue.close(60)
    assert seen == [0, 3]


def test_where_there_is_no_thread_it_is_done_at_once(monkeypatch):
    """At the interpreter's end, or where the system gives no more threads, without patience."""
    seen = []

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    queue = Queue(lambda batch, hurry: seen.append((batch, hurry())), wait=3_000.0)
    queue.put("x", 1)
    queue.put("y", 1)
    assert seen == [(["x"], True), (["y"], True)]


def test_after_a_close_there_is_patience_again():
    """A handler that is used after ``close`` waits for a server that is away, as before."""
    hurried = []
    queue = Queue(lambda batch, hurry: hurried.append(hurry()), wait=0.0)
    queue.put("x", 1)
    assert queue.close(0.0) or queue.close(30)
    hurried.clear()
    queue.put("y", 1)
    assert queue.flush(30)
    assert hurried == [False]


def test_batches():
    """A batch is full, or what came in the time."""
    sizes = []
    queue = Queue(lambda batch, hurry: sizes.append(len(batch)), batch=100, wait=0.5)
    for number in range(250):
        queue.put(number, 1)
    assert queue.close(30)
    assert sum(sizes) == 250
    assert max(sizes) == 100


def test_a_full_batch_waits_for_nothing():
    """Its time need not be over; until then the first item waits for the others."""
    consumer = Held()
    consumer.free.set()
    queue = Queue(consumer, batch=10, wait=3_000.0)
    queue.put(0, 1)
    assert not consumer.begun.wait(0.2)
    for number in range(1, 10):
        queue.put(number, 1)
    assert consumer.begun.wait(60)
    assert queue.close(30)
    assert consumer.sizes == [10]


def test_each_flush_waits_for_what_came_since():
    """That all was written before is no reason not to wait."""
    consumer = Held()
    queue = Queue(consumer, wait=0.0)
    for _ in range(3):
        consumer.free.clear()
        queue.put("x", 1)
        threading.Timer(0.1, consumer.free.set).start()
        assert queue.flush(60)
    assert queue.close(60)


def test_a_close_has_patience_unless_the_server_is_away():
    """One that is away gets one more try; in the end what the thread has is given back, also where there is none."""
    for away in (False, True):
        late, over = [], threading.Semaphore(0)
        queue = Queue(lambda batch, hurry, late=late: late.append(hurry()), wait=3_000.0, over=over.release)
        queue.is_away = away
        queue.put("x", 1)
        assert queue.close(60) or away
        assert over.acquire(timeout=60)
        assert late == [away]
        deadline = time.monotonic() + 60
        while queue._worker.running and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not over.acquire(blocking=False)
        assert queue.close(60)
        assert over.acquire(blocking=False)


def test_the_thread_does_not_wait_for_itself():
    """What it does may log, and so flush."""
    found = []
    queue = Queue(lambda batch, hurry: found.append(queue.flush()), wait=0.0)
    queue.put("x", 1)
    assert queue.close(30)
    assert found == [True]


def test_whether_logging_is_locked(monkeypatch):
    """By this thread; another's lock is nothing to it. Where that can't be told it is."""
    found = []
    with logging._lock:
        assert _sending.holds_logging()
        thread = threading.Thread(target=lambda: found.append(_sending.holds_logging()))
        thread.start()
        thread.join()
    with monkeypatch.context() as patch:
        patch.setattr(logging, "_lock", None)
        found.append(_sending.holds_logging())
    assert [*found, _sending.holds_logging()] == [False, True, False]


def test_a_complaint_is_a_line_a_change(capfd):
    """On standard error: what is wrong, once, and that it works again, once."""
    complaint = _sending.Complaint("the thing")
    complaint.right()
    for _ in range(2):
        complaint.wrong("it is\naway")
    for _ in range(2):
        complaint.right()
    complaint.wrong("again")
    said = capfd.readouterr().err.splitlines()
    assert said == [f"c2c_logging: the thing: {text}" for text in ("it is away", "works again", "again")]


def test_an_item_that_others_follow_is_not_kept_for_them():
    """How long it waits is counted from when it came: others that come all the time do not put it off."""
    seen = threading.Event()
    queue = Queue(lambda batch, hurry: seen.set(), items=100_000, batch=100_000, wait=1.0)
    deadline = time.monotonic() + 60
    while not seen.is_set() and time.monotonic() < deadline:
        queue.put("x", 1)
        time.sleep(0.01)
    assert seen.is_set()
    assert queue.close(30)


MULTIPROCESSING = """
import multiprocessing, sys
from c2c_logging._sending import Queue

class Written(Queue):
    def consume(self, batch):
        with open(sys.argv[1], "a") as file:
            file.writelines(f"{item}\\n" for item in batch)
        return 0

queue = Written("test")

def work(number):
    queue.put(number, 1)

if __name__ == "__main__":
    for number in range(3):
        child = multiprocessing.get_context("fork").Process(target=work, args=(number,))
        child.start()
        child.join()
"""


def test_processes_of_multiprocessing(tmp_path):
    """They end without atexit, and have written all nevertheless."""
    program, written = tmp_path / "program.py", tmp_path / "written"
    program.write_text(MULTIPROCESSING)
    subprocess.run([sys.executable, program, written], check=True, timeout=120)
    assert written.read_text() == "0\n1\n2\n"
