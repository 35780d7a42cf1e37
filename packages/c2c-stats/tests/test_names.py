"""One series, one name: whatever keys there are, the page of metrics is one that Prometheus reads."""

import enum
import os
import subprocess
import sys
import threading
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from importlib import metadata
from urllib.request import Request, urlopen

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

import c2c_stats as stats
from c2c_stats.prometheus import (
    Provider,
    add_provider,
    enable_prometheus,
    metrics_app,
    start_http_server,
)
from c2c_stats.prometheus._scrape import PROVIDERS, answer

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def scrape(accept=""):
    """Return a scrape's text."""
    return answer(accept, "")[0].decode()


def values():
    """Return the values of a scrape, by name and labels as they are written."""
    return dict(line.rsplit(" ", 1) for line in scrape().split("\n") if line and line[0] != "#")


def holds(text, parse):
    """Hold that a text is what a parser reads, and that nothing is in it twice."""
    list(parse(text))
    found = Counter(line.rsplit(" ", 1)[0] for line in text.split("\n") if line and line[0] != "#")
    assert not [name for name, times in found.items() if times > 1]


# Parts that meet each other: what is derived, what is replaced, and anything.
PARTS = st.one_of(
    st.sampled_from(
        ["a", "a-b", "a_b", "a.b", "total", "count", "sum", "bucket", "created", "seconds", "le", "info", ""]
    ),
    st.text(max_size=5),
)
TAGS = st.dictionaries(st.sampled_from(["x", "x-y", "x_y", "le", "quantile", "__x", "1", "\u00e9"]), PARTS, max_size=3)
CALLS = st.lists(st.tuples(st.sampled_from("cgt"), st.lists(PARTS, min_size=1, max_size=3), TAGS), max_size=25)


@settings(max_examples=60)
@given(CALLS)
def test_any_keys(calls):
    """Random keys and tags of all kinds: both formats are read, by prometheus_client's parsers, and nothing is lost."""
    stats.init_backends({})
    enable_prometheus()
    counted = 0
    for kind, key, tags in calls:
        if kind == "c":
            counted += 1
            stats.increment_counter(key, 1, tags)
        elif kind == "g":
            stats.set_gauge(key, 2, tags)
        else:
            stats.timer(key, tags).stop()
    holds(scrape(), parse_text)
    holds(scrape(OPENMETRICS), parse_openmetrics)
    totals = sum(
        sample.value
        for family in parse_openmetrics(scrape(OPENMETRICS))
        for sample in family.samples
        if family.type == "counter" and not family.name.startswith("c2c_provider")
    )
    assert totals == counted


def test_keys_that_become_equal():
    """Counters and timers are added up, gauges are told apart; derived names are others' too."""
    enable_prometheus()
    stats.increment_counter(["layer", "wms-1"], 3)
    stats.increment_counter(["layer", "wms_1"], 4)
    stats.increment_counter(["tiles"], 1, {"z-x": "1"})
    stats.increment_counter(["tiles"], 2, {"z_x": "1"})
    stats.increment_counter(["both"], 1, {"z-x": "1", "z_x": "2"})
    stats.set_gauge(["open-files"], 1)
    stats.set_gauge(["open_files"], 2)
    stats.set_gauge(["tiles_total"], 5)
    stats.timer(["wait"]).stop()
    stats.set_gauge(["wait", "seconds", "sum"], 7)
    found = values()
    assert found["c2c_layer_wms_1_total"] == "7.0"
    assert found['c2c_tiles_total{z_x="1"}'] == "3.0"
    assert found['c2c_both_total{z_x="1",z_x_2="2"}'] == "1.0"
    assert sorted((found["c2c_open_files"], found["c2c_open_files_2"])) == ["1.0", "2.0"]
    assert found["c2c_tiles_total_gauge"] == "5.0"
    assert found["c2c_wait_seconds_count"] == "1.0"
    assert found["c2c_wait_seconds_sum_gauge"] == "7.0"


def test_collectors_that_do_not_know_each_other(monkeypatch):
    """A provider's metric that has another one's name, or one that we derive, is there under a name of its own."""

    class Mine(Provider):
        def __init__(self):
            super().__init__("c2c_jobs", "Jobs", type_="counter", extend=False)

        def get_data(self):
            return [({"a-b": 1}, 8), ({"a_b": 1}, 9), ({}, 1)]

    registry = CollectorRegistry()
    Gauge("c2c_jobs_total", "Others", registry=registry).set(6)
    mine = Mine()
    enable_prometheus()
    for one in (mine, registry):
        add_provider(one)
    try:
        stats.increment_counter(["jobs"], 2)
        found = values()
        holds(scrape(OPENMETRICS), parse_openmetrics)
    finally:
        for one in (mine, registry):
            PROVIDERS.remove(one)
    assert found['c2c_jobs_total{a_b="1"}'] == "9.0"
    assert found["c2c_jobs_total"] == "1.0"
    assert found["c2c_jobs_total_gauge"] == "6.0"
    assert found["c2c_jobs_counter_total"] == "2.0"


def test_openmetrics_is_version_1(monkeypatch):
    """Whatever version is asked for: 1.0.0 is what is given, and said."""
    enable_prometheus()
    for asked in ("1.0.0", "2.0.0", "0.0.1", "1.0.0; escaping=allow-utf-8"):
        body, headers = answer(f"application/openmetrics-text; version={asked}, */*", "")
        assert dict(headers)["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert body.endswith(b"# EOF\n")
    assert dict(answer("text/plain; version=1.0.0", "")[1])["Content-Type"].startswith("text/plain; version=0.0.4")


class Plain(enum.Enum):
    """Values of any kind."""

    RED = "red"
    ONE = 1


class Text(str, enum.Enum):  # noqa: UP042 # as code of before Python 3.11 has it
    """Members that are texts."""

    RED = "red"


class Newer(enum.StrEnum):
    """Members that are texts, and say so."""

    RED = "red"


@pytest.mark.parametrize("first", [["a", "b"], "ab", ["ab"]])
def test_a_text_is_a_key_of_one_part(memory, first):
    """Whichever was there first, "ab" and ["a", "b"] are two keys, and "ab" and ["ab"] one."""
    stats.increment_counter(first, 0)
    for _ in range(2):
        stats.increment_counter(["a", "b"], 1)
        stats.increment_counter("ab", 10)
        stats.increment_counter(["ab"], 100)
        with stats.timer_context("ab"):
            pass
        stats.set_gauge("ab", 1)
    assert memory()["counters"] == {"a/b": 2, "ab": 220}
    assert set(memory()["timers"]) == set(memory()["gauges"]) == {"ab"}


@pytest.mark.parametrize("turned", [False, True])
def test_enumerations_are_their_values(memory, turned):
    """A member of an enumeration is what its value is, in keys and tags, whichever comes first."""
    parts = ["red", Plain.RED, Text.RED, Newer.RED]
    for part in reversed(parts) if turned else parts:
        stats.increment_counter(["color", part])
        stats.increment_counter(["paint"], tags={"color": part})
    stats.increment_counter(["number", Plain.ONE])
    assert memory()["counters"] == {"color/red": 4, "paint/color=red": 4, "number/1": 1}


def test_a_part_that_is_no_tag(memory):
    """A pair in a key and a tag of the same words are two series."""
    stats.increment_counter(["a"], 1, {"k": "v"})
    stats.increment_counter(["a", ("k", "v")], 10)
    stats.increment_counter(["a"], 1, {"k": "v"})
    assert memory()["counters"] == {"a/k=v": 2, "a/('k', 'v')": 10}


@pytest.mark.parametrize("number", [Fraction(1, 2), Decimal("0.5")])
def test_exact_totals_of_other_numbers(memory, number):
    """Their addition is Python code, in which threads change: nothing is lost of them nevertheless."""
    counter, timer = stats.bound_counter(["c"]), stats.bound_timer(["t"])
    told = []

    class Backend:
        def counter(self, key, increment, tags=None):
            told.append(type(increment))

        timer = gauge = counter

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:

        def work():
            for _ in range(5_000):
                counter.inc(number)
                timer.observe(number)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert memory()["counters"]["c"] == 20_000
    assert timer.cells[0] == 20_000
    assert timer.count() == 40_000
    stats.BACKENDS["mine"] = Backend()
    counter.inc(number)
    assert told == [float]


def test_scrapes_without_pyramid():
    """A daemon serves its numbers from a thread, on any path, compressed where asked; only to read."""
    stats.init_backends({})
    server = start_http_server(0, "127.0.0.1")
    try:
        stats.increment_counter(["jobs"], 3)
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        with urlopen(url, timeout=60) as found:
            assert "c2c_jobs_total 3.0" in found.read().decode()
        with urlopen(Request(url, headers={"Accept": OPENMETRICS, "Accept-Encoding": "gzip"}), timeout=60) as found:
            assert found.headers["Content-Encoding"] == "gzip"
        with urlopen(Request(url, method="HEAD"), timeout=60) as found:
            assert found.read() == b""
    finally:
        server.shutdown()
        server.server_close()
    statuses = []
    assert list(metrics_app({"REQUEST_METHOD": "POST"}, lambda status, _headers: statuses.append(status))) == []
    assert statuses == ["405 Method Not Allowed"]


SETS = {
    "opentelemetry": {
        "http_server_request_duration_seconds_count"
        '{http_request_method="GET",http_response_status_code="200",http_route="hello"}': "1.0",
        "http_client_request_duration_seconds_count"
        '{http_request_method="GET",http_response_status_code="404",server_address="a",server_port="80",'
        'url_scheme="http"}': "1.0",
        "db_client_operation_duration_seconds_count"
        '{db_operation_name="",db_query_summary="SELECT ?",db_system_name="other_sql"}': "1.0",
        "db_client_operation_duration_seconds_count"
        '{db_operation_name="GET",db_query_summary="",db_system_name="redis"}': "2.0",
    },
    "c2cwsgiutils6": {
        'c2cwsgiutils_pyramid_routes_seconds_count{group="200",method="GET",route="hello",status="200"}': "1.0",
        "c2cwsgiutils_requests_seconds_count"
        '{group="400",hostname="a",method="GET",port="80",scheme="http",status="404"}': "1.0",
        'c2cwsgiutils_database_seconds_count{engine="None",what="SELECT ?"}': "1.0",
        'c2cwsgiutils_redis_seconds_count{command="GET"}': "2.0",
    },
}


@pytest.mark.parametrize("name_set", SETS)
def test_names_of_others(name_set):
    """Automatic metrics have the names and labels that ready-made dashboards ask for; one's own stay as they are."""
    stats.init_backends({"c2c.prometheus_names": name_set})
    enable_prometheus()
    hello = {"method": "GET", "route": "hello", "status": "200", "group": "2"}
    stats.automatic("timer", ("route",), hello).observe(0.1)
    there = {"scheme": "http", "host": "a", "port": 80, "method": "GET", "status": 404}
    stats.automatic("timer", ("requests",), there).observe(0.1)
    engine = {"engine": "None"} if name_set == "c2cwsgiutils6" else None
    stats.automatic("timer", ("sql",), {"query": "SELECT ?"}, labels=engine).observe(0.1)
    for success in ("0", "1"):
        stats.automatic("timer", ("redis",), {"cmd": "GET", "success": success}).observe(0.1)
    stats.increment_counter(["mine"])
    found = values()
    assert {name: found.get(name) for name in SETS[name_set]} == SETS[name_set]
    assert found["c2c_mine_total"] == "1.0"
    holds(scrape(OPENMETRICS), parse_openmetrics)


SIX = {"c2c.prometheus_names": "c2cwsgiutils6", "c2c.prometheus_buckets": "none"}


def test_summaries_and_processes_of_six(monkeypatch):
    """Without buckets timers are summaries; each process has its memory, its numbers and its versions, with its pid."""
    monkeypatch.setenv("GIT_HASH", "abc")
    packages = {"c2c.prometheus_packages": "webob, no-such", "c2c.prometheus_application_package": "pyramid"}
    stats.init_backends({**SIX, **packages})
    enable_prometheus()
    stats.automatic("gauge", ("health_check_state",), {"name": "db"}).set(1)
    stats.automatic("gauge", ("health_check_state",), {"name": "url"}).set(0)
    stats.automatic("timer", ("sql", "manual", "health_check", "db"), {}, labels={"name": "ro"}).observe(0.1)
    found = values()
    holds(scrape(OPENMETRICS), parse_openmetrics)
    holds(scrape(), parse_text)
    assert found['c2cwsgiutils_health_check_failure{name="db"}'] == "0.0"
    assert found['c2cwsgiutils_health_check_failure{name="url"}'] == "1.0"
    check = 'check="database",configuration="<default>",connection="ro"'
    assert found[f"c2cwsgiutils_health_check_db_seconds_count{{{check}}}"] == "1.0"
    assert not [name for name in found if "_bucket" in name]
    pid = f'pid="{os.getpid()}"'
    for name in ("process_open_fds", "process_cpu_seconds_total", "process_start_time_seconds"):
        assert float(found[f"{name}{{{pid}}}"]) > 0
    assert [name for name in found if name.startswith("python_gc_collections_total{") and pid in name]
    assert [name for name in found if name.startswith("c2cwsgiutils_process_smap_pss_bytes{") and pid in name]
    (version,) = [name for name in found if name.startswith("c2cwsgiutils_version{")]
    assert 'git_hash="abc"' in version
    assert 'no_such="<missing>"' in version
    assert f'application="{metadata.version("pyramid")}"' in version
    assert [name for name in found if name.startswith("python_info{")]


def test_a_prefix_of_ones_own_in_six():
    """C2C_PROMETHEUS_PREFIX takes the place of 6's own."""
    stats.init_backends({**SIX, "c2c.prometheus_prefix": "geo_"})
    enable_prometheus()
    stats.automatic("timer", ("route",), {"method": "GET", "route": "hello", "status": "404", "group": "4"}).observe(1)
    labels = 'group="400",method="GET",route="hello",status="404"'
    assert values()[f"geo_pyramid_routes_seconds_sum{{{labels}}}"] == "1.0"


def test_the_registry_of_prometheus_client_in_six():
    """Who serves prometheus_client's own registry, as scripts of 6 do, has what was recorded; our page has it once."""
    for _ in range(2):
        stats.init_backends(SIX)
        enable_prometheus()
    stats.automatic("timer", ("redis",), {"cmd": "GET", "success": "1"}).observe(1)
    name = 'c2cwsgiutils_redis_seconds_count{command="GET"}'
    assert f"{name} 1.0" in generate_latest(REGISTRY).decode()
    assert values()[name] == "1.0"
    holds(scrape(OPENMETRICS), parse_openmetrics)
    stats.init_backends({})
    assert name not in generate_latest(REGISTRY).decode()


def test_settings_of_what_runs_without_pyramid(monkeypatch):
    """The environment and ini settings say how metrics are called, where nothing else has said it in this process."""
    program = (
        "from c2c_stats.prometheus import enable_prometheus, metrics_app; import c2c_stats\n"
        "enable_prometheus({'c2c.prometheus_prefix': 'mine_'}); c2c_stats.increment_counter(['a'])\n"
        "print(b''.join(metrics_app({'REQUEST_METHOD': 'GET'}, lambda *_: None)).decode())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert "mine_a_total 1.0" in done.stdout
