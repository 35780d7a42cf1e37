"""Run the Python of one README: ``python -m documentation.readmes packages/c2c-health/README.md``.

A README's examples use names that its reader has: a config, a session, a model. Here are real ones. The blocks of a
page run one after the other, in one module; what a block defines is then used: an application is asked, a function
called.
"""

import contextlib
import logging
import os
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pyramid.config import Configurator
from pyramid.interfaces import IRequestFactory
from pyramid.request import Request, apply_request_extensions

from acceptance_tests.demo import APP
from documentation.blocks import Block, blocks
from documentation.pages import ROOT

SECRET = "a-secret-of-the-readmes"  # noqa: S105 # made up
Names = dict[str, Any]
_MODULE = "readme_of_"


def _config(**settings: Any) -> Configurator:
    return Configurator(settings={"c2c.secret": SECRET, "c2c.debug_view_enabled": "true", **settings})


def ask(app: Any, path: str, **headers: str) -> Any:
    """Return the answer of an application to a GET."""
    return Request.blank(path, headers={"X-API-Key": SECRET, **headers}).get_response(app)


def _auth() -> Names:
    from pyramid.httpexceptions import HTTPForbidden

    return {"config": _config(), "HTTPForbidden": HTTPForbidden}


def _broadcast() -> Names:
    from c2c_broadcast import family, load, setting

    config = _config()
    config.include("c2c_broadcast")
    names = {"CACHE": {}, "CACHES": {"tiles": {}}, "logging": logging, "dataclass": dataclass}
    return {**names, "setting": setting, "family": family, "load": load, "config": config}


def _health() -> Names:
    from acceptance_app.models import Hello

    from c2c_broadcast.broadcast import init
    from c2c_db import create_session
    from c2c_health import HealthCheck

    init({}, None)
    config = _config()
    session = create_session(config, "readme", os.environ["PRIMARY_URL"], os.environ["REPLICA_URL"])
    return {
        "HealthCheck": HealthCheck,
        "DBSession": session,
        "Hello": Hello,
        "url": f"{os.environ['SERVICE_URL']}/api/ping",
        "redis_url": os.environ["REDIS_URL"],
        "name": "custom",
        "check_cb": lambda _request: {"some": "json"},
    }


def _logging() -> Names:
    import c2c_logging

    config = _config()
    config.include("c2c_logging")
    config.make_wsgi_app()
    request = config.registry.getUtility(IRequestFactory).blank("/")
    request.registry = config.registry
    apply_request_extensions(request)
    names = {"c2c_logging": c2c_logging, "run_in_context": c2c_logging.run_in_context, "request": request}
    return {**names, "config": _config(), "executor": ThreadPoolExecutor(1), "work": list}


def _meta() -> Names:
    # The view of the reader's service, which its main() scans.
    names: Names = {"__name__": f"{_MODULE}c2c_meta"}
    exec("from c2c_rest import services\nhello = services.create('hello', '/hello')", names)  # noqa: S102 # as above
    return names


def _page() -> Names:
    return {"config": _config()}


def _rest() -> Names:
    from c2c_rest import client_info

    config = _config()
    config.include("c2c_rest")
    names = {"config": config, "datetime": datetime, "client_info": client_info}
    return {**names, "application": _config().make_wsgi_app()}


def _sentry() -> Names:
    import c2c_sentry

    app = _config().make_wsgi_app()
    return {"c2c_sentry": c2c_sentry, "config": _config(), "work": list, "app": app, "settings": {}}


def _testing() -> Names:
    import pytest

    from c2c_testing import CacheExpected, Composition, Connection, PrintConnection, wait_url

    names = (CacheExpected, Composition, Connection, PrintConnection, wait_url)
    return {"pytest": pytest, **{one.__name__: one for one in names}}


PREPARED: dict[str, Callable[[], Names]] = {
    "c2c-auth": _auth,
    "c2c-broadcast": _broadcast,
    "c2c-health": _health,
    "c2c-logging": _logging,
    "c2c-meta": _meta,
    "c2c-page": _page,
    "c2c-rest": _rest,
    "c2c-sentry": _sentry,
    "c2c-testing": _testing,
}

# The first line of blocks of which only the syntax is held to the truth here, and why.
ONLY_COMPILED = {
    'with Connection("http://127.0.0.1:8080/api/", origin="https://www.example.com") as connection:': (
        "a made-up service; packages/c2c-testing has one for its tests"
    ),
    'Composition(request, "shop", "compose.yaml", coverage_paths=["api:/tmp/coverage"])': "needs docker",
    'with PrintConnection("http://127.0.0.1:8080/print/", origin="https://www.example.com") as connection:': (
        "needs a print server; packages/c2c-testing has one for its tests"
    ),
}


def instead() -> dict[str, str]:
    """Return what the READMEs' made-up addresses are here."""
    return {
        "postgresql://user:password@primary/app": os.environ["PRIMARY_URL"],
        "postgresql://user:password@replica/app": os.environ["REPLICA_URL"],
        "/app/alembic.ini": str(APP / "alembic.ini"),
    }


def run(block: Block, module: types.ModuleType) -> str:
    """Run a block in a module; return how: run, or compiled.

    Raises:
        Exception: whatever the block, or the use of what it defines, raises.
    """
    written = block.text
    for theirs, ours in instead().items():
        written = written.replace(theirs, ours)
    # The line numbers of a traceback are those of the page.
    code = compile("\n" * block.line + written, str(block.page), "exec")
    if block.text.splitlines()[0].split("  #")[0] in ONLY_COMPILED:
        return "compiled"
    names = vars(module)
    if isinstance(names.get("config"), Configurator):
        names.setdefault("registry", names["config"].registry)
    exec(code, names)  # noqa: S102 # the pages of this repository
    _use(block, names)
    return "run"


def _use(block: Block, names: Names) -> None:
    """Use what a block defined: ask its application, call its function."""
    if "def main(" in block.text:
        urls = {"sqlalchemy.url": os.environ["PRIMARY_URL"], "sqlalchemy_slave.url": os.environ["REPLICA_URL"]}
        settings = {"c2c.secret": SECRET, "c2c.debug_view_enabled": "true", **urls}
        names["app"] = names["main"]({}, **settings)
        assert ask(names["app"], "/nowhere").status_int == 404  # noqa: PLR2004 # HTTP's Not Found
    for needle, then in THEN.items():
        if needle in block.text:
            then(names)


def _answers(path: str, wanted: str) -> Callable[[Names], None]:
    def then(names: Names) -> None:
        answer = ask(names["app"], path)
        assert answer.status_int == 200, f"{path}: {answer.text}"  # noqa: PLR2004 # HTTP's OK
        assert wanted in answer.text, f"{path}: no {wanted} in {answer.text}"

    return then


def _all_checks_pass(names: Names) -> None:
    report = ask(names["config"].make_wsgi_app(), "/c2c/health_check?max_level=9").json
    # A service without a versions.json, in one process: that check says so.
    assert set(report["failures"]) <= {"version", "None"}, report
    assert any(name.startswith("alembic") for name in report["successes"]), report


def _complete(names: Names) -> None:
    assert names["answers"].complete, names["answers"]
    assert names["answers"].answers[0]["entries"] == 0


def _import(names: Names) -> None:
    names["import_parcels"]([1, 2])


# What is done with a block that has this text.
THEN: dict[str, Callable[[Names], None]] = {
    "def cache_size": _answers("/c2c/cache", '"entries": 0'),
    "answers = broadcast.ask(": _complete,
    "SELECT 'hello'": _answers("/hello", "hello"),
    'include("c2c_debug")': _answers("/c2c/debug/time", "epoch"),
    '"disk", disk': _answers("/c2c/health_check?max_level=2", '"free": 42'),
    "add_alembic_check(": _all_checks_pass,
    "def hello_get(request)": _answers("/hello?name=Ada", "Ada"),
    'include("c2c_stats")': _answers("/metrics", "# TYPE"),
    "def import_parcels": _import,
    "HealthCheck(config).add_db_session_check(session)": _answers("/api/c2c/health_check", "db_engine"),
}


@contextlib.contextmanager
def sandbox(page: Path) -> Iterator[types.ModuleType]:
    """Give the module that a page's blocks run in; the current folder has the page's ini file and its application."""
    package = page.parent.name if page.parent != ROOT else "c2c"
    module = types.ModuleType(f"{_MODULE}{package.replace('-', '_')}")
    module.__file__ = str(page)
    sys.modules[module.__name__] = module
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("production.ini").write_text(f"[app:main]\nuse = call:{module.__name__}:main\nc2c.secret = {SECRET}\n")
        vars(module).update(PREPARED.get(package, dict)())
        yield module


def main() -> int:
    """Run the page named on the command line; print a line a block."""
    page = ROOT / sys.argv[1]
    os.environ["C2C_SECRET"] = SECRET
    with sandbox(page) as module:
        for block in blocks(page):
            # A titled block of a guide is a file of the service that its commands start: see test_guides.py.
            elsewhere = block.title and page.name != "README.md"
            if block.language == "python" and not block.reason and not elsewhere:
                how = run(block, module)
                sys.stdout.write(f"{how} {block.place}\n")
                sys.stdout.flush()
    # Threads of what the examples started end with the process.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
