"""The text of statsd lines, read back by a strict parser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2c_stats._series import identify
from c2c_stats._statsd import Format, number
from c2c_testing.sinks._statsd import parse


def counter(path, tags=None, /, **options):
    """Return the line of a counter."""
    form = Format(**options)
    return b"1".join(form.wire(identify("counter", path, tags)))


@pytest.mark.parametrize(
    ("path", "tags", "options", "line"),
    [
        (["a", "b"], None, {"prefix": "prefix"}, b"prefix.a.b:1|c"),
        (["a"], {"k2": "v2", "k": "v"}, {}, b"a:1|c|#k:v,k2:v2"),
        (["a"], {"k": "own"}, {"tags": {"k": "global", "env": "prod"}}, b"a:1|c|#env:prod,k:own"),
        (["a b", "c.d:e|f", "é\n"], None, {}, b"a_b.c_d_e_f.__:1|c"),
        (["a"], {"k": "x,y#z|\r\n"}, {}, b"a:1|c|#k:x_y_z___"),
        (["a"], {"url": "http://x:80/"}, {}, b"a:1|c|#url:http://x:80/"),
        (["a"], {"none": None, "empty": "", "k": "v"}, {}, b"a:1|c|#k:v"),
        ([""], None, {"prefix": "my.service."}, b"my.service._:1|c"),
    ],
)
def test_format(path, tags, options, line):
    """Prefix, sorted and merged tags, and what is not allowed where."""
    assert counter(path, tags, **options) == line


def test_values():
    """Milliseconds have three decimals and are never 0; numbers have no exponent."""
    form = Format()
    timer = form.wire(identify("timer", ["t"], None))
    assert list(form.timers(timer, [0.012345, 0.0, 1e-9, 12])) == [
        (b"t:12.345|ms\nt:0.001|ms\nt:0.001|ms\nt:12000.000|ms", 4)
    ]
    assert number(3.0) == b"3"
    assert number(0.1 + 0.2) == b"0.3"
    assert number(1e20) == b"100000000000000000000"
    gauge = form.wire(identify("gauge", ["g"], None))
    assert form.gauge(gauge, 1.5) == b"g:1.5|g"


def test_negative_gauges_are_set_not_changed():
    """A gauge with a sign would change the server's value by so much: it is set to 0 first."""
    form = Format()
    assert form.gauge(form.wire(identify("gauge", ["g"], {"a": "b"})), -2) == b"g:0|g|#a:b\ng:-2|g|#a:b"


def test_multi_value_form():
    """Where the server takes it, one line has many durations, up to a datagram."""
    form = Format(multi_value=True, datagram=100)
    wire = form.wire(identify("timer", ["t"], {"a": "b"}))
    texts = list(form.timers(wire, [0.001] * 50))
    assert sum(count for _, count in texts) == 50
    assert texts[0][0].startswith(b"t:1.000:1.000:")
    for text, count in texts:
        assert len(text) <= 100
        assert len(parse(text.decode())) == count


def test_450_characters():
    """Names and values of tags are cut at 450 characters."""
    line = counter(["x" * 10_000], {"k": "v" * 10_000}, datagram=8192)
    assert line == b"x" * 450 + b":1|c|#k:" + b"v" * 450


@given(
    st.lists(st.text(max_size=600), max_size=30),
    st.dictionaries(st.text(max_size=50), st.one_of(st.none(), st.text(max_size=600), st.integers()), max_size=30),
    st.text(max_size=50),
    st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=100),
)
def test_whatever_comes_it_is_statsd(path, tags, prefix, seconds):
    """Any key, tags, prefix and values give lines that a strict parser takes, and that fit a datagram."""
    form = Format(prefix=prefix, tags={"env": "prod"})
    wire = form.wire(identify("timer", path, tags))
    texts = list(form.timers(wire, seconds))
    assert sum(count for _, count in texts) == len(seconds)
    for text, count in texts:
        assert len(text) <= 1432
        metrics = [metric for line in text.decode().split("\n") for metric in parse(line)]
        assert len(metrics) == count
        assert all(metric.kind == "ms" and metric.value > 0 for metric in metrics)


MAPPING = [
    ("route.*.*.*", ("verb", "route", "status")),
    ("requests.*.*.*.*.*", ("scheme", "host", "port", "verb", "status")),
]


def test_statsd_exporter_mapping():
    """Names without tags have a fixed number of parts, as the glob rules of statsd_exporter want."""
    for path in (["route", "GET", "my.route/x", "200"], ["requests", "http", "a.b.example", "80", "GET", "200"]):
        name = counter(path).decode().split(":")[0]
        matched = [
            dict(zip(labels, name.split(".")[1:], strict=True))
            for rule, labels in MAPPING
            if len(rule.split(".")) == len(name.split(".")) and rule.split(".")[0] == name.split(".")[0]
        ]
        assert len(matched) == 1
        assert matched[0]["status"] == "200"
