"""c2c-check-es, the real command, against a server that answers as Elasticsearch does."""

import base64
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from c2c_broadcast import ConfigurationError, load
from c2c_compat._check_es import CheckSettings, ElasticsearchError, measure

SEARCH = "/_all/_search"
COMMAND = Path(sys.executable).parent / "c2c-check-es"


def answer(age=None, hits=()):
    """Return what a search answers: the newest record's time, and records."""
    value = None if age is None else (time.time() - age) * 1000
    return {
        "took": 1,
        "timed_out": False,
        "_shards": {"total": 2, "successful": 2, "failed": 0},
        "hits": {"hits": list(hits)},
        "aggregations": {"newest": {"value": value}},
    }


def run_command(folder, *arguments, **environ):
    """Run the command of this environment in a folder."""
    given = {"PATH": os.environ["PATH"], "HOME": str(folder), **environ}
    return subprocess.run(
        [COMMAND, *arguments], cwd=folder, env=given, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def check(tmp_path, http_sink, statsd_sink):
    """Return a function that runs the command against the stand-in."""

    def run(*arguments, **environ):
        given = {
            "ES_URL": http_sink.url,
            "LOG_INTERVAL": "0.05",
            "LOG_TYPE": "json",
            "STATSD_ADDRESS": statsd_sink.address,
        }
        return run_command(tmp_path, *arguments, **{**given, **environ})

    return run


def test_age_and_round_trip(check, http_sink, statsd_sink):
    """The age of the newest record and the time until a new one is there are gauges in seconds, and said."""
    http_sink.answer(SEARCH, method="POST", json=answer(100, [{"_id": "1"}]))
    http_sink.answer(SEARCH, method="POST", json=answer(100), times=3)  # the record is not there at once
    done = check()
    assert done.returncode == 0, done.stderr
    age, took = map(
        float,
        re.search(r"^the newest record is (\S+) s old; a new one took (\S+) s$", done.stdout, re.MULTILINE).groups(),
    )
    assert age >= 100
    assert took >= 0.1  # two questions more, 0.05 s before each
    statsd_sink.wait("max_age")
    statsd_sink.wait("roundtrip")
    (metric,) = statsd_sink.named("max_age")
    assert metric.kind == "g"
    assert metric.value == pytest.approx(age, abs=0.001)
    bodies = [request.json() for request in http_sink.requests]
    assert bodies[0]["aggs"]["newest"]["max"] == {"field": "@timestamp"}
    tokens = {body["query"]["bool"]["filter"][0]["multi_match"]["query"] for body in bodies[1:]}
    assert len(bodies) == 4
    assert len(tokens) == 1
    assert tokens.pop() in done.stdout + done.stderr  # it was logged


def test_where_to_look(check, http_sink):
    """Indexes, fields and the field of the time are as the variables say; nothing is logged with LOG_TIMEOUT=0."""
    http_sink.answer("/base/logstash-*,b/_search", json=answer(1))
    done = check(
        ES_URL=f"{http_sink.url}/base/",
        ES_INDEXES="logstash-*, b",
        ES_FILTERS="kubernetes.namespace=prod, app=shop",
        ES_TIMESTAMP="time",
        LOG_TIMEOUT="0",
    )
    assert done.returncode == 0, done.stderr
    (request,) = http_sink.requests
    body = request.json()
    assert body["query"]["bool"]["filter"] == [{"term": {"kubernetes.namespace": "prod"}}, {"term": {"app": "shop"}}]
    assert body["aggs"]["newest"]["max"] == {"field": "time"}
    assert "a new one took" not in done.stdout


@pytest.mark.parametrize(
    ("given", "header"),
    [
        ({"ES_AUTH": "user:hunter2"}, base64.b64encode(b"user:hunter2").decode()),
        ({"ES_AUTH": "ApiKey hunter2"}, "ApiKey hunter2"),
        ({"ES_URL": "http://us%40er:hunter%2F2@{}"}, base64.b64encode(b"us@er:hunter/2").decode()),
    ],
)
def test_authorization(http_sink, given, header):
    """A password comes in ES_AUTH or in the URL, a whole header in ES_AUTH; none is in an error."""
    http_sink.answer(SEARCH, json={"error": {"reason": "unable to authenticate"}}, status=401)
    host = http_sink.url.removeprefix("http://")
    environ = {"ES_URL": http_sink.url} | {name: value.replace("{}", host) for name, value in given.items()}
    settings = load(CheckSettings, {}, environ)
    with pytest.raises(ElasticsearchError, match=r"^status 401 unable to authenticate$"):
        measure(settings)
    assert http_sink.requests[0].headers["authorization"].removeprefix("Basic ") == header


def test_refused(check, http_sink):
    """An answer of no use is one line, and the exit status 2; no secret is shown."""
    http_sink.answer(SEARCH, json={"error": {"reason": "unable to authenticate"}}, status=401)
    done = check(ES_AUTH="user:hunter2")
    assert done.returncode == 2
    assert done.stderr == "c2c-check-es: status 401 unable to authenticate\n"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"body": "<html>"}, "the answer is no JSON object"),
        ({"json": []}, "the answer is no JSON object"),
        ({"json": {}}, "the answer has no aggregations.newest.value"),
        ({"json": {"aggregations": {"newest": {"value": "soon"}}}}, "the answer has no aggregations.newest.value"),
        ({"json": {"aggregations": {"newest": {"value": 1.0}}}}, "the answer has no hits.hits"),
        ({"json": {"_shards": {"failed": 1}}}, "the answer is not complete: shards failed or took too long"),
        ({"json": {"timed_out": True}}, "the answer is not complete: shards failed or took too long"),
        ({"json": answer()}, "there is no record in any index with a @timestamp (and ES_FILTERS)"),
        ({"status": 503, "body": "away"}, "status 503 Service Unavailable"),
        ({"status": 404, "json": {"error": {"reason": "no such index [x]"}}}, "status 404 no such index [x]"),
        ({"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}}, "status 302 Found"),
        ({"delay": math.inf}, "no answer in 0.5 s"),
    ],
)
def test_bad_answers(http_sink, rule, expected):
    """An answer of no use, or none in time, is an error that says so."""
    http_sink.answer(SEARCH, **rule)
    timeout = 0.5 if "delay" in rule else 60
    with pytest.raises(ElasticsearchError) as caught:
        measure(CheckSettings(url=http_sink.url, timeout=timeout))
    assert str(caught.value) == expected


def test_away(http_sink):
    """A server that is not there is said."""
    with http_sink.down(), pytest.raises(ElasticsearchError, match=r"Connection refused"):
        measure(CheckSettings(url=http_sink.url))


def test_the_record_does_not_come(check, http_sink, statsd_sink):
    """A record that is not there in time is exit status 1; the age is a gauge all the same."""
    http_sink.answer(SEARCH, json=answer(1))
    done = check(LOG_TIMEOUT="0.3")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "c2c-check-es: the new record is not there after 0.3 s (LOG_TIMEOUT)"
    statsd_sink.wait("max_age")
    assert statsd_sink.named("roundtrip") == []


def test_url_is_not_set():
    """Without ES_URL it says so."""
    with pytest.raises(ConfigurationError, match=r"^ES_URL is not set: where is Elasticsearch\?$"):
        measure(CheckSettings())


@pytest.mark.parametrize("url", ["es.example.com:9200/hunter2", "ftp://hunter2@x", "https://"])
def test_no_url(url):
    """What is no URL is said, and not shown."""
    with pytest.raises(ConfigurationError, match=r"^ES_URL is no URL: give it as in https://es\.example\.com:9200$"):
        measure(CheckSettings(url=url))


@pytest.mark.parametrize(
    ("arguments", "environ", "expected"),
    [
        ([], {"ES_FILTERS": "name"}, "environment ES_FILTERS: 'name': give them as in name=value,name=value"),
        (["--nonsense"], {}, "unrecognized arguments: --nonsense (c2c-check-es --help says what there is)"),
    ],
)
def test_mistakes(tmp_path, arguments, environ, expected):
    """A variable or an argument that can't be followed is one line; exit status 2."""
    done = run_command(tmp_path, *arguments, **environ)
    assert (done.returncode, done.stderr) == (2, f"c2c-check-es: {expected}\n")


def test_help(tmp_path):
    """--help says what it does."""
    done = run_command(tmp_path, "--help")
    assert done.returncode == 0
    assert "Elasticsearch" in done.stdout


def test_its_variables_stop_no_service(tmp_path):
    """What only this command reads is no reason for c2c-run not to start; the command says it."""
    ini = tmp_path / "service.ini"
    (tmp_path / "app.py").write_text("def main(*_, **__): pass\n")
    ini.write_text("[app:main]\npaste.app_factory = app:main\n")
    program = COMMAND.with_name("c2c-run")
    environ = {"PATH": os.environ["PATH"], "ES_TIMEOUT": "soon"}
    done = subprocess.run(
        [program, ini, "--check"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    assert run_command(tmp_path, ES_TIMEOUT="soon").returncode == 2
