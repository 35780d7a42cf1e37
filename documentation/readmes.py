"""Run the Python of one page: ``python -m documentation.readmes packages/c2c-health/README.md``.

A README's examples use names that its reader has: a config, a session, a model. Here are real ones. The blocks of a
page run one after the other, in one module; what a block defines is then used: an application is asked, a function
called. (Each page in a process of its own, as its examples change the process: what sybil and pytest's plugins don't.)
"""

import contextlib
import logging
import os
import sys
import tempfile
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pyramid.config import Configurator
from pyramid.interfaces import IRequestFactory
from pyramid.request import Request, apply_request_extensions

from acceptance_tests.demo import APP
from documentation.blocks import ROOT, Block, blocks

SECRET = "a-secret-of-the-readmes"  # noqa: S105 # made up
SETTINGS = {"c2c.secret": SECRET, "c2c.debug_view_enabled": "true"}
Names = dict[str, Any]
COMPLETE = (ROOT.name, "guides", "reference", "c2c-compat", "c2c-db", "c2c-debug", "c2c-stats", "c2c-testing")
"""Pages whose examples are whole programs."""


def prepared(package: str, module: str) -> Names:
    """Return the names that the reader of a package's README has."""
    config = Configurator(settings=SETTINGS)
    names: Names = {"config": config, "logging": logging, "dataclass": dataclass, "work": list}
    if package == "c2c-broadcast":
        from c2c_broadcast import family, load, setting

        config.include("c2c_broadcast")
        names |= {"CACHE": {}, "CACHES": {"tiles": {}}, "setting": setting, "family": family, "load": load}
    elif package == "c2c-health":
        from acceptance_app.models import Hello

        from c2c_broadcast.broadcast import init
        from c2c_db import create_session
        from c2c_health import HealthCheck

        init({}, None)
        session = create_session(config, "readme", os.environ["PRIMARY_URL"], os.environ["REPLICA_URL"])
        names |= {"HealthCheck": HealthCheck, "DBSession": session, "Hello": Hello, "name": "custom"}
        names |= {"url": f"{os.environ['SERVICE_URL']}/api/ping", "redis_url": os.environ["REDIS_URL"]}
        names["check_cb"] = lambda _request: {"some": "json"}
    elif package == "c2c-logging":
        import c2c_logging

        with_logging = Configurator(settings=SETTINGS)
        with_logging.include("c2c_logging")
        with_logging.make_wsgi_app()
        request = with_logging.registry.getUtility(IRequestFactory).blank("/")
        request.registry = with_logging.registry
        apply_request_extensions(request)
        names |= {"c2c_logging": c2c_logging, "run_in_context": c2c_logging.run_in_context, "request": request}
        names["executor"] = ThreadPoolExecutor(1)
    elif package == "c2c-meta":
        # The view of the reader's service, which its main() scans.
        names = {"__name__": module}
        exec("from c2c_rest import services\nhello = services.create('hello', '/hello')", names)  # noqa: S102 # ours
    elif package == "c2c-rest":
        from c2c_rest import client_info

        config.include("c2c_rest")
        application = Configurator(settings=SETTINGS).make_wsgi_app()
        names |= {"datetime": datetime, "client_info": client_info, "application": application}
    elif package == "c2c-sentry":
        import c2c_sentry

        names |= {"c2c_sentry": c2c_sentry, "app": Configurator().make_wsgi_app(), "settings": {}}
    return names


def run(block: Block, names: Names) -> None:
    """Run a block with these names, and use what it defines."""
    written = block.text.replace("postgresql://user:password@primary/app", os.environ["PRIMARY_URL"])
    written = written.replace("postgresql://user:password@replica/app", os.environ["REPLICA_URL"])
    written = written.replace("/app/alembic.ini", str(APP / "alembic.ini"))
    # The line numbers of a traceback are those of the page.
    code = compile("\n" * block.line + written, str(block.page), "exec")
    if isinstance(names.get("config"), Configurator):
        names.setdefault("registry", names["config"].registry)
    exec(code, names)  # noqa: S102 # the pages of this repository
    if "def main(" in block.text:
        urls = {"sqlalchemy.url": os.environ["PRIMARY_URL"], "sqlalchemy_slave.url": os.environ["REPLICA_URL"]}
        names["app"] = names["main"]({}, **SETTINGS, **urls)
        assert ask(names["app"], "/nowhere").status_int == 404  # noqa: PLR2004 # HTTP's Not Found
    for needle, use in USES.items():
        if needle in block.text:
            use(names)


def ask(app: Any, path: str) -> Any:
    """Return the answer of an application to an operator's GET."""
    return Request.blank(path, headers={"X-API-Key": SECRET}).get_response(app)


def _answers(path: str, wanted: str) -> Callable[[Names], None]:
    def use(names: Names) -> None:
        answer = ask(names["app"], path)
        assert answer.status_int == 200, f"{path}: {answer.text}"  # noqa: PLR2004 # HTTP's OK
        assert wanted in answer.text, f"{path}: no {wanted} in {answer.text}"

    return use


def _all_checks_pass(names: Names) -> None:
    report = ask(names["config"].make_wsgi_app(), "/c2c/health_check?max_level=9").json
    # A service without a versions.json, in one process: that check says so.
    assert set(report["failures"]) <= {"version", "None"}, report
    assert any(name.startswith("alembic") for name in report["successes"]), report


def _complete(names: Names) -> None:
    assert names["answers"].complete, names["answers"]
    assert names["answers"].answers[0]["entries"] == 0


# What is done with a block that has this text.
USES: dict[str, Callable[[Names], None]] = {
    "def cache_size": _answers("/c2c/cache", '"entries": 0'),
    "answers = broadcast.ask(": _complete,
    "SELECT 'hello'": _answers("/hello", "hello"),
    'include("c2c_debug")': _answers("/c2c/debug/time", "epoch"),
    '"disk", disk': _answers("/c2c/health_check?max_level=2", '"free": 42'),
    "add_alembic_check(": _all_checks_pass,
    "def hello_get(request)": _answers("/hello?name=Ada", "Ada"),
    'include("c2c_stats")': _answers("/metrics", "# TYPE"),
    "def import_parcels": lambda names: names["import_parcels"]([1, 2]),
    "HealthCheck(config).add_db_session_check(session)": _answers("/api/c2c/health_check", "db_engine"),
}


def main() -> None:
    """Run the page named on the command line; print a line a block."""
    page = ROOT / sys.argv[1]
    os.environ["C2C_SECRET"] = SECRET
    package = page.parent.name
    module = types.ModuleType(f"readme_of_{package.replace('-', '_')}")
    module.__file__ = str(page)
    sys.modules[module.__name__] = module
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("production.ini").write_text(f"[app:main]\nuse = call:{module.__name__}:main\nc2c.secret = {SECRET}\n")
        if package not in COMPLETE:
            vars(module).update(prepared(package, module.__name__))
        for block in blocks(page):
            # A titled block of a guide is a file of the service that its commands start: see test_guides.py.
            elsewhere = block.title and page.name != "README.md"
            if block.language == "python" and not block.reason and not elsewhere:
                run(block, vars(module))
                sys.stdout.write(f"run {block.place}\n")
    # Threads of what the examples started end with the process.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
