"""A request as a curl command, to try it again by hand."""

import re
import shlex
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests

# What may stand in a test's output: a shell variable in the place of the secret.
_SECRET = re.compile(r"authorization|cookie|secret|password|token|api[-_]?key", re.IGNORECASE)
_UNINTERESTING = {"user-agent", "accept-encoding", "accept", "connection", "content-length"}
_LONGEST_BODY = 2000
# name=value of a query or form, "name": "value" of JSON
_PAIR = re.compile(r"(?<![^&?])([^&=?\s]+)=([^&]*)")
_JSON_PAIR = re.compile(r'("[^"]*"\s*:\s*)"(?:[^"\\]|\\.)*"')


def curl(request: requests.PreparedRequest) -> str:
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
    if not isinstance(text, str) or len(text) > _LONGEST_BODY:
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
