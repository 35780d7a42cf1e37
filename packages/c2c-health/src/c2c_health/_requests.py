"""The request that a check sees when no client asked: one of the application's, for nothing in particular."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyramid.interfaces import IRequestFactory
from pyramid.request import Request, apply_request_extensions
from pyramid.threadlocal import manager


@contextmanager
def request_for(request: Any, registry: Any) -> Iterator[Any]:
    """Give ``request``, or, where it is None, a blank one; Pyramid's thread locals know it meanwhile.

    Code far below a check (a patched requests, a session's scope) asks them which request this thread works for.
    """
    own = request is None
    if own:
        request = (registry.queryUtility(IRequestFactory) or Request).blank("/")
        request.registry = registry
    manager.push({"request": request, "registry": registry})
    try:
        if own:
            apply_request_extensions(request)
            transaction = sys.modules.get("transaction")
            if transaction is not None:
                # This thread's, which is ended after each check; an explicit one of the request's nobody would begin.
                request.tm = transaction.manager
        yield request
    finally:
        try:
            if own:
                request._process_finished_callbacks()  # noqa: SLF001 # as pyramid.scripting's closer does
        finally:
            manager.pop()
