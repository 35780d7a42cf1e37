"""Ask a service over HTTP and check what every answer must have."""

import enum
import re
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import requests

__all__ = ["CacheExpected", "Connection", "check_response"]

_UNINTERESTING = {"user-agent", "accept-encoding", "accept", "connection", "content-length"}
_LONGEST_SENT = 2000
_SECRET = re.compile(r"authorization|cookie|secret|password|token|api[-_]?key", re.IGNORECASE)
# name=value of a query or form, "name": "value" of JSON
_PAIRS = (re.compile(r"(?<![^&?])([^&=?\s]+=)[^&]*"), re.compile(r'("[^"]*"\s*:\s*)"(?:[^"\\]|\\.)*"'))


def _curl(request: requests.PreparedRequest) -> str:
    """Return the command, with ``...`` in the place of secrets: what it is in may be read by many."""
    words = ["curl", "-i"]
    if request.method != "GET":
        words += ["-X", str(request.method)]
    for name, value in request.headers.items():
        if name.lower() not in _UNINTERESTING:
            words += ["-H", f"{name}: {'...' if _SECRET.search(name) else value}"]
    body = request.body.decode(errors="replace") if isinstance(request.body, bytes) else request.body
    if body:
        # What is no text, or too much of it, is a file of one's own.
        good = isinstance(body, str) and len(body) <= _LONGEST_SENT and "\ufffd" not in body
        words += ["--data-binary", _hidden(body) if good else "@body"]
    parts = urlsplit(str(request.url))
    parts = parts._replace(netloc=parts.netloc.rpartition("@")[2], query=_hidden(parts.query))
    return shlex.join([*words, urlunsplit(parts)])


def _hidden(text: str) -> str:
    for pair in _PAIRS:
        text = pair.sub(lambda found: f"{found[1]}..." if _SECRET.search(found[1]) else found[0], text)
    return text


_LONGEST_BODY = 5000
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json")
_XML = re.compile(r"(?:text|application)/(?:[\w.+-]+\+)?xml")
_NO_CONTENT = 204


class CacheExpected(enum.Enum):
    """What ``Cache-Control`` has to say.

    ``NO``: ``no-cache`` or ``no-store``; ``YES``: ``max-age``, not 0, and neither of these; ``DONT_CARE``: anything.
    """

    NO = enum.auto()
    YES = enum.auto()
    DONT_CARE = enum.auto()


def check_response(
    response: requests.Response,
    expected_status: int | Collection[int] = 200,
    cache_expected: CacheExpected = CacheExpected.NO,
) -> None:
    """Fail unless the status is (one of) the expected, and ``Cache-Control`` says what is expected."""
    expected = (expected_status,) if isinstance(expected_status, int) else expected_status
    wanted = " or ".join(map(str, expected))
    _check(response.status_code in expected, f"Status {response.status_code}, not {wanted}", response)
    given = response.headers.get("Cache-Control", "")
    parts = (word.strip().lower().partition("=") for word in given.split(","))
    directives = {name: value.strip('"') for name, _, value in parts}
    never = bool({"no-cache", "no-store"} & set(directives))
    if cache_expected is CacheExpected.NO:
        _check(never, f"Cache-Control is {given!r}: it lacks no-cache", response)
    elif cache_expected is CacheExpected.YES:
        ages = (directives.get(name, "") for name in ("max-age", "s-maxage"))
        lives = any(age.isdigit() and int(age) for age in ages)
        _check(lives and not never, f"Cache-Control is {given!r}: it allows no caching", response)


def _has_type(response: requests.Response, kind: re.Pattern[str]) -> bool:
    given = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return bool(kind.fullmatch(given))


def _text_of(response: requests.Response) -> str | None:
    return None if response.status_code == _NO_CONTENT else response.text


def _json_of(response: requests.Response) -> Any:
    if response.status_code == _NO_CONTENT:
        return None
    _check(_has_type(response, _JSON), "Content-Type is not that of JSON", response)
    try:
        return response.json()
    except requests.JSONDecodeError as error:
        raise AssertionError(_story(f"Not JSON: {error}", response)) from error


def _check(good: object, what: str, response: requests.Response) -> None:
    if not good:
        raise AssertionError(_story(what, response))


def _story(what: str, response: requests.Response) -> str:
    given = response.headers.get("Content-Type", "no Content-Type")
    body = response.text if len(response.content) <= _LONGEST_BODY else response.text[:_LONGEST_BODY] + " ..."
    return f"{what}\n{response.status_code} {response.reason}, {given}\n{body}\n{_curl(response.request)}"


_TIMEOUT = 60.0


class Connection:
    """A client of one service. What is not as expected is an AssertionError with status, body and a curl command.

    ``base_url`` is the root of the service, such as ``http://127.0.0.1:8080/api/``, ``origin`` what asks, such as
    ``https://www.example.com``. All methods take a URL below the root and, by keyword: ``expected_status``, a number or
    several of them; ``headers``, which win over ours; ``cors``, whether to send ``Origin`` and check
    ``Access-Control-Allow-Origin``; ``cache_expected``; and what ``requests`` takes. They wait 60 s at most, unless
    ``timeout`` says otherwise. An answer without content (204) is None.
    """

    def __init__(self, base_url: str, origin: str) -> None:
        self.base_url = base_url.rstrip("/") + "/"
        self.origin = origin
        self.session = requests.Session()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def url(self, path: str) -> str:
        """Return the URL of a path below ``base_url``; a whole URL stays as it is."""
        return path if urlsplit(path).scheme else self.base_url + path.lstrip("/")

    def request(
        self,
        method: str,
        url: str,
        *,
        expected_status: int | Collection[int] = 200,
        headers: Mapping[str, str | None] | None = None,
        cors: bool = True,
        cache_expected: CacheExpected = CacheExpected.NO,
        **options: Any,
    ) -> requests.Response:
        """Send a request of any method, and return the response, once it is checked.

        Raises:
            AssertionError: it is not as expected
        """
        sent = requests.structures.CaseInsensitiveDict[str | None]({"Origin": self.origin} if cors else {})
        sent.update(headers or {})
        options.setdefault("timeout", _TIMEOUT)
        response = self.session.request(method, self.url(url), headers=sent, **options)
        check_response(response, expected_status, cache_expected)
        if cors:
            _check_cors(response, sent["Origin"])
        return response

    def get(self, url: str, **options: Any) -> str | None:
        """GET, and return the text."""
        return _text_of(self.request("GET", url, **options))

    def get_raw(self, url: str, **options: Any) -> requests.Response:
        """GET, and return the response, for what the other methods do not give."""
        return self.request("GET", url, **options)

    def get_json(self, url: str, **options: Any) -> Any:
        """GET, check the content type, and return what the JSON says."""
        return _json_of(self.request("GET", url, **options))

    def get_xml(self, url: str, schema: str | Path | None = None, **options: Any) -> Any:
        """GET, check the content type, validate with an XML Schema if there is one, and return an lxml ElementTree.

        Needs the extra ``c2c-testing[xml]``.
        """
        response = self.request("GET", url, **options)
        if response.status_code == _NO_CONTENT:
            return None
        _check(_has_type(response, _XML), "Content-Type is not that of XML", response)
        from lxml import etree  # type: ignore[import-not-found,import-untyped,unused-ignore]

        validator = None if schema is None else etree.XMLSchema(etree.parse(str(schema)))
        parser = etree.XMLParser(resolve_entities=False, no_network=True)
        try:
            tree = etree.ElementTree(etree.fromstring(response.content, parser))
            if validator is not None:
                validator.assertValid(tree)
        except (etree.XMLSyntaxError, etree.DocumentInvalid) as error:
            raise AssertionError(_story(f"Not the XML that is wanted: {error}", response)) from error
        return tree

    def post(self, url: str, **options: Any) -> str | None:
        """POST (``data``), and return the text."""
        return _text_of(self.request("POST", url, **options))

    def post_json(self, url: str, **options: Any) -> Any:
        """POST (``json`` or ``data``), check the content type, and return what the JSON says."""
        return _json_of(self.request("POST", url, **options))

    def post_files(self, url: str, **options: Any) -> Any:
        """POST a form with files (``files``, ``data``), and return what the JSON says, or else the text."""
        response = self.request("POST", url, **options)
        return _json_of(response) if _has_type(response, _JSON) else _text_of(response)

    def put(self, url: str, **options: Any) -> str | None:
        """PUT (``data``), and return the text."""
        return _text_of(self.request("PUT", url, **options))

    def put_json(self, url: str, **options: Any) -> Any:
        """PUT (``json`` or ``data``), check the content type, and return what the JSON says."""
        return _json_of(self.request("PUT", url, **options))

    def patch_json(self, url: str, **options: Any) -> Any:
        """PATCH (``json`` or ``data``), check the content type, and return what the JSON says."""
        return _json_of(self.request("PATCH", url, **options))

    def delete(self, url: str, expected_status: int | Collection[int] = _NO_CONTENT, **options: Any) -> str | None:
        """DELETE, and return the text."""
        return _text_of(self.request("DELETE", url, expected_status=expected_status, **options))

    def options(self, url: str, **options: Any) -> requests.Response:
        """Ask for the OPTIONS, and return the response: its headers are what matters."""
        return self.request("OPTIONS", url, **options)


def _check_cors(response: requests.Response, origin: str | None) -> None:
    """Check the answer to a page of ``origin``, which the call may have given; to no page where that is None."""
    if origin is None:
        return
    credentials = response.headers.get("Access-Control-Allow-Credentials", "").lower() == "true"
    wanted = origin if credentials else "*"
    allowed = response.headers.get("Access-Control-Allow-Origin")
    _check(allowed == wanted, f"Access-Control-Allow-Origin is {allowed!r}, not {wanted!r}", response)
