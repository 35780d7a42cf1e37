"""Memory maps, read from a checked-in /proc and from the real one."""

import os
from pathlib import Path

import pytest

from c2c_stats.prometheus._providers import MemoryMapProvider, pod_labels

PROC = Path(__file__).parent / "proc"


def memory_maps(pid, field, proc):
    """Return name of what a process has mapped -> kB."""
    return {labels["name"]: number for labels, number in MemoryMapProvider(field, [pid], proc).get_data()}


def test_names_are_summed_up():
    """The mappings of one name are one; those without a name are anonymous; unknown lines are passed over."""
    assert memory_maps("100", "pss", PROC) == {
        "/usr/bin/python3.11": 904,
        "[heap]": 1024,
        "[anon]": 12,
        "/tmp/with space and: colon": 4,
        "[vdso]": 0,
    }
    assert memory_maps("100", "rss", PROC)["/usr/bin/python3.11"] == 1804
    assert memory_maps("100", "size", PROC)["[heap]"] == 1056


def test_processes_that_vanish():
    """An entry that is gone, empty, or no process is nothing."""
    for pid in ("1", "101", "self"):
        assert memory_maps(pid, "pss", PROC) == {}


def test_provider():
    """All processes of a /proc, or some."""
    (metric,) = MemoryMapProvider("rss", proc=PROC).collect()
    assert metric.name == "pod_process_smap_rss_kb"
    assert {sample.labels["pid"] for sample in metric.samples} == {"100", "102"}
    sample = next(sample for sample in metric.samples if sample.labels["name"] == "[heap]")
    assert sample.value == 1024
    assert set(sample.labels) >= {"pod_name", "pid", "name"}
    (metric,) = MemoryMapProvider(pids=["102"], proc=PROC).collect()
    assert {sample.labels["pid"] for sample in metric.samples} == {"102"}
    with pytest.raises(ValueError, match="uss"):
        MemoryMapProvider("uss")


def test_this_process():
    """The kernel of today writes what we read."""
    for field in ("pss", "rss", "size"):
        found = memory_maps(os.getpid(), field, Path("/proc"))
        assert found["[stack]"] > 0
        assert sum(found.values()) > 1000


@pytest.mark.parametrize(
    ("pod", "service"),
    [
        ("my-service-6f7d9c8b5d-x2x4z", "my-service"),
        ("app-84c8bd7f9d-abcde", "app"),
        ("app-bcdfghjklm-bcdfg", "app"),
        ("localhost", None),
        ("my-web-server", None),
        ("my-production-local", None),
        ("statefulset-0", None),
    ],
)
def test_service_name(pod, service):
    """The pod's name without its two generated parts; absent where it has none."""
    expected = {"pod_name": pod} | ({"service_name": service} if service else {})
    assert pod_labels(pod) == expected
