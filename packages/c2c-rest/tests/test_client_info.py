import json
import logging
import time
import tomllib
from http.client import HTTPConnection
from pathlib import Path

import pytest
from paste.deploy import loadapp

from c2c_broadcast import ConfigurationError, process
from c2c_rest import client_info
from c2c_rest.client_info import HEADERS

_GROUPS = tomllib.loads((Path(__file__).parent / "data" / "proxy_headers.toml").read_text())["group"]
_CASES = [
    pytest.param(case, id=f"{group['origin'].partition(':')[0]}-{number}")
    for group in _GROUPS
    for number, case in enumerate(group["cases"])
]
_NAMES = {
    "address": "REMOTE_ADDR",
    "host": "HTTP_HOST",
    "server": "SERVER_NAME",
    "port": "SERVER_PORT",
    "scheme": "wsgi.url_scheme",
}


def _environ(headers, peer="10.0.0.9"):
    return {
        "REMOTE_ADDR": peer,
        "HTTP_HOST": "backend:8080",
        "SERVER_NAME": "backend",
        "SERVER_PORT": "8080",
        "wsgi.url_scheme": "http",
        "PATH_INFO": "/",
        **{"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()},
    }


def _told(environ):
    return {name: environ.get(key) for name, key in _NAMES.items()}


def _through(environ, **settings):
    """What the application sees of this environment."""
    seen = {}

    def application(environ, start_response):
        seen.update(environ)
        return []

    client_info.Filter(application, settings)(environ, None)
    return seen


@pytest.mark.parametrize("case", _CASES)
def test_corpus(case, caplog):
    """Each header set of the corpus gives what is expected of it, and one line a header that is not clear."""
    peer = case.get("peer", "10.0.0.9")
    keys = {"trusted": "c2c.trusted_proxies", "written": "c2c.proxy_headers"}
    settings = {key: case[name] for name, key in keys.items() if name in case}
    seen = _through(_environ(case["headers"], peer), **settings)
    assert _told(seen) == {**_told(_environ({}, peer)), **case["expected"]}
    unclear = [record.args[0] for record in caplog.records if "not clear" in record.getMessage()]
    assert unclear == case.get("unclear", [])
    assert not any(key in seen for key in HEADERS)


def test_the_corpus_is_large_enough():
    """The corpus holds at least 200 header sets."""
    assert len(_CASES) >= 200


def test_originals_are_kept():
    """What was there before, and the headers themselves, are kept under names of their own."""
    seen = _through(
        _environ({"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "a.org", "X-Forwarded-Proto": "https"})
    )
    assert {key: value for key, value in seen.items() if key.startswith("HTTP_ORIGINAL_")} == {
        "HTTP_ORIGINAL_REMOTE_ADDR": "10.0.0.9",
        "HTTP_ORIGINAL_HOST": "backend:8080",
        "HTTP_ORIGINAL_URL_SCHEME": "http",
        "HTTP_ORIGINAL_X_FORWARDED_FOR": "192.0.2.1",
        "HTTP_ORIGINAL_X_FORWARDED_HOST": "a.org",
        "HTTP_ORIGINAL_X_FORWARDED_PROTO": "https",
    }


def test_originals_of_a_client_are_dropped():
    """A client can't make up what the originals are."""
    headers = {"Original-Host": "evil", "Original-X-Forwarded-For": "192.0.2.66", "Original-Of-Mine": "kept"}
    seen = _through(_environ(headers))
    assert [key for key in seen if key.startswith("HTTP_ORIGINAL_")] == ["HTTP_ORIGINAL_OF_MINE"]


def test_two_filters_are_as_one():
    """Where c2c-run puts the filter round a pipeline that has it, the originals are still there."""
    seen = {}
    inner = client_info.Filter(lambda environ, _: seen.update(environ) or [], {"c2c.force_proto": "https"})
    client_info.Filter(inner, {})(_environ({"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "a.example"}), None)
    assert (seen["REMOTE_ADDR"], seen["HTTP_ORIGINAL_REMOTE_ADDR"]) == ("192.0.2.1", "10.0.0.9")
    assert (seen["HTTP_HOST"], seen["HTTP_ORIGINAL_HOST"]) == ("a.example", "backend:8080")
    assert seen["HTTP_ORIGINAL_X_FORWARDED_FOR"] == "192.0.2.1"
    assert (seen["wsgi.url_scheme"], seen["HTTP_ORIGINAL_URL_SCHEME"]) == ("https", "http")


def test_headers_of_a_stranger_are_dropped():
    """With trusted networks, the application does not even see what another peer sent."""
    environ = _environ({"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Port": "1"}, peer="192.0.2.66")
    seen = _through(environ, **{"c2c.trusted_proxies": "10.0.0.0/8"})
    assert seen == _environ({}, peer="192.0.2.66")


def test_forced_values_win():
    """Forced values replace what is there and what proxies say; what was there is kept."""
    forced = {
        "c2c.force_proto": "https",
        "c2c.force_host": "www.example.org:8443",
        "c2c.force_server_name": "www.example.org",
        "c2c.force_remote_addr": "2001:db8::1",
    }
    for headers in ({}, {"Forwarded": "for=192.0.2.1;host=other.org;proto=http"}):
        seen = _through(_environ(headers), **forced)
        assert _told(seen) == {
            "address": "2001:db8::1",
            "host": "www.example.org:8443",
            "server": "www.example.org",
            "port": "8080",
            "scheme": "https",
        }
        assert seen["HTTP_ORIGINAL_HOST"] == "backend:8080"


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("c2c.trusted_proxies", "10.0.0.0/33", "C2C_TRUSTED_PROXIES"),
        ("c2c.trusted_proxies", "proxy.example.org", "C2C_TRUSTED_PROXIES"),
        ("c2c.proxy_headers", "x-real-ip", "C2C_PROXY_HEADERS"),
        ("c2c.force_proto", "gopher", "C2C_FORCE_PROTO"),
        ("c2c.force_host", "http://a", "C2C_FORCE_HOST"),
        ("c2c.force_remote_addr", "localhost", "C2C_FORCE_REMOTE_ADDR"),
    ],
)
def test_a_bad_setting_stops_the_start_up(key, value, name):
    """A value that can't be read is an error that names the setting."""
    with pytest.raises(ConfigurationError, match=name):
        client_info.Filter(None, {key: value})


def test_headers_that_the_proxies_do_not_write_are_dropped():
    """The application does not see what the proxies passed on, not even as an original; the environment may say so."""
    environ = _environ({"Forwarded": "for=192.0.2.66", "X-Forwarded-For": "192.0.2.1"})
    seen = _through(environ, **{"c2c.trusted_proxies": "10.0.0.0/8"})
    assert not [key for key in seen if key.endswith("_FORWARDED")]


@pytest.mark.parametrize("key", HEADERS)
@pytest.mark.parametrize("unit", [",", ";", '"', "\\", '\\"', " ", "a=b,", 'a="b",', "1.", ":", "[", "=", "a"])
def test_a_long_header_takes_no_time(key, unit):
    """A header as long as servers take is read in linear time: 64 kB of anything do not hang the filter."""
    for text in (
        unit * (65_536 // len(unit)),
        unit * (65_536 // len(unit)) + "!",
        "x" + unit * 30_000 + ', for="1.2.3.4"',
    ):
        for trusted in ({}, {"c2c.trusted_proxies": "10.0.0.0/8", "c2c.proxy_headers": "x-forwarded, forwarded"}):
            start = time.monotonic()
            _through({**_environ({}), key: text}, **trusted)
            assert time.monotonic() - start < 60


def test_two_requests_in_a_row():
    """Nothing of one request is in the next; a header that is not clear is said once, not with each request."""
    seen = []

    def application(environ, start_response):
        seen.append(_told(environ)["address"])
        return [b"body"]

    application = client_info.Filter(application, {})
    for headers in ({"X-Forwarded-For": "192.0.2.1"}, {}, {"Forwarded": "for=192.0.2.2"}, {"X-Forwarded-For": "bad"}):
        assert application(_environ(headers), None) == [b"body"]
    environ = _environ({"X-Forwarded-For": "192.0.2.3"})
    application(environ, None)
    application(environ, None)
    assert seen == ["192.0.2.1", "10.0.0.9", "192.0.2.2", "10.0.0.9", "192.0.2.3", "192.0.2.3"]


def test_what_is_not_clear_is_said_once(caplog):
    """A thousand bad headers are one line in the log a header, short and on one line."""
    application = client_info.Filter(lambda environ, start_response: [], {})
    for number in range(1000):
        application(_environ({"Forwarded": f"for=bad{number}\nforged: line", "X-Forwarded-For": "\n" * 9000}), None)
    lines = [record.getMessage() for record in caplog.records if "not clear" in record.getMessage()]
    assert len(lines) == 2
    assert all("\n" not in line and len(line) < 400 for line in lines)


def test_the_default_is_said_at_start_up(caplog):
    """Believing everybody is one line at start-up; trusted networks are none."""
    for said in process.service_folder("said").iterdir():
        said.unlink()  # by another test: it is said once a service
    client_info.Filter(None, {})
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "C2C_TRUSTED_PROXIES" in caplog.text
    caplog.clear()
    client_info.Filter(None, {"c2c.trusted_proxies": "10.0.0.0/8"})
    assert not caplog.records


_INI = """
[pipeline:main]
pipeline = {pipeline}

[filter:client_info]
use = egg:c2c-rest#client_info
c2c.trusted_proxies = 10.0.0.0/8
c2c.proxy_headers = forwarded

[filter:prefix]
use = egg:PasteDeploy#prefix
prefix = /service

[app:app]
paste.app_factory = {module}:application
"""


@pytest.fixture
def from_ini(tmp_path, monkeypatch):
    """Give a function that loads a pipeline of filters in front of an application that answers its environment."""

    def load(pipeline):
        (tmp_path / "proxied_app.py").write_text(
            "def application(global_conf):\n    return lambda environ, start_response: [environ]\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        ini = tmp_path / "test.ini"
        ini.write_text(_INI.format(pipeline=pipeline, module="proxied_app"))
        return loadapp(f"config:{ini}")

    return load


@pytest.mark.parametrize("pipeline", ["client_info app", "client_info prefix app", "prefix client_info app"])
def test_the_paste_filter(from_ini, pipeline):
    """In an ini file, alone and on both sides of PasteDeploy's prefix, the client's address comes out right."""
    application = from_ini(pipeline)
    headers = {"Forwarded": "for=192.0.2.1;proto=https;host=www.example.org"}
    environ = {**_environ(headers), "PATH_INFO": "/service/hello", "SCRIPT_NAME": ""}
    (seen,) = application(environ, None)
    assert _told(seen) == {**_told(_environ({})), "address": "192.0.2.1", "host": "www.example.org", "scheme": "https"}
    if "prefix" in pipeline:
        assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/service", "/hello")


def test_the_paste_filter_knows_default():
    """Settings of [DEFAULT] count, those of the filter's own section win."""
    settings = {"c2c.force_proto": "https", "c2c.force_host": "default.example"}
    application = client_info.filter_app(
        lambda environ, _start: [environ], settings, **{"c2c.force_host": "section.example"}
    )
    (seen,) = application(_environ({}), None)
    assert (seen["wsgi.url_scheme"], seen["HTTP_HOST"]) == ("https", "section.example")


_SERVICE = """
import json

from c2c_rest.client_info import Filter

NAMES = ["REMOTE_ADDR", "HTTP_HOST", "wsgi.url_scheme"]


def echo(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([environ.get(name) for name in NAMES]).encode()]


application = Filter(echo)
"""


_REAL = {"C2C_TRUSTED_PROXIES": "127.0.0.0/8", "C2C_PROXY_HEADERS": "x-forwarded, forwarded"}


def test_behind_a_real_server(gunicorn, tmp_path):
    """Over HTTP, with several lines of one header, kept alive: as gunicorn hands them over, in two workers."""
    (tmp_path / "echo_service.py").write_text(_SERVICE)
    server = gunicorn("echo_service:application", cwd=tmp_path, workers=2, env=_REAL)
    connection = HTTPConnection(server.host, server.port, timeout=30)

    def ask(*headers):
        connection.putrequest("GET", "/", skip_host=True)
        for name, value in (("Host", "backend"), *headers):
            connection.putheader(name, value)
        connection.endheaders()
        return json.loads(connection.getresponse().read())

    assert ask() == ["127.0.0.1", "backend", "http"]
    lines = [("X-Forwarded-For", "192.0.2.66"), ("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https")]
    assert ask(*lines) == ["192.0.2.1", "backend", "https"]
    element = 'for="[2001:db8::1]:4711";host=www.example.org;proto=https'
    assert ask(("Forwarded", "for=192.0.2.66"), ("Forwarded", element)) == ["2001:db8::1", "www.example.org", "https"]
    assert ask() == ["127.0.0.1", "backend", "http"]
    connection.close()
