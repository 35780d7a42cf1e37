"""The names of c2cwsgiutils 6."""

import argparse
import os
import pstats
import runpy
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Gauge
from prometheus_client.registry import CollectorRegistry
from pyramid.config import Configurator

import c2cwsgiutils.broadcast
import c2cwsgiutils.config_utils
import c2cwsgiutils.health_check
import c2cwsgiutils.pretty_json
import c2cwsgiutils.profiler
import c2cwsgiutils.prometheus
import c2cwsgiutils.scripts.genversion

NAMES = Path(__file__).parent / "names_of_six.py"


@pytest.fixture(autouse=True)
def _six(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C2C_COMPAT_ERA", "6")


def test_all_names_are_there() -> None:
    """Every public name resolves, with its parameters, and the command that the README names prints each."""
    states = list(runpy.run_path(str(NAMES))["states"]())
    assert [(name, why) for name, _, why in states if why is not None] == []
    assert sum(used for _, used, _ in states) >= 63
    done = subprocess.run([sys.executable, NAMES], capture_output=True, text=True, check=True)
    lines = [line.partition("\tc2c")[0] for line in done.stdout.splitlines()[:-1]]
    assert set(lines) == {"ok\tpublic", "ok\tused by services"}
    assert len(lines) == len(states)
    assert "packages/c2c-compat/tests/names_of_six.py" in (NAMES.parent.parent / "README.md").read_text()


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment comes first, empty is nothing, and what is neither true nor false is an error."""
    utils = c2cwsgiutils.config_utils
    config = Configurator(settings={"rivers.count": "3"})
    assert utils.env_or_config(config, "RIVERS_COUNT", "rivers.count", 1, int) == 3
    monkeypatch.setenv("RIVERS_COUNT", "")
    assert utils.env_or_config(config, "RIVERS_COUNT", "rivers.count", 1, int) == 3
    monkeypatch.setenv("RIVERS_COUNT", "4")
    assert utils.env_or_config(config, "RIVERS_COUNT", "rivers.count", 1, int) == 4
    assert utils.env_or_settings({}, "NOWHERE", "nowhere", 7) == 7
    assert [utils.config_bool(one) for one in ("true", "T", "yes", "1", "no", "", None)] == [True] * 4 + [False] * 3
    with pytest.raises(ValueError, match="neither true nor false"):
        utils.config_bool("maybe")
    assert utils.get_base_path(config) == "/c2c"


def test_fast_dumps() -> None:
    """The serializer writes decimals as numbers, without a space unless it indents."""
    fast_dumps = c2cwsgiutils.pretty_json._FastDumps
    assert fast_dumps(False, False)({"b": Decimal("3.3"), "a": 1}) == '{"b":3.3,"a":1}'
    assert fast_dumps(True, True)({"a": 1}) == '{\n  "a": 1\n}'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("name==1", ("name", "1")),
        ("# Editable install with no version control (name==1)", ("name", "1")),
        ("(name===latest)", ("name", "latest")),
        ("-e git+https://example.com/x", (None, None)),
    ],
)
def test_a_line_of_pip_freeze(line: str, expected: tuple[str | None, str | None]) -> None:
    """A line gives name and version in three forms."""
    assert c2cwsgiutils.scripts.genversion._get_package_version(line) == expected


def test_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A function that is decorated writes its profile, and prints the first functions."""
    path = tmp_path / "x.prof"

    @c2cwsgiutils.profiler.Profile(path, 3)
    def work() -> int:
        return sum(range(100))

    assert work() == 4950
    assert any(name == "work" for _, _, name in pstats.Stats(str(path)).stats)
    assert "cumulative" in capsys.readouterr().out


def test_arguments_of_a_script() -> None:
    """A variable that is not name=value is one line and exit 2."""
    from c2cwsgiutils.setup_process import bootstrap_application_from_options, fill_arguments

    parser = argparse.ArgumentParser()
    fill_arguments(parser)
    assert parser.parse_args([]).config_uri == "c2c:///app/production.ini"
    options = argparse.ArgumentParser()
    fill_arguments(options, use_attribute=True)
    assert options.parse_args(["--config-vars", "a=b"]).config_vars == ["a=b"]
    with pytest.raises(SystemExit) as caught:
        bootstrap_application_from_options(parser.parse_args(["x.ini", "a"]))
    assert caught.value.code == 2


def test_metrics_of_other_processes() -> None:
    """A channel whose subscriber tells what a collector has gives its metrics, with the process's id."""
    prometheus = c2cwsgiutils.prometheus
    gauge = Gauge("rivers", "Rivers", registry=None)
    gauge.set(7)
    c2cwsgiutils.broadcast.subscribe("rivers_metrics", lambda: prometheus.serialize_collected_data(gauge))
    prometheus.MULTI_PROCESS_COLLECTOR_BROADCAST_CHANNELS.append("rivers_metrics")
    try:
        registry = CollectorRegistry()
        registry.register(prometheus.MultiProcessCustomCollector())
        (metric,) = registry.collect()
        assert [(sample.name, sample.value, set(sample.labels)) for sample in metric.samples] == [
            ("rivers", 7, {"pid"})
        ]
    finally:
        prometheus.MULTI_PROCESS_COLLECTOR_BROADCAST_CHANNELS.clear()
        c2cwsgiutils.broadcast.unsubscribe("rivers_metrics")


def test_who_tells_no_metrics() -> None:
    """A process that does not tell its metrics in time is named in a metric."""
    prometheus = c2cwsgiutils.prometheus
    c2cwsgiutils.broadcast.subscribe("slow_metrics", lambda: time.sleep(4))
    prometheus.MULTI_PROCESS_COLLECTOR_BROADCAST_CHANNELS.append("slow_metrics")
    try:
        (metric,) = prometheus.MultiProcessCustomCollector().collect()
        assert metric.name == "c2cwsgiutils_silent"
        assert str(os.getpid()) in {sample.labels["pid"] for sample in metric.samples}
    finally:
        prometheus.MULTI_PROCESS_COLLECTOR_BROADCAST_CHANNELS.clear()
        c2cwsgiutils.broadcast.unsubscribe("slow_metrics")


@pytest.mark.parametrize(("port", "said"), [("x", "is not a port"), ("70000", "is not a port")])
def test_a_port_that_is_none(monkeypatch: pytest.MonkeyPatch, port: str, said: str) -> None:
    """A port that can't be read is an error; an empty one is none."""
    monkeypatch.setenv("C2C_PROMETHEUS_PORT", "")
    c2cwsgiutils.prometheus.start()
    monkeypatch.setenv("C2C_PROMETHEUS_PORT", port)
    with pytest.raises(Exception, match=said):
        c2cwsgiutils.prometheus.start()


def test_a_port_that_is_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, http_sink: Any
) -> None:
    """A port that is taken is one error line, and the service runs."""
    monkeypatch.setenv("C2C_PROMETHEUS_PORT", http_sink.url.rsplit(":", 1)[1].strip("/"))
    c2cwsgiutils.prometheus.start()
    assert [record.levelname for record in caplog.records if "C2C_PROMETHEUS_PORT" in record.getMessage()] == ["ERROR"]


def test_redis_check_by_name() -> None:
    """The first argument of a Redis check is a URL, host:port, or the name."""
    config = Configurator(settings={"c2c.redis_url": "redis://localhost:1/0"})
    checks = c2cwsgiutils.health_check.HealthCheck(config)
    checks.add_redis_check("the redis", level=4)
    checks.add_redis_check("localhost:1", level=4)
    with pytest.raises(Exception, match="needs a Redis"):
        c2cwsgiutils.health_check.HealthCheck(Configurator()).add_redis_check("x")


def test_json_of_a_failure() -> None:
    """The exception of a check gives its content."""
    assert c2cwsgiutils.health_check.JsonCheckException("x", {"a": 1}).json_data() == {"a": 1}


def test_collectors_of_services() -> None:
    """Memory by mapped file, what the system counts of the process, and its memory: for a service's own registry."""
    prometheus = c2cwsgiutils.prometheus
    (maps,) = prometheus.MemoryMapCollector("rss", [str(os.getpid())]).collect()
    assert maps.name == "c2cwsgiutils_process_smap_rss_bytes"
    assert {frozenset(sample.labels) for sample in maps.samples} == {frozenset({"pid", "name"})}
    assert sum(sample.value for sample in maps.samples) > 1_000_000
    (resource,) = prometheus.ResourceCollector().collect()
    assert resource.name == "c2cwsgiutils_python_resource"
    assert {"utime", "maxrss", "minflt"} <= {sample.labels["name"] for sample in resource.samples}
    (memory,) = prometheus.MemoryInfoCollector().collect()
    assert memory.name == "c2cwsgiutils_python_memory_info"
    found = {sample.labels["name"]: sample.value for sample in memory.samples}
    assert set(found) == {"rss", "vms", "shared", "text", "lib", "data", "dirty"}
    assert found["vms"] >= found["rss"] > 1_000_000
