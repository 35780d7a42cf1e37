"""``c2c-test-print``: does a MapFish Print server print? It prints the examples that come with its apps."""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from c2c_broadcast import mask
from c2c_broadcast.command import Parser, one_line

_URL = "http://localhost:8080/print/"
# What a print server that does not print makes of the methods of PrintConnection.
_FAILURES = (OSError, AssertionError, KeyError, TypeError, ValueError)


def main(argv: Sequence[str] | None = None) -> int:
    """Print; return 0, 1 where an example can't be printed, 2 where there is nothing to print."""
    parser = Parser("c2c-meta", prog="c2c-test-print", description=__doc__)
    parser.add_argument("config_uri", nargs="?", help="an ini file, as c2cwsgiutils 6 has it; nothing of it is needed")
    parser.add_argument("--url", default=_URL, help=f"root of the print server; default: {_URL}")
    parser.add_argument("--app", action="append", metavar="NAME", help="an app, by default all; can be repeated")
    parser.add_argument("--referrer", metavar="URL", help="what the print server is told to be asked by (Referer)")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="to be ready, and for a report")
    parser.add_argument("--verbose", action="store_true", help="show the requests")
    arguments = parser.parse_args(argv)
    if not arguments.url.startswith(("http://", "https://")):
        return _fail(f"--url {mask(arguments.url)} is no URL: give it as in {_URL}")
    if not arguments.timeout > 0:
        return _fail(f"--timeout {arguments.timeout:g} is not more than 0 seconds")
    try:
        from c2c_testing import PrintConnection
    except ModuleNotFoundError as error:
        return _fail(f"{error.name} is missing: pip install 'c2c-meta[testing]'")
    with PrintConnection(arguments.url, origin=arguments.url) as connection:
        connection.session.headers.update({"Referer": arguments.referrer} if arguments.referrer else {})
        try:
            examples = _examples(connection, arguments)
        except _FAILURES as error:
            return _fail(one_line(error))
        if not examples:
            return _fail(f"{arguments.url} has no examples to print")
        failed = sum(not _print(connection, *example, arguments) for example in examples)
    return 1 if failed else 0


def _examples(connection: Any, arguments: argparse.Namespace) -> list[tuple[str, str, Any]]:
    """Return app, name and request of each example, once the server is there."""
    from c2c_testing.utils import retry_timeout

    # An app that is still loading is not in the list.
    apps = arguments.app or retry_timeout(connection.get_apps, arguments.timeout)
    found = []
    for app in apps:
        connection.wait_ready(arguments.timeout, app)
        found += [(app, name, request) for name, request in connection.get_example_requests(app).items()]
    return found


def _print(connection: Any, app: str, name: str, request: Mapping[str, Any], arguments: argparse.Namespace) -> bool:
    if arguments.verbose:
        sys.stdout.write(f"{app} {name}: {json.dumps(request)}\n")
    begin = time.monotonic()
    try:
        report = connection.get_pdf(app, request, timeout=arguments.timeout).content
    except _FAILURES as error:
        _fail(f"{app} {name}: {one_line(error)}")
        return False
    sys.stdout.write(f"{app} {name}: {len(report)} bytes in {time.monotonic() - begin:.3f} s\n")
    return True


def _fail(message: str) -> int:
    sys.stderr.write(f"c2c-test-print: {message}\n")
    return 2
