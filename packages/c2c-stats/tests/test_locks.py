"""Nothing is logged while a lock is held: a logging handler may itself measure, broadcast and lock."""

import logging
import os
import threading
import time

import pytest

import c2c_stats as stats
from c2c_broadcast import broadcast
from c2c_stats._sink import SINK
from c2c_stats.prometheus import _processes


class Busy(logging.Handler):
    """A handler with a lock of its own, under which it measures and broadcasts."""

    def __init__(self):
        super().__init__()
        self.texts = []
        self.own = threading.RLock()
        self._inside = False

    def wait(self, text):
        """Wait until something was logged: another thread may just be about to."""
        deadline = time.monotonic() + 30
        while not any(text in one for one in self.texts):
            assert time.monotonic() < deadline, f"{text!r} was not logged"
            time.sleep(0.01)

    def emit(self, record):
        """Count the line, as a handler may, and tell others."""
        with self.own:
            self.texts.append(record.getMessage())
            if self._inside:
                return  # what it does is itself logged
            self._inside = True
            try:
                measure("handler")
                broadcast.broadcast("test_locks", expect_answers=False)
            finally:
                self._inside = False


def measure(name):
    """Use all that may take a lock: new series, known ones, a start, and what is told to a backend of the user's."""
    SINK.stop()
    stats.increment_counter([name], tags={"thread": str(threading.get_ident())})
    stats.set_gauge([name], 1)
    with stats.timer_context([name]):
        pass


@pytest.fixture
def busy():
    """Give the handler, on the logger of c2c_stats, while other threads log and measure all the time."""
    handler = Busy()
    logger = logging.getLogger("c2c_stats")
    logger.addHandler(handler)
    end = threading.Event()

    def work():
        while not end.is_set():
            logging.getLogger("c2c_stats.test").warning("other")

    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    yield handler
    end.set()
    for thread in threads:
        thread.join(30)
    logger.removeHandler(handler)
    assert not any(thread.is_alive() for thread in threads)


def in_time(work):
    """Do something in a thread, and hold that it ends."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it waits for a lock"


def test_too_many_series(busy):
    """The warning of the cardinality guard."""
    stats.init_backends({"c2c.stats_view": "true"})

    def work():
        for number in range(1_200):
            stats.increment_counter(["m"], tags={"user": str(number)})
        for number in range(1_200):
            stats.increment_counter(["name", str(number)])

    in_time(work)
    busy.wait("its tag 'user'")
    busy.wait("put what varies into a tag")


def test_a_file_that_cannot_grow(busy, make_app, monkeypatch):
    """The warning that a file of numbers is full: said by a request, by an engine, by a start."""
    make_app()
    real = os.posix_fallocate

    def full(fd, at, length):
        if at:
            raise OSError("No space left on device")
        real(fd, at, length)

    monkeypatch.setattr(os, "posix_fallocate", full)

    def work():
        for number in range(900):
            stats.increment_counter(["long" * 50], tags={"user": str(number)})

    in_time(work)
    busy.wait("their file can't grow")


def test_what_cannot_be_started(busy, make_app, monkeypatch):
    """The warnings of a start: no folder for the numbers, and an exporter that raises."""

    def fails():
        raise OSError("no folder")

    monkeypatch.setattr(_processes, "_shared_folder", fails)
    make_app()
    in_time(lambda: measure("a"))
    busy.wait("its own numbers only")
    monkeypatch.setattr(SINK.exporters.get("memory"), "start", fails)
    in_time(lambda: measure("b"))
    busy.wait("memory can't be started")


def test_statsd_that_is_away(busy, tmp_path):
    """The warnings of the thread that sends; the end of that thread is not waited for with a lock held."""
    stats.init_backends({"c2c.statsd_address": f"unix://{tmp_path}/none", "c2c.statsd_flush_interval": "0.01"})
    in_time(lambda: [measure("a") for _ in range(50)])
    in_time(SINK.stop)
    busy.wait("can't be reached")


def test_a_backend_that_locks(busy, statsd_sink):
    """A backend of the user's is told without a lock of ours, of our own counters too."""
    stats.init_backends({"c2c.statsd_address": statsd_sink.address, "c2c.statsd_flush_interval": "0.01"})
    lock = threading.Lock()

    class Logs:
        def counter(self, key, increment, tags=None):
            with lock:
                logging.getLogger("c2c_stats.test").warning("told %s", key)

        timer = gauge = counter

    stats.BACKENDS["logs"] = Logs()
    # Only one of the two threads may log what it is told, or each would tell the other for ever.
    logging.getLogger("c2c_stats").removeHandler(busy)

    def work():
        for _ in range(50):
            SINK.stop()
            stats.increment_counter(["a"])

    in_time(work)
    statsd_sink.wait("a")
