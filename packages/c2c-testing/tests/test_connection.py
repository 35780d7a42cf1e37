"""The HTTP connection that checks its answers."""

import pytest
import requests

from c2c_testing.connection import CacheExpected, Connection, check_response

ORIGIN = "https://www.example.com"
GOOD = {"Cache-Control": "no-cache", "Access-Control-Allow-Origin": "*"}
SCHEMA = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
<xs:element name="a"><xs:complexType><xs:attribute name="n" type="xs:int"/></xs:complexType></xs:element>
</xs:schema>"""


@pytest.fixture
def connection(http_sink):
    """Give a connection to the sink, which answers well."""
    http_sink.answer(headers=GOOD)
    with Connection(f"{http_sink.url}/api", ORIGIN) as connection:
        yield connection


def test_asks_below_the_base_url(http_sink, connection):
    """With and without slashes; a whole URL stays; requests' keywords go through."""
    connection.get("one", params={"x": "y"})
    connection.get("/two/")
    connection.get("")
    connection.get(f"{http_sink.url}/whole")
    assert [request.path for request in http_sink.requests] == ["/api/one", "/api/two/", "/api/", "/whole"]
    assert http_sink.requests[0].query == {"x": ["y"]}
    assert http_sink.requests[0].headers["origin"] == ORIGIN


def test_returns_what_the_method_says(http_sink, connection):
    """Text, JSON, or the response."""
    http_sink.answer("/api/text", body="héllo", headers={**GOOD, "Content-Type": "text/plain; charset=utf-8"})
    http_sink.answer("/api/json", json={"k": 1}, headers=GOOD)
    assert connection.get("text") == "héllo"
    assert connection.get_raw("text").headers["Content-Type"] == "text/plain; charset=utf-8"
    assert connection.get_json("json") == {"k": 1}
    assert connection.post("text", data="x") == "héllo"
    assert connection.post_json("json", json={"a": 1}) == {"k": 1}
    assert connection.post_files("json", files={"f": ("name", b"content")}) == {"k": 1}
    assert connection.post_files("text", files={"f": ("name", b"content")}) == "héllo"
    assert connection.put("text", data="x") == "héllo"
    assert connection.put_json("json", json={"a": 1}) == {"k": 1}
    assert connection.patch_json("json", json={"a": 1}) == {"k": 1}
    assert connection.delete("text", expected_status=200) == "héllo"
    assert isinstance(connection.options("text"), requests.Response)
    methods = [request.method for request in http_sink.requests]
    assert methods == ["GET"] * 3 + ["POST"] * 4 + ["PUT"] * 2 + ["PATCH", "DELETE", "OPTIONS"]
    assert b"content" in http_sink.requests[5].body
    assert http_sink.requests[4].json() == {"a": 1}


def test_any_method(http_sink, connection):
    """What has no method of its own is sent and checked all the same."""
    response = connection.request("REPORT", "status", data="x")
    assert response.status_code == 200
    assert (http_sink.requests[-1].method, http_sink.requests[-1].body) == ("REPORT", b"x")
    with pytest.raises(AssertionError, match="Status 200, not 207"):
        connection.request("PROPFIND", "status", expected_status=207)


def test_no_content_is_none(http_sink, connection):
    """204 has no text, no JSON and no content type; DELETE expects it."""
    http_sink.answer(status=204, headers=GOOD)
    for method in ("get", "get_json", "get_xml", "post", "post_json", "post_files", "put", "put_json", "patch_json"):
        assert getattr(connection, method)("x", expected_status=204) is None
    assert connection.delete("x") is None


def test_any_json_type_will_do(http_sink, connection):
    """``application/problem+json`` is JSON, ``text/html`` is not, whatever the body."""
    http_sink.answer("/api/x", body="{}", headers={**GOOD, "Content-Type": "application/problem+json; charset=utf-8"})
    assert connection.get_json("x") == {}
    http_sink.answer("/api/x", body="{}", headers={**GOOD, "Content-Type": "text/html"})
    with pytest.raises(AssertionError, match="Content-Type is not that of JSON"):
        connection.get_json("x")
    http_sink.answer("/api/x", body="{", headers={**GOOD, "Content-Type": "application/json"})
    with pytest.raises(AssertionError, match="Not JSON"):
        connection.get_json("x")


def test_expects_a_status(http_sink, connection):
    """A number or several; a failure shows status, body and how to ask again."""
    http_sink.answer("/api/x", status=418, body="short and stout", headers=GOOD)
    assert connection.get("x", expected_status=418) == "short and stout"
    for several in ((200, 418), [200, 418], {418}, range(400, 500)):
        assert connection.get("x", expected_status=several) == "short and stout"
    with pytest.raises(AssertionError) as raised:
        connection.put_json("x", expected_status=(200, 201), json={"it": "is"})
    story = str(raised.value)
    assert story.startswith(
        "Status 418, not 200 or 201\n418 I'm a Teapot, no Content-Type\nshort and stout\ncurl -i -X PUT"
    )
    assert f"-H 'Origin: {ORIGIN}'" in story
    assert """-H 'Content-Type: application/json' --data-binary '{"it": "is"}'""" in story
    assert story.endswith(f"{http_sink.url}/api/x")


def test_expects_no_caching(http_sink, connection):
    """By default an answer must say that it is not to be cached."""
    for value in ("no-cache", "max-age=0, must-revalidate, no-cache, no-store", "No-Store"):
        http_sink.answer("/api/x", headers={**GOOD, "Cache-Control": value})
        connection.get("x")
        with pytest.raises(AssertionError, match="allows no caching"):
            connection.get("x", cache_expected=CacheExpected.YES)
    for value in ("", "public", "max-age=10"):
        http_sink.answer("/api/x", headers={**GOOD, "Cache-Control": value})
        with pytest.raises(AssertionError, match="lacks no-cache"):
            connection.get("x")


def test_expects_caching(http_sink, connection):
    """On demand an answer must say how long it may be cached; or it may say what it likes."""
    for value in ("max-age=10", "public, S-MaxAge=5", 'max-age="3"'):
        http_sink.answer("/api/x", headers={**GOOD, "Cache-Control": value})
        connection.get("x", cache_expected=CacheExpected.YES)
    for value in ("", "max-age=0", "max-age", "max-age=10, no-cache"):
        http_sink.answer("/api/x", headers={**GOOD, "Cache-Control": value})
        connection.get("x", cache_expected=CacheExpected.DONT_CARE)
        with pytest.raises(AssertionError, match="allows no caching"):
            connection.get("x", cache_expected=CacheExpected.YES)


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ({"Access-Control-Allow-Origin": "*"}, True),
        ({"Access-Control-Allow-Origin": ORIGIN}, False),
        ({"Access-Control-Allow-Origin": ORIGIN, "Access-Control-Allow-Credentials": "true"}, True),
        ({"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true"}, False),
        ({}, False),
    ],
)
def test_checks_cors(http_sink, connection, headers, good):
    """The origin with credentials, else the star; unless one does not want to know."""
    http_sink.answer("/api/x", headers={"Cache-Control": "no-cache", **headers})
    connection.get("x", cors=False)
    assert "origin" not in http_sink.requests[-1].headers
    if good:
        connection.get("x")
    else:
        with pytest.raises(AssertionError, match="Access-Control-Allow-Origin is"):
            connection.get("x")


def test_headers_of_the_call_win(http_sink, connection):
    """Over ours and the session's, whatever their case."""
    connection.session.headers["X-Some"] = "session"
    connection.get("x", headers={"origin": "https://other.example.com", "x-some": "call"})
    request = http_sink.requests[-1]
    assert (request.headers["origin"], request.headers["x-some"]) == ("https://other.example.com", "call")
    connection.get("x", headers={"Origin": None})
    assert "origin" not in http_sink.requests[-1].headers


def test_the_origin_of_the_call_is_checked(http_sink, connection):
    """Where the call says who asks, the answer is for that page, not for the client's own."""
    own = {"Access-Control-Allow-Origin": "https://other.example.com", "Access-Control-Allow-Credentials": "true"}
    http_sink.answer("/api/x", headers={"Cache-Control": "no-cache", **own})
    connection.get("x", headers={"Origin": "https://other.example.com"})
    with pytest.raises(AssertionError, match="Access-Control-Allow-Origin is"):
        connection.get("x")


def test_the_session_keeps_cookies(http_sink, connection):
    """A log-in holds for what follows."""
    http_sink.answer("/api/login", headers={**GOOD, "Set-Cookie": "session=abc; Path=/"})
    connection.get("login")
    connection.get("x")
    assert http_sink.requests[-1].headers["cookie"] == "session=abc"


def test_reads_and_validates_xml(http_sink, connection, tmp_path):
    """The tree is lxml's; what does not fit the schema, or is not XML, is shown."""
    schema = tmp_path / "schema.xsd"
    schema.write_text(SCHEMA)
    xml = {**GOOD, "Content-Type": "text/xml; charset=utf-8"}
    http_sink.answer("/api/good", body='<?xml version="1.0" encoding="utf-8"?><a n="1"/>', headers=xml)
    http_sink.answer("/api/invalid", body='<a n="x"/>', headers=xml)
    http_sink.answer("/api/broken", body="<a", headers=xml)
    http_sink.answer("/api/type", body="<a/>", headers={**GOOD, "Content-Type": "text/html"})
    assert connection.get_xml("good", schema=schema).getroot().get("n") == "1"
    assert connection.get_xml("good", schema=str(schema)).getroot().tag == "a"
    assert connection.get_xml("invalid").getroot().get("n") == "x"
    with pytest.raises(AssertionError, match="'x' is not a valid value"):
        connection.get_xml("invalid", schema=schema)
    with pytest.raises(AssertionError, match="Not the XML that is wanted"):
        connection.get_xml("broken")
    with pytest.raises(AssertionError, match="Content-Type is not that of XML"):
        connection.get_xml("type")


def test_xml_reaches_no_file(http_sink, connection, tmp_path):
    """An entity that names a file is not put in."""
    (tmp_path / "secret").write_text("secret")
    body = f'<!DOCTYPE a [<!ENTITY e SYSTEM "{tmp_path / "secret"}">]><a>&e;</a>'
    http_sink.answer("/api/x", body=body, headers={**GOOD, "Content-Type": "application/xml"})
    assert connection.get_xml("x").getroot().text is None


def test_failures_show_no_secret(http_sink, connection):
    """Test output is read by many: secrets are not in the curl command."""
    http_sink.answer(status=403, headers=GOOD)
    stories = []
    for options in (
        {"headers": {"X-API-Key": "hidden", "Authorization": "Bearer hidden", "Cookie": "session=hidden"}},
        {"params": {"secret": "hidden", "name": "L$"}},
        {"data": {"password": "hidden", "name": "L"}},
        {"json": {"token": 'hid"den', "name": "L"}},
        {"auth": ("someone", "hidden")},
        {"data": b"\xff\x00"},
        {"data": "x" * 5000},
    ):
        with pytest.raises(AssertionError) as raised:
            connection.post("x", **options)
        stories.append(str(raised.value))
    text = "\n".join(stories)
    assert "hidden" not in text
    assert "hid" not in text
    assert "-H 'X-API-Key: ...'" in text
    assert f"'{http_sink.url}/api/x?secret=...&name=L%24'" in text
    assert "'password=...&name=L'" in text
    assert text.count("--data-binary @body") == 2
    assert max(map(len, stories)) < 1000


def test_a_long_body_is_cut(http_sink, connection):
    """The story of a failure fits a terminal."""
    http_sink.answer("/api/x", status=500, body="x" * 1_000_000, headers=GOOD)
    with pytest.raises(AssertionError) as raised:
        connection.get("x")
    assert len(str(raised.value)) < 7000


def test_checks_any_response(http_sink):
    """A response that came otherwise is checked by the same rules."""
    http_sink.answer(status=201, headers={"Cache-Control": "max-age=60"})
    response = requests.get(http_sink.url, timeout=30)
    check_response(response, 201, CacheExpected.YES)
    with pytest.raises(AssertionError, match="Status 201, not 200"):
        check_response(response, cache_expected=CacheExpected.YES)
    with pytest.raises(AssertionError, match="lacks no-cache"):
        check_response(response, (200, 201))
