"""An application that answers in many ways, with c2c_stats or, where ``BARE`` is set, without."""

import os
from collections import deque
from pathlib import Path

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound, HTTPNotFound, HTTPNotModified, HTTPUnauthorized
from pyramid.interfaces import IResponse
from pyramid.response import FileIter, FileResponse, Response
from pyramid.wsgi import wsgiapp
from webob.static import FileIter as RangedFileIter
from zope.interface import implementer

FILE = Path(__file__)
SHARED = Response("shared")
RAISED = HTTPNotFound("nothing here")
CLOSED = []


class Body:
    """A body that knows whether it was closed; and that can be iterated again."""

    def __init__(self, *parts):
        self.parts = parts

    def __iter__(self):
        for part in self.parts:
            if isinstance(part, Exception):
                raise part
            yield part

    def close(self):
        """Note it."""
        CLOSED.append(self.parts[0])


STREAM_GIVEN_AGAIN = Response(app_iter=Body(b"again ", b"and again"), content_length=15)


def streamed(**options):
    """Return a response whose body comes in ten parts."""
    return Response(app_iter=(b"0123456789" for _ in range(10)), **options)


def wrapped(request):
    """Give the file to the server's own way of sending files."""
    wrapper = request.environ.get("wsgi.file_wrapper", FileIter)
    response = Response(content_type="text/plain", app_iter=wrapper(FILE.open("rb"), 4096))
    response.content_length = FILE.stat().st_size
    return response


def with_callback(request):
    """Change the response after the view."""
    request.add_response_callback(lambda _request, response: response.headers.add("X-Late", "yes"))
    request.response.set_cookie("a", "b")
    return {"a": 1}


def raises(error):
    """Return a view that raises what a function makes."""

    def view(_request):
        raise error()

    return view


@implementer(IResponse)
class NotOfWebOb:
    """A response that is just a WSGI application."""

    def __call__(self, environ, start_response):
        """Answer."""
        start_response("203 Other", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        return [b"other"]


@wsgiapp
def foreign(environ, start_response):
    """Answer, by a generator, as another framework does."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Twice", "1"), ("X-Twice", "2")])
    return (part for part in (b"for", b"eign"))


VIEWS = {
    "text": lambda _: Response("text"),
    "unicode": lambda _: Response("\u00e9\u20ac", charset="utf-8"),
    "empty": lambda _: Response(b""),
    "stream": lambda _: streamed(),
    "stream_with_length": lambda _: streamed(content_length=100),
    "stream_conditional": lambda _: streamed(content_length=100, conditional_response=True),
    "stream_with_etag": lambda _: streamed(content_length=100, conditional_response=True, etag="tag"),
    "stream_with_timing": lambda _: streamed(headerlist=[("Content-Length", "100"), ("Server-Timing", "own;dur=1")]),
    "tuple": lambda _: Response(app_iter=(b"a", b"b"), content_length=2),
    "deque": lambda _: Response(app_iter=deque([b"a", b"b"]), content_length=2),
    "empty_parts": lambda _: Response(app_iter=Body(b"", b"a", b"", b"b")),
    "closed": lambda _: Response(app_iter=Body(b"closed", b"!"), content_length=7),
    "broken_body": lambda _: Response(app_iter=Body(b"begin", ValueError("in the middle")), content_length=9),
    "shared": lambda _: SHARED,
    "stream_given_again": lambda _: STREAM_GIVEN_AGAIN,
    "file": lambda _: FileResponse(FILE),
    "file_of_request": lambda request: FileResponse(FILE, request=request),
    "file_wrapper": wrapped,
    "file_ranged": lambda _: Response(
        app_iter=RangedFileIter(FILE.open("rb")), content_length=FILE.stat().st_size, conditional_response=True
    ),
    "gzip": lambda _: Response(
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00" + 8 * b"\x00", content_encoding="gzip"
    ),
    "cookies": lambda _: Response(
        "c", headerlist=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Length", "1")]
    ),
    "no_content": lambda _: Response(status=204),
    "redirect": lambda _: HTTPFound("/text"),
    "not_modified": lambda _: HTTPNotModified(),
    "unauthorized": raises(lambda: HTTPUnauthorized(headers={"WWW-Authenticate": "Basic"})),
    "raised": raises(lambda: RAISED),
    "foreign": foreign,
    "not_of_webob": lambda _: NotOfWebOb(),
    "md5": lambda _: Response("md5", conditional_response=True, etag="abc", last_modified=0),
    "custom_status": lambda _: Response("t", status="299 Fine"),
    "closings": lambda _: Response(b" ".join(CLOSED)),
}
RENDERED = {
    "json": lambda _: {"a": [1, None]},
    "string": lambda _: None,
    "callback": with_callback,
    "own_in_renderer": lambda _: Response("own"),
    "stream_in_renderer": lambda _: streamed(content_length=100, conditional_response=True),
    "broken_rendering": lambda _: {"a": object()},
}


def main():
    """Make the application."""
    config = Configurator(settings={"c2c.stats_view": "true"})
    if "BARE" not in os.environ:
        config.include("c2c_stats")
    for name, view in VIEWS.items():
        config.add_route(name, f"/{name}")
        config.add_view(view, route_name=name)
    for name, view in RENDERED.items():
        config.add_route(name, f"/{name}")
        config.add_view(view, route_name=name, renderer="string" if name == "string" else "json")
    config.add_route("text_only_get", "/only_get")
    config.add_view(lambda _: Response("get"), route_name="text_only_get", request_method="GET")
    config.add_static_view("static", str(FILE.parent))
    return config.make_wsgi_app()


application = main()
