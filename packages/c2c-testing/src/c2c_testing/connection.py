"""Ask a service over HTTP and check what every answer must have."""

import enum
import re
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import requests

__all__ = ["CacheExpected", "Connection", "check_response"]

# What may stand in a test's output: a shell variable in the place of the secret.
_SECRET = re.compile(r"authorization|cookie|secret|password|token|api[-_]?key", re.IGNORECASE)
_UNINTERESTING = {"user-agent", "accept-encoding", "accept", "connection", "content-length"}
_LONGEST_SENT = 2000
# name=value of a query or form, "name": "value" of JSON
_PAIR = re.compile(r"(?<![^&?])([^&=?\s]+)=([^&]*)")
_JSON_PAIR = re.compile(r'("[^"]*"\s*:\s*)"(?:[^"\\]|\\.)*"')


def _curl(request: requests.PreparedRequest) -> str:
    """Return the command; secrets are shell variables, named after their header or parameter, and ``...`` in a body."""
    words = ["curl", "-i"]
    if request.method != "GET":
        words += ["-X", str(request.method)]
    for name, value in request.headers.items():
        if name.lower() in _UNINTERESTING:
            continue
        # In double quotes the shell puts the variable in.
        words += ["-H", f'"{name}: {_variable(name)}"' if _SECRET.search(name) else shlex.quote(f"{name}: {value}")]
    if request.body:
        words += ["--data-binary", _body(request.body)]
    return " ".join([*words, _url(str(request.url))])


def _variable(name: str) -> str:
    return "$" + re.sub(r"\W", "_", name).upper()


def _body(body: Any) -> str:
    try:
        text = body.decode() if isinstance(body, bytes) else body
    except UnicodeDecodeError:
        text = None
    if not isinstance(text, str) or len(text) > _LONGEST_SENT:
        return "@body"  # a file of one's own
    text = _PAIR.sub(lambda found: f"{found[1]}=..." if _SECRET.search(found[1]) else found[0], text)
    return shlex.quote(_JSON_PAIR.sub(lambda found: f"{found[1]}..." if _SECRET.search(found[1]) else found[0], text))


def _url(url: str) -> str:
    parts = urlsplit(url)
    location = parts.netloc.rpartition("@")[2]
    given = parts.query.replace("$", "%24")
    query = _PAIR.sub(
        lambda found: f"{found[1]}={_variable(found[1])}" if _SECRET.search(found[1]) else found[0], given
    )
    text = urlunsplit(parts._replace(netloc=location, query=query))
    return shlex.quote(text) if query == given else f'"{text}"'


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
        ages = [directives.get(name, "") for name in ("max-age", "s-maxage")]
        lives = any(age.isdigit() and int(age) for age in ages)
        _check(lives and not never, f"Cache-Control is {given!r}: it allows no caching", response)


def _has_type(response: requests.Response, kind: re.Pattern[str]) -> bool:
    """Tell whether the content type is of a kind: ``_JSON`` or ``_XML``."""
    given = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return bool(kind.fullmatch(given))


def _text_of(response: requests.Response) -> str | None:
    """Return the text, None without content."""
    return None if response.status_code == _NO_CONTENT else response.text


def _json_of(response: requests.Response) -> Any:
    """Return what the JSON says, None without content; fail where it is none."""
    if response.status_code == _NO_CONTENT:
        return None
    _check(_has_type(response, _JSON), "Content-Type is not that of JSON", response)
    try:
        return response.json()
    except requests.JSONDecodeError as error:
        raise AssertionError(_story(f"Not JSON: {error}", response)) from error


def _check(good: object, what: str, response: requests.Response) -> None:
    """Fail unless it is good, with the story of the response."""
    if not good:
        raise AssertionError(_story(what, response))


def _story(what: str, response: requests.Response) -> str:
    """Return what is wrong, the response, and a curl command that asks again."""
    given = response.headers.get("Content-Type", "no Content-Type")
    body = response.text if len(response.content) <= _LONGEST_BODY else response.text[:_LONGEST_BODY] + " ..."
    return f"{what}\n{response.status_code} {response.reason}, {given}\n{body}\n{_curl(response.request)}"


_TIMEOUT = 60.0


class Connection:
    """A client of one service. What is not as expected is an AssertionError with status, body and a curl command.

    All methods take a URL below ``base_url`` and, by keyword: ``expected_status``, a number or several of them;
    ``headers``, which win over ours; ``cors``, whether to send ``Origin`` and check
    ``Access-Control-Allow-Origin``; ``cache_expected``; and what ``requests`` takes. They wait 60 s at most, unless
    ``timeout`` says otherwise. An answer without content (204) is None.

    Args:
        base_url: root of the service, such as ``http://127.0.0.1:8080/api/``
        origin: the value of ``Origin``, such as ``https://www.example.com``
    """

    def __init__(self, base_url: str, origin: str) -> None:
        self.base_url = base_url.rstrip("/") + "/"
        self.origin = origin
        self.session = requests.Session()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the session's connections."""
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
        try:
            return _xml(response.content, schema)
        except ValueError as error:
            raise AssertionError(_story(str(error), response)) from error

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


def _xml(data: bytes, schema: str | Path | None) -> Any:
    """Return the ElementTree of a document, which fits the XML Schema in that file.

    Raises:
        ValueError: it is not well-formed, or not valid
    """
    from lxml import etree  # type: ignore[import-not-found,import-untyped,unused-ignore]

    validator = None if schema is None else etree.XMLSchema(etree.parse(str(schema)))
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        tree = etree.ElementTree(etree.fromstring(data, parser))
        if validator is not None:
            validator.assertValid(tree)
    except (etree.XMLSyntaxError, etree.DocumentInvalid) as error:
        raise ValueError(f"Not the XML that is wanted: {error}") from error
    return tree
