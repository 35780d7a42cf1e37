"""Workers that are replaced: the service is served meanwhile, however long a new one takes to start."""

import http.client
import json
import signal
import threading
import time

import pytest

GTHREAD = "--worker-class gthread --threads 4"
SLOW = 5.0


class Load:
    """Requests, one after the other, on a connection each: what was lost, and the longest of them."""

    def __init__(self, process):
        self._process = process
        self._end = threading.Event()
        self.lost, self.pids, self.longest, self.answered = [], set(), 0.0, 0
        self._threads = [threading.Thread(target=self._ask) for _ in range(2)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _ask(self):
        while not self._end.wait(0.02):
            begun = time.monotonic()
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self._process.port, timeout=30)
                connection.request("GET", "/hello", headers={"Connection": "close"})
                self.pids.add(json.loads(connection.getresponse().read())["pid"])
                connection.close()
                self.answered += 1
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
            self.longest = max(self.longest, time.monotonic() - begun)


@pytest.fixture
def slow(folder):
    """Have each worker of the tiny service take its time to start, but the first ones."""
    source = (folder.path / "tiny.py").read_text()
    wait = f"import os.path, time\nif os.path.exists('slow_start'):\n    time.sleep({SLOW})\n"
    folder.write("tiny.py", wait + source)
    return folder


@pytest.mark.parametrize("workers", [1, 2])
def test_a_reload_with_a_slow_start(slow, workers):
    """The old workers serve until the new ones are ready: no request is lost, none waits for a start."""
    process = slow.serve(params=f"{GTHREAD} --workers {workers} --graceful-timeout 20")
    before = process.workers(workers)
    slow.write("slow_start", "")
    with Load(process) as load:
        process.popen.send_signal(signal.SIGHUP)
        slow.until(lambda: len(load.pids - before) >= workers)
    assert load.lost == []
    assert load.longest < SLOW * 0.8
    slow.until(lambda: process.get("/hello")[2]["pid"] not in before)
    assert process.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_recycling_with_a_slow_start(slow, workers):
    """A worker that came to its limit serves on until the next one is ready; of two, one at a time."""
    process = slow.serve(params=f"{GTHREAD} --workers {workers} --max-requests 30")
    slow.write("slow_start", "")
    with Load(process) as load:
        slow.until(lambda: len(load.pids) >= 2 * workers)
    assert load.lost == []
    assert load.longest < SLOW * 0.8
    assert process.stop() == 0


@pytest.mark.parametrize("signal_sent", [True, False], ids=["SIGHUP", "max-requests"])
def test_a_new_worker_that_cannot_start(folder, signal_sent):
    """Those that are there serve on, and are replaced once the application can be loaded again."""
    source = (folder.path / "tiny.py").read_text()
    folder.write("tiny.py", "import os.path\nassert not os.path.exists('broken'), 'broken'\n" + source)
    # However long a worker may take for what it has in hand: a reload that failed does not wait for that.
    limit = " --graceful-timeout 1000" if signal_sent else " --max-requests 30"
    process = folder.serve(params=f"{GTHREAD} --workers 2{limit}")
    before = process.workers(2)
    folder.write("broken", "")
    with Load(process) as load:
        if signal_sent:
            process.popen.send_signal(signal.SIGHUP)
        folder.until(lambda: "Those that are there serve on" in process.log)
        answered = load.answered
        folder.until(lambda: load.answered > answered + 100)
        assert load.pids == before
        (folder.path / "broken").unlink()
        if signal_sent:
            process.popen.send_signal(signal.SIGHUP)
        folder.until(lambda: load.pids - before)
    assert load.lost == []
    assert process.stop() == 0


def test_a_reload_of_a_broken_configuration(folder):
    """It is said, and the service goes on with the one it has."""
    folder.write("gunicorn.conf.py", "timeout = 33\n")
    process = folder.serve(params=f"{GTHREAD} --workers 1")
    before = process.workers(1)
    # Of another size: a file of the same second and size has its byte code of before.
    for number, broken in enumerate(("timeout = (", "timeout = -100\n"), 1):
        folder.write("gunicorn.conf.py", broken)
        process.popen.send_signal(signal.SIGHUP)
        folder.until(lambda number=number: process.log.count("the configuration stays as it was") == number)
    folder.until(lambda: process.get("/hello")[2]["pid"] not in before)
    assert process.stop() == 0


def test_a_control_socket_of_its_own(folder):
    """Two services of one user have each theirs; one that is asked for is taken."""
    first, second = (folder.serve(params="--workers 1") for _ in range(2))
    for process in (first, second):
        process.workers(1)
    assert "Failed to start control socket" not in first.log + second.log
