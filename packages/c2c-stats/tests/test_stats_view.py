"""stats.json: what it shows, and who may reset it."""

import pytest

import c2c_stats as stats
from c2c_stats._stats_view import merge, shown

SECRET = "a-secret-of-some-length"


def test_shape_and_headers(make_app):
    """The documented example; never cached."""
    app = make_app()
    stats.init_backends  # noqa: B018 # the application configured it
    stats.set_gauge(["test", "gauge_s"], 42, tags={"toto": "tutu", "value": 24})
    stats.increment_counter(["test", "counter"])
    stats.BACKENDS["memory"].timer(["render"], 0.0002, {"status": 200, "group": 2, "method": "GET", "route": "hello"})
    response = app.get("/c2c/stats.json")
    assert response.content_type == "application/json"
    assert "no-cache" in response.headers["Cache-Control"]
    assert response.json == {
        "timers": {
            "render/group=2/method=GET/route=hello/status=200": {"nb": 1, "avg_ms": 0.2, "min_ms": 0.2, "max_ms": 0.2}
        },
        "gauges": {"test/gauge_s/toto=tutu/value=24": 42},
        "counters": {"test/counter": 1},
    }


def test_reset_returns_then_clears(make_app):
    """Without a secret everybody may reset: it shows all a last time."""
    app = make_app()
    stats.increment_counter(["c"])
    stats.set_gauge(["g"], 1)
    stats.timer(["t"]).stop()
    assert app.get("/c2c/stats.json?reset=1").json["counters"] == {"c": 1}
    after = app.get("/c2c/stats.json").json
    assert (after["counters"], after["gauges"]) == ({}, {})
    assert "t" not in after["timers"]
    stats.increment_counter(["c"], 5)
    stats.set_gauge(["g"], 1)
    again = app.get("/c2c/stats.json").json
    assert (again["counters"], again["gauges"]) == ({"c": 5}, {"g": 1})


def test_reset_needs_an_operator(make_app):
    """With a secret, reading is public, resetting is not; a setting opens it."""
    app = make_app(c2c__secret=SECRET)
    stats.increment_counter(["c"])
    app.get("/c2c/stats.json")
    app.get("/c2c/stats.json?reset=1", status=403)
    assert app.get("/c2c/stats.json?reset=0").json["counters"] == {"c": 1}
    app.get("/c2c/stats.json?reset=1", headers={"X-API-Key": SECRET})
    assert app.get("/c2c/stats.json").json["counters"] == {}
    open_to_all = make_app(c2c__secret=SECRET, c2c__stats_public_reset="true")
    open_to_all.get("/c2c/stats.json?reset=1")


def test_scope_all_of_one_process(make_app):
    """Without Redis all members are this process."""
    app = make_app()
    stats.increment_counter(["c"])
    found = app.get("/c2c/stats.json?scope=all&reset=1").json
    assert (found["counters"], found["members"], found["complete"]) == ({"c": 1}, 1, True)
    assert app.get("/c2c/stats.json?scope=all").json["counters"] == {}


def test_merging():
    """Sums, extremes, and of each gauge the value set last."""
    one = {"timers": {"t": [2, 0.4, 0.1, 0.3]}, "gauges": {"g": [1, 100.0], "h": [7, 1.0]}, "counters": {"c": 1}}
    other = {"timers": {"t": [1, 0.5, 0.5, 0.5]}, "gauges": {"g": [2, 99.0]}, "counters": {"c": 2, "d": 1}}
    for snapshots in ([one, other], [other, one]):
        assert shown(merge(snapshots)) == {
            "timers": {"t": {"nb": 3, "avg_ms": 300, "min_ms": 100, "max_ms": 500}},
            "gauges": {"g": 1, "h": 7},
            "counters": {"c": 3, "d": 1},
        }


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods(make_app, method):
    """What is not GET is refused, or, for POST, does what GET does."""
    app = make_app()
    app.request("/c2c/stats.json", method=method, status=200 if method == "POST" else 405)


@pytest.mark.parametrize("public", ["true", "false"])
def test_what_can_not_be_read_is_a_bad_request(make_app, public):
    """Bytes that are not UTF-8: 400, not 500."""
    app = make_app(c2c__stats_public_reset=public)
    assert "UTF-8" in app.get("/c2c/stats.json?reset=%ff", status=400).json["message"]
