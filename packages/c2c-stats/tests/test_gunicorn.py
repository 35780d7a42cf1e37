"""Several workers, preloaded or not, recycled and killed: nothing is lost, nothing counted twice."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

FOLDER = Path(__file__).parent


def get(url):
    """Return the body of a GET."""
    with urlopen(url, timeout=60) as response:
        return response.read().decode()


def metrics(server):
    """Return sample name and labels -> value of a scrape."""
    families = text_string_to_metric_families(get(f"{server.url}/metrics"))
    return {
        (sample.name, *sorted(value for name, value in sample.labels.items() if name != "pod_name")): sample.value
        for family in families
        for sample in family.samples
    }


def reach(server, workers, n):
    """Send requests, eight at once, until each worker has answered one; return how many were sent."""
    pids, done = set(), 0
    deadline = time.monotonic() + 120
    while len(pids) < workers:
        assert time.monotonic() < deadline, f"only {pids} answered"
        pids |= everywhere(server, n, 8)
        done += 8
    return done


def everywhere(server, n, requests):
    """Send requests at once, so that all workers get some."""
    pids, threads = set(), []

    def one():
        pids.add(get(f"{server.url}/count?n={n}&sleep=0.2"))

    for _ in range(requests):
        threads.append(threading.Thread(target=one))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return pids


@pytest.mark.parametrize("preload", [False, True])
def test_four_workers_count_exactly(gunicorn, statsd_sink, preload):
    """4 workers x 10^5 increments arrive exactly once: in one scrape, and at statsd."""
    server = gunicorn(
        "gunicorn_app:application",
        workers=4,
        preload=preload,
        cwd=FOLDER,
        ready=None,
        env={"STATSD_ADDRESS": statsd_sink.address},
    )
    done = reach(server, 4, 10_000)
    while done < 40:
        everywhere(server, 10_000, 8)
        done += 8
    expected = done * 10_000
    found = metrics(server)
    assert found["c2c_counted_total", "plain"] == expected
    assert found["c2c_bound_total",] == expected
    assert found["c2c_route_seconds_count", "2", "200", "GET", "count"] == done
    assert found["c2c_sql_seconds_count", "SELECT ?"] == done
    assert found["c2c_loaded_total",] == (1 if preload else 4)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        total = sum(metric.value for metric in statsd_sink.named("counted"))
        if total >= expected:
            break
        time.sleep(0.1)
    server.stop()
    assert sum(metric.value for metric in statsd_sink.named("counted")) == expected
    assert sum(metric.value for metric in statsd_sink.named("bound")) == expected
    assert len(statsd_sink.named("route.GET.count.200")) == done


def test_counters_never_go_back(gunicorn):
    """Workers that are killed or recycled leave their counts behind; dead workers' files are taken over."""
    server = gunicorn("gunicorn_app:application", workers=2, cwd=FOLDER, ready=None, args=["--max-requests", "20"])
    sent, before = 0, 0.0
    for turn in range(4):
        everywhere(server, 10, 10)
        sent += 100
        if turn % 2:
            os.kill(server.pids()[0], signal.SIGKILL)
        found = metrics(server)["c2c_counted_total", "plain"]
        assert found >= before
        assert found == sent
        before = found
    families = Path(f"/dev/shm/c2c-{os.geteuid()}").iterdir()
    folder = next(path for path in families if f"-{server.master}-" in path.name) / "stats"
    assert folder.stat().st_mode & 0o777 == 0o700
    metrics(server)
    alive = {str(pid) for pid in server.pids()}
    files = {path.name.split("-")[0] for path in folder.iterdir() if path.name[0].isdigit()}
    # Who begins takes over the file of one that ended.
    assert len(files | alive) <= 3


def test_stats_of_all_members(gunicorn, redis_server):
    """stats.json adds up all workers by broadcast, and resets all."""
    server = gunicorn(
        "gunicorn_app:application",
        workers=3,
        cwd=FOLDER,
        ready=None,
        env={"C2C_REDIS_URL": redis_server.url, "STATS_VIEW": "1", "C2C_BROADCAST_PREFIX": "test_stats_"},
    )
    done = reach(server, 3, 10)
    found = json.loads(get(f"{server.url}/c2c/stats.json?scope=all&reset=1"))
    assert found["counters"]["counted/kind=plain"] == 10 * done
    assert (found["members"], found["complete"]) == (3, True)
    assert found["timers"]["route/GET/count/200"]["nb"] == done
    after = json.loads(get(f"{server.url}/c2c/stats.json?scope=all"))
    assert "counted/kind=plain" not in after["counters"]


def test_first_scrape_of_a_new_worker(gunicorn):
    """A worker that is asked for metrics before anything else knows the numbers of those before it."""
    server = gunicorn("gunicorn_app:application", workers=1, cwd=FOLDER, ready=None, args=["--max-requests", "1"])
    for number in range(1, 3):
        get(f"{server.url}/count?n=10")
        assert metrics(server)["c2c_counted_total", "plain"] == 10 * number
