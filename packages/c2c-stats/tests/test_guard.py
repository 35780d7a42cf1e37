"""The cardinality guard."""

import random
import string
import tracemalloc

import requests
from pyramid.request import Request
from pyramid.response import Response

import c2c_stats as stats
from c2c_stats._series import MOST_NAMES, MOST_SERIES
from c2c_stats._sink import SINK
from c2c_stats._spies.pyramid import tween_factory


def word():
    """Return something that was never seen."""
    return "".join(random.choices(string.ascii_letters, k=12))


def test_tags_are_bounded(memory, caplog):
    """10^5 values of one tag leave the limit and one overflow series, one warning that names the tag, flat memory."""
    for _ in range(2 * MOST_SERIES):
        stats.increment_counter(["hits"], tags={"method": "GET", "user": word()})
    for _ in range(90_000 - 2 * MOST_SERIES):
        stats.increment_counter(["hits"], tags={"method": "GET", "user": word()})
    tracemalloc.start()
    for _ in range(10_000):
        stats.increment_counter(["hits"], tags={"method": "GET", "user": word()})
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    counters = memory()["counters"]
    assert len(counters) == MOST_SERIES + 1
    assert counters["hits/method=_overflow/user=_overflow"] == 100_000 - MOST_SERIES
    assert sum(counters.values()) == 100_000
    assert grown < 200_000
    (record,) = caplog.records
    assert "'user'" in record.getMessage()


def test_keys_are_bounded(memory, caplog):
    """So are keys that hold what should be a tag."""
    for _ in range(3 * MOST_NAMES):
        stats.increment_counter(["user", word()])
    counters = memory()["counters"]
    assert len(counters) <= MOST_NAMES + 1
    assert counters["_overflow"] >= 2 * MOST_NAMES
    assert sum(counters.values()) == 3 * MOST_NAMES
    assert len(caplog.records) == 1


def test_series_that_are_known_go_on(memory):
    """What was there before the flood is still counted by itself."""
    stats.increment_counter(["hits"], tags={"user": "me"})
    for _ in range(2 * MOST_SERIES):
        stats.increment_counter(["hits"], tags={"user": word()})
    stats.increment_counter(["hits"], tags={"user": "me"})
    assert memory()["counters"]["hits/user=me"] == 2


_MANY = 100_000


def test_random_methods_and_paths(make_app):
    """10^5 random methods and paths are a handful of series: _OTHER, _not_found; 500 of them of a real application."""
    app = make_app()
    for _ in range(500):
        app.request("/" + word(), method=word().upper(), status="*")
    answer = Response(status=404)
    tween = tween_factory(lambda _request: answer, app.app.registry)
    environ = Request.blank("/").environ
    for _ in range(_MANY - 500):
        tween(Request({**environ, "REQUEST_METHOD": word().upper(), "PATH_INFO": "/" + word()}))
    timers = app.get("/c2c/stats.json").json["timers"]
    assert [key for key in timers if not key.endswith("/c2c_stats/200")] == ["route/_OTHER/_not_found/404"]
    assert timers["route/_OTHER/_not_found/404"]["nb"] == _MANY
    assert len(SINK.shortcuts) <= 10_000


def test_random_sql_literals():
    """10^5 statements with other literals are one series, and the memory of texts is bounded."""
    from c2c_stats._spies import sqlalchemy as spy

    stats.init_backends({"c2c.stats_view": "true"})
    for number in range(_MANY):
        spy._record(f"SELECT a FROM t WHERE b = '{word()}' AND c = {number}", None, 0.001)
    timers = stats.BACKENDS["memory"].snapshot()["timers"]
    assert {key: one[0] for key, one in timers.items()} == {"sql/SELECT FROM t WHERE b = ? AND c = ?": _MANY}
    assert len(SINK.shortcuts) <= 10_000
    spy._record(f"SELECT a FROM t WHERE b = '{word() * 1_000}'", None, 0.001)
    assert max(len(key) for key in SINK.shortcuts if isinstance(key, str)) < 2_000, "a long text is not kept"


def test_random_hosts_of_requests():
    """10^5 random hosts of outgoing requests end in the overflow series."""
    from c2c_stats._spies import requests_library

    stats.init_backends({"c2c.stats_view": "true"})
    request = requests.Request("GET", "http://example/").prepare()
    for number in range(_MANY):
        request.url = f"http://{number}-{word()}.example/"
        requests_library._record(request, 200, 0.001)
    timers = stats.BACKENDS["memory"].snapshot()["timers"]
    assert len(timers) == MOST_SERIES + 1
    assert timers["requests/_overflow"][0] == _MANY - MOST_SERIES
    assert len(SINK.shortcuts) <= 10_000
