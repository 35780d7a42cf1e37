"""``c2c-health-check URL-or-ini``: health from a shell, for containers' HEALTHCHECK and for daemons without HTTP."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from c2c_broadcast import BroadcastSettings, ConfigurationError, load
from c2c_broadcast.command import Parser, one_line
from c2c_health._check import SelectionError
from c2c_health._views import text
from c2c_health.checks import shown

_TIMEOUT = 30.0  # seconds for the answer of a URL
_ENDS = ("/health_check", "/health/live", "/health/ready")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report, one line a check; return 0 when all pass, 1 when one fails, 2 where nothing can be checked."""
    parser = Parser(
        "c2c-health",
        prog="c2c-health-check",
        description="Run the health checks of a service: over HTTP, or of an ini file's application in this process.",
        epilog="C2C_BASE_PATH says where a service's views are; what an ini file's application reads: c2c-settings.",
    )
    parser.add_argument("target", metavar="URL-or-ini", help="http://host[/prefix], a report's URL, or an ini file")
    parser.add_argument("--max-level", metavar="N", type=int, help="default: 1")
    parser.add_argument("--running", action=_Running, nargs=0, help="instead: show the requests in flight here")
    options = parser.parse_args(argv)
    ask = _over_http if options.target.lower().startswith(("http://", "https://")) else _here
    try:
        report = ask(options.target, options.max_level)
    except (ConfigurationError, SelectionError) as error:
        sys.stderr.write(f"c2c-health-check: {one_line(error)}\n")
        return 2
    sys.stdout.write(text(report))
    return 1 if report["failures"] else 0


class _Running(argparse.Action):
    """Print what is in flight on this host, as whichever installed package tells, and end: nobody is asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_ignored: Any) -> None:
        found = entry_points(group="c2c.running")
        if not found:
            parser.error("--running needs a package that knows it: pip install c2c-debug")
        sys.stdout.write("".join(one.load()() for one in found))
        parser.exit()


def report_url(target: str, base_path: str, level: int | None) -> str:
    """Return the URL to ask: ``target`` itself if it is that of a report, else the report of the service there."""
    parts = urlsplit(target)
    path = parts.path if parts.path.endswith(_ENDS) else parts.path.rstrip("/") + base_path + "/health_check"
    asks = level is not None and not parts.query and path.endswith("/health_check")
    return urlunsplit((parts.scheme, parts.netloc, path, f"max_level={level}" if asks else parts.query, ""))


def _over_http(target: str, level: int | None) -> Any:
    import requests

    from c2c_health.checks.url import why

    try:
        url = report_url(target, load(BroadcastSettings, {}).base_path, level)
    except ValueError as error:
        raise ConfigurationError(f"{target}: it is no URL ({error})") from None
    message = ""
    try:
        answer = requests.get(url, headers={"Accept": "application/json"}, timeout=_TIMEOUT)
        message = f"answered {answer.status_code}, not with a report"
        found = answer.json()
        if answer.status_code == 400 and isinstance(found, dict):  # noqa: PLR2004 # RFC 9110, 15.5.1
            raise ConfigurationError(str(found.get("message")))
        text(found)  # any service may be at that address
        return found  # noqa: TRY300 # below is for all that went wrong
    except requests.RequestException as error:
        message = message or f"no answer: {why(error, _TIMEOUT)}"
    except (TypeError, KeyError, AttributeError):
        pass
    return {"successes": {}, "failures": {shown(url): {"message": message, "level": 1, "timing": 0.0}}}


def _here(target: str, level: int | None) -> Any:
    import plaster
    from pyramid.config import global_registries

    from c2c_health._probes import probes

    probes.wanted = False  # the service itself answers there
    path = Path((target.partition("://")[2] or target).partition("#")[0])
    if not path.is_file():
        raise ConfigurationError(f"{target}: there is no such file, and it is no URL (http://...)")
    sys.path.insert(0, str(path.resolve().parent))  # as c2c-run does
    # Where c2c-meta is installed its loader reads the file as the service does, environment variables and all.
    uri = f"c2c://{target}" if "://" not in target and plaster.find_loaders("c2c", protocols=["wsgi"]) else target
    try:
        plaster.get_loader(uri, protocols=["wsgi"]).get_wsgi_app()
    except plaster.LoaderNotFound:
        raise ConfigurationError(f"{target}: nothing reads it: pip install plaster-pastedeploy, or c2c-meta") from None
    except Exception as error:  # the boundary to an application's start-up
        raise ConfigurationError(f"{target}: it does not start: {type(error).__name__}: {error}") from error
    health = global_registries.last.get("health_check") if global_registries.last else None
    if health is None:
        raise ConfigurationError(f'{target}: its application has no config.include("c2c_health")')
    return health.report(level)
