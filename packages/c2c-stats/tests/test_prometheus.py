"""/metrics: read back by prometheus_client's own parsers."""

import gzip
import resource
import subprocess
import sys

import prometheus_client
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus
from pyramid.request import Request
from pyramid.response import Response

import c2c_stats as stats
from c2c_broadcast import broadcast
from c2c_stats.prometheus import MemoryMapProvider, Provider, add_provider
from c2c_stats.prometheus._scrape import PROVIDERS

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def provide():
    """Give a function that adds a provider until the end of the test."""
    added = []

    def add(provider):
        add_provider(provider)
        added.append(provider)

    yield add
    for provider in added:
        PROVIDERS.remove(provider)


def families(app, accept=None):
    """Return name -> family, read by the parser of the format."""
    response = app.get("/metrics", headers={"Accept": accept} if accept else {})
    parse = openmetrics if accept else prometheus
    found = {}
    for family in parse(response.body.decode()):
        assert family.name not in found
        found[family.name] = family
    return found


def value(found, family, sample, **labels):
    """Return the value of a sample."""
    (one,) = [one.value for one in found[family].samples if one.name == sample and labels.items() <= one.labels.items()]
    return one


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_both_formats(make_app, accept):
    """All kinds, in the Prometheus and the OpenMetrics text format."""

    def configure(config):
        config.add_route("hello", "/hello")
        config.add_view(lambda request: {}, route_name="hello", renderer="json")

    app = make_app(configure)
    app.get("/hello")
    stats.increment_counter(["my", "counter"], 3, tags={"a": 'quote " back \\ new \n line é'})
    stats.increment_counter(["with_total"])
    stats.set_gauge(["my", "gauge"], -1.5)
    stats.bound_timer(["my", "timer"]).observe(0.07)
    found = families(app, accept)
    labels = {"method": "GET", "route": "hello", "status": "200", "group": "2"}
    for name in ("c2c_route_seconds", "c2c_render_seconds"):
        assert found[name].type == "histogram"
        assert value(found, name, f"{name}_count", **labels) == 1
        assert 0 < value(found, name, f"{name}_sum", **labels) < 60
        assert value(found, name, f"{name}_bucket", **labels, le="+Inf") == 1
    assert value(found, "c2c_my_counter", "c2c_my_counter_total", a='quote " back \\ new \n line é') == 3
    assert value(found, "c2c_my_gauge", "c2c_my_gauge") == -1.5
    assert value(found, "c2c_my_timer_seconds", "c2c_my_timer_seconds_bucket", le="0.05") == 0
    assert value(found, "c2c_my_timer_seconds", "c2c_my_timer_seconds_bucket", le="0.1") == 1
    assert found["pod_process_smap_pss_kb"].type == "gauge"
    assert "process_cpu_seconds" not in found


def test_names_that_collide(make_app):
    """A counter, a gauge and a timer of one key, and keys that Prometheus does not allow."""
    app = make_app()
    stats.increment_counter(["a"], 1)
    stats.set_gauge(["a"], 2)
    stats.bound_timer(["a"]).observe(1)
    stats.set_gauge(["a", "seconds"], 4)
    stats.increment_counter(["1 b", "é"], tags={"1 le": "x", "le": "y", "__name__": "z"})
    found = families(app)
    assert value(found, "c2c_a", "c2c_a_total") == 1
    assert value(found, "c2c_a_gauge", "c2c_a_gauge") == 2
    assert value(found, "c2c_a_seconds", "c2c_a_seconds_count") == 1
    assert value(found, "c2c_a_seconds_gauge", "c2c_a_seconds_gauge") == 4
    assert value(found, "c2c_1_b__", "c2c_1_b___total", _1_le="x", le_="y", _name__="z") == 1


def test_gzip_and_headers(make_app):
    """Compressed where that is accepted; the type that Prometheus asked for; never cached."""
    app = make_app()
    # Not by WebTest, which undoes the compression.
    response = Request.blank("/metrics", headers={"Accept-Encoding": "gzip"}).get_response(app.app)
    assert response.headers["Content-Encoding"] == "gzip"
    assert b"pod_process_smap" in gzip.decompress(response.body)
    plain = app.get("/metrics")
    assert "Content-Encoding" not in plain.headers
    assert plain.headers["Content-Type"].startswith("text/plain; version=")
    assert (
        app.get("/metrics", headers={"Accept": OPENMETRICS})
        .headers["Content-Type"]
        .startswith("application/openmetrics-text")
    )
    assert "no-cache" in plain.headers["Cache-Control"]
    app.post("/metrics", status=404)


def test_settings(make_app):
    """The prefix and the buckets can be set, also for a handle that was made before."""
    timer = stats.bound_timer(["t"])
    app = make_app(c2c__prometheus_prefix="my_", c2c__prometheus_buckets="1, 2.5")
    timer.observe(2)
    found = families(app)
    buckets = [sample for sample in found["my_t_seconds"].samples if sample.name.endswith("_bucket")]
    assert [(sample.labels["le"], sample.value) for sample in buckets] == [("1.0", 0), ("2.5", 1), ("+Inf", 1)]


def test_provider(make_app, provide):
    """A provider's data, with and without the names of pod and service."""

    class Mine(Provider):
        def __init__(self, extend):
            super().__init__("my_metrics" + ("" if extend else "_bare"), "My Metric", type_="gauge", extend=extend)

        def get_data(self):
            return [({"key": 'value\n"\\', "n": 1, "none": None}, 12.5)]

    provide(Mine(extend=True))
    provide(Mine(extend=False))
    app = make_app()
    for accept in (None, OPENMETRICS):
        found = families(app, accept)
        assert found["my_metrics"].documentation == "My Metric"
        assert value(found, "my_metrics", "my_metrics", key='value\n"\\', n="1") == 12.5
        assert "pod_name" in found["my_metrics"].samples[0].labels
        assert found["my_metrics_bare"].samples[0].labels == {"key": 'value\n"\\', "n": "1"}


def test_provider_that_raises(make_app, provide, caplog):
    """It is left out, logged and counted; all others are there."""

    class Bad(Provider):
        def get_data(self):
            raise ZeroDivisionError

    class Good(Provider):
        def get_data(self):
            return [({}, 1)]

    class NoText:
        def collect(self):
            metric = prometheus_client.metrics_core.Metric("no_text", "x", "gauge")
            metric.add_sample("no_text", {"a": "\ud800"}, 1)
            yield metric

    for one in (Bad("bad", "x"), NoText(), Good("good", "x")):
        provide(one)
    app = make_app()
    assert "bad" not in families(app)
    found = families(app)
    assert value(found, "good", "good") == 1
    assert "no_text" not in found
    assert value(found, "c2c_provider_errors", "c2c_provider_errors_total", provider="bad") == 2
    assert value(found, "c2c_provider_errors", "c2c_provider_errors_total", provider="NoText") == 2
    assert "Metrics of bad are left out" in caplog.text


def test_provider_that_broadcasts(make_app, provide):
    """A provider may ask the other processes."""

    class Asks(Provider):
        def get_data(self):
            return [({"n": str(n)}, one["n"]) for n, one in enumerate(broadcast.broadcast("test_n", {}, True))]

    broadcast.subscribe("test_n", lambda: {"n": 7})
    try:
        provide(Asks("asks", "x"))
        assert value(families(make_app()), "asks", "asks", n="0") == 7
    finally:
        broadcast.unsubscribe("test_n")


def test_memory_map_providers(make_app, provide):
    """Other sizes beside the default; the default again changes nothing."""
    import os

    provide(MemoryMapProvider("rss", pids=[os.getpid()]))
    provide(MemoryMapProvider("pss", pids=[os.getpid()]))
    found = families(make_app())
    for field in ("pss", "rss"):
        name = f"pod_process_smap_{field}_kb"
        assert value(found, name, name, pid=str(os.getpid()), name="[stack]") > 0


def test_custom_collectors(make_app, provide):
    """What is registered with prometheus_client, and collectors given to us, are shown."""
    counter = prometheus_client.Counter("custom_things", "Things")
    counter.inc(4)
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.Gauge("own_registry", "x", registry=registry).set(5)
    provide(registry)
    try:
        found = families(make_app())
        assert value(found, "custom_things", "custom_things_total") == 4
        assert value(found, "own_registry", "own_registry") == 5
    finally:
        prometheus_client.REGISTRY.unregister(counter)


def test_bad_providers():
    """A name or type that Prometheus does not know, or no get_data, is an error at once."""

    class Empty(Provider):
        def get_data(self):
            return []

    with pytest.raises(ValueError, match="speed"):
        Empty("a", "x", type_="speed")
    with pytest.raises(ValueError, match="metric name"):
        Empty("", "x")
    with pytest.raises(TypeError, match="get_data"):
        Provider("a", "x")


def test_view_with_default_permission(make_app):
    """Prometheus needs no permission, whatever the application's default is."""
    from pyramid.authorization import ACLHelper

    class Nobody:
        def permits(self, request, context, permission):
            return ACLHelper().permits(context, [], permission)

        def authenticated_userid(self, request):
            return None

        identity = authenticated_userid

    def configure(config):
        config.set_security_policy(Nobody())
        config.set_default_permission("secret")
        config.add_route("closed", "/closed")
        config.add_view(lambda request: Response("x"), route_name="closed")

    app = make_app(configure)
    app.get("/closed", status=403)
    app.get("/metrics")


def test_buckets_that_change():
    """Histograms of one series, of workers before and after a reload with other buckets, are one."""
    from c2c_stats.prometheus._exposition import Names, Record
    from c2c_stats.prometheus._exposition import families as expose

    old = Record("timer", ("t",), (), (0.1, 1.0, 5.0), (7.5, 1, 2, 0, 1))
    new = Record("timer", ("t",), (), (0.5, 1.0), (2.5, 3, 0, 4))
    (family,) = expose([new, old], "", Names())
    assert [(sample.name, sample.labels.get("le"), sample.value) for sample in family.samples] == [
        ("t_seconds_bucket", "1.0", 6),
        ("t_seconds_bucket", "+Inf", 11),
        ("t_seconds_count", None, 11),
        ("t_seconds_sum", None, 10),
    ]


def test_no_page(make_app):
    """With C2C_METRICS_PATH=none the application has no page of metrics, and no link to one."""
    app = make_app(c2c__metrics_path="none")
    app.get("/metrics", status=404)


FORKED = """
import os
import c2c_stats as stats
from c2c_stats.prometheus import enable_prometheus
from c2c_stats.prometheus._scrape import answer
stats.init_backends({"c2c.stats_view": "true"})
enable_prometheus()
counter = stats.bound_counter(["c"])
counter.inc(10)
stats.timer(["t"]).stop()
if os.fork() == 0:
    counter.inc()
    stats.timer(["t"]).stop()
    lines = answer("", "")[0].decode().splitlines()
    print([line for line in lines if line.startswith(("c2c_c_total", "c2c_t_seconds_count"))])
    snapshot = stats.BACKENDS["memory"].snapshot()
    print(snapshot["counters"], snapshot["timers"]["t"][0], flush=True)
    os._exit(0)
os.wait()
"""


def test_a_fork_counts_nothing_twice():
    """What the parent recorded is the parent's: the sum of both has it once, the child's own numbers do not have it."""
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines() == ["['c2c_t_seconds_count 2.0', 'c2c_c_total 11.0']", "{'c': 1.0} 1.0"]


def test_what_can_not_be_read_is_no_sum(make_app):
    """Where nothing can be opened, the numbers of this process alone would be a step back: there are none."""
    app = make_app()
    app.get("/metrics")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        answer = app.get("/metrics", status=503)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert "Too many open files" in answer.text
    app.get("/metrics")
