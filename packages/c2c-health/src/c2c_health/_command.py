"""``c2c-health-check URL-or-ini``: health from a shell, for containers' HEALTHCHECK and for daemons without HTTP."""

import argparse
import math
import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from c2c_broadcast import BroadcastSettings, ConfigurationError, load, mask
from c2c_health._views import text
from c2c_health.checks import shown

_LONGEST_TIMEOUT = 86_400.0
_ENDS = ("/health_check", "/health/live", "/health/ready")


class CommandError(Exception):
    """What was asked for can't be done; the message is one line with the remedy."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report, one line a check; return 0 when all pass, 1 when one fails, 2 where nothing can be checked."""
    parser = argparse.ArgumentParser(
        prog="c2c-health-check",
        description="Run the health checks of a service: over HTTP, or of an ini file's application in this process.",
    )
    parser.add_argument(
        "target", metavar="URL-or-ini", help="http://host:port[/prefix], the URL of a report, or an ini file"
    )
    parser.add_argument("--max-level", type=_level, metavar="N", help="default: 1")
    parser.add_argument("--checks", default="", metavar="A,B", help="only these checks, of any level")
    parser.add_argument(
        "--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="for the answer of a URL; default: 30"
    )
    parser.add_argument(
        "--running", action=_Running, nargs=0, help="instead: show the requests that are in flight here"
    )
    options = parser.parse_args(argv)
    try:
        if options.target.lower().startswith(("http://", "https://")):
            report = _over_http(options.target, options)
        else:
            report = _here(options.target, options)
    except (CommandError, ConfigurationError) as error:
        sys.stderr.write(f"c2c-health-check: {mask(' '.join(str(error).split()))}\n")
        return 2
    sys.stdout.write(text(report))
    return 1 if report["failures"] else 0


class _Running(argparse.Action):
    """Print what is in flight on this host, as whichever installed package tells, and end: nobody is asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_ignored: Any) -> None:
        found = list(entry_points(group="c2c.running"))
        if not found:
            parser.error("--running needs a package that knows it: pip install c2c-debug")
        sys.stdout.write("".join(one.load()() for one in found))
        parser.exit()


def _level(word: str) -> int:
    if not (word.isascii() and word.isdecimal()):
        raise argparse.ArgumentTypeError(f"a whole number from 0, not {word!r}")
    return int(word)


def _seconds(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _LONGEST_TIMEOUT:
        raise argparse.ArgumentTypeError(f"a number of seconds above 0, up to {_LONGEST_TIMEOUT:g}, not {word!r}")
    return seconds


def report_url(target: str, base_path: str, max_level: int | None, checks: str) -> str:
    """Return the URL to ask: ``target`` itself if it is that of a report, else the report of the service there."""
    parts = urlsplit(target)
    path = parts.path if parts.path.endswith(_ENDS) else parts.path.rstrip("/") + base_path + "/health_check"
    if parts.query or not path.endswith("/health_check"):
        return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
    query = {"max_level": max_level, "checks": checks or None}
    given = urlencode({name: value for name, value in query.items() if value is not None})
    return urlunsplit((parts.scheme, parts.netloc, path, given, ""))


def _over_http(target: str, options: Any) -> Any:
    import requests

    try:
        url = report_url(target, load(BroadcastSettings, {}).base_path, options.max_level, options.checks)
    except ValueError as error:
        raise CommandError(f"{target}: it is no URL ({error})") from None
    try:
        answer = requests.get(url, headers={"Accept": "application/json"}, timeout=options.timeout)
    except requests.RequestException as error:
        return _failed(shown(url), f"no answer ({type(error).__name__})")
    try:
        found = answer.json()
    except ValueError:
        return _failed(shown(url), f"answered {answer.status_code}, not with a report")
    if not _is_report(found):
        if answer.status_code == 400 and isinstance(found, dict):  # noqa: PLR2004 # RFC 9110, 15.5.1
            raise CommandError(str(found.get("message")))
        return _failed(shown(url), f"answered {answer.status_code}, not with a report")
    return found


def _is_report(found: Any) -> bool:
    """Tell whether this is what our views answer; any service may be at that address."""
    parts = [found.get(part) for part in ("successes", "failures")] if isinstance(found, dict) else [None]
    return all(
        isinstance(part, dict)
        and all(isinstance(entry, dict) and {"level", "timing"} <= set(entry) for entry in part.values())
        for part in parts
    )


def _failed(name: str, message: str) -> dict[str, Any]:
    return {"successes": {}, "failures": {name: {"message": message, "level": 1, "timing": 0.0}}}


def _here(target: str, options: Any) -> Any:
    registry = _application(target)
    health = registry.get("health_check")
    if health is None:
        raise CommandError(f'{target}: its application has no config.include("c2c_health")')
    names = [options.checks] if options.checks else []
    try:
        return health.report(options.max_level, names)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _application(target: str) -> Any:
    """Build the application of an ini file and return its registry."""
    import plaster
    from pyramid.config import global_registries

    from c2c_health._probes import probes

    probes.wanted = False  # the service itself answers there

    path = target.partition("://")[2] or target
    if not os.path.isfile(path.partition("#")[0]):  # noqa: PTH113 # a text that may be a URI
        raise CommandError(f"{target}: there is no such file, and it is no URL (http://...)")
    # Where c2c-meta is installed its loader reads the file as the service does, environment variables and all.
    uri = f"c2c://{target}" if "://" not in target and plaster.find_loaders("c2c", protocols=["wsgi"]) else target
    try:
        plaster.get_loader(uri, protocols=["wsgi"]).get_wsgi_app()
    except plaster.LoaderNotFound:
        raise CommandError(f"{target}: nothing here reads it: pip install plaster-pastedeploy, or c2c-meta") from None
    except Exception as error:  # the boundary to an application's start-up
        raise CommandError(f"{target}: the application does not start: {type(error).__name__}: {error}") from error
    registry = global_registries.last
    if registry is None:
        raise CommandError(f"{target}: it is no application of Pyramid's")
    return registry
