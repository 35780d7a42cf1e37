"""Every module and name of the contract, and that importing them does nothing."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from pyramid.config import Configurator

import c2c_compat
import c2cwsgiutils

# The contract, word for word: the names that it gives to a module, "init" where it is called with a configurator.
CONTRACT = {
    "pyramid": "includeme",
    "stats": "timer_context outcome_timer_context timer increment_counter set_gauge init_backends BACKENDS init",
    "stats_pyramid": "init",
    "metrics": "Provider MemoryMapProvider add_provider init",
    "prometheus": "PushgatewayGroupPublisher",
    "db": "setup_session create_session init",
    "health_check": "HealthCheck JsonCheckException init",
    "services": "create",
    "broadcast": "subscribe unsubscribe broadcast decorator init",
    "auth": "is_auth auth_view get_expected_secret is_enabled",
    "errors": "init",
    "pretty_json": "init",
    "pyramid_logging": "JsonLogHandler PyramidCeeSysLogHandler init",
    "logging_view": "init",
    "request_tracking": "init",
    "redis_stats": "init",
    "redis_utils": "get",
    "sentry": "init capture_exceptions filter_wsgi_app",
    "sql_profiler": "init",
    "profiler": "filter_wsgi_app",
    "debug": "init init_daemon get_size dump_memory_maps",
    "client_info": "Filter",
    "index": "section paragraph link form input_ button additional_title additional_auth additional_noauth",
    "version": "get_version init",
    "models_graph": "generate_model_graph",
    "loader": "Loader",
    "wsgi": "create_application",
    "wsgi_app": "application",
    "setup_process": "",
    "coverage_setup": "init",
    "sqlalchemylogger.handlers": "SQLAlchemyHandler",
    "acceptance": "retry",
    "acceptance.connection": "Connection CacheExpected",
    "acceptance.composition": "Composition",
    "acceptance.print": "PrintConnection",
    "acceptance.utils": "wait_url retry_timeout approx in_docker DOCKER_GATEWAY skipIfCI",
}
# More modules, for what is beside these.
MORE = {
    "sqlalchemylogger": "SQLAlchemyHandler",
    "acceptance.image": "check_image check_image_file check_screenshot",
}
# Modules that only c2cwsgiutils 6 has.
SIX = {"config_utils", "db_maintenance_view", "debug.utils", "scripts", "scripts.genversion"}
# What changes the process, or builds the service, when it is looked at; and what an extra brings.
APART = {"setup_process", "wsgi_app", "acceptance.image"}
# Same object under the same name, or under the name given.
SAME = {
    "stats": "c2c_stats",
    "metrics": "c2c_stats.prometheus",
    "prometheus": "c2c_stats.prometheus",
    "db": "c2c_db",
    "health_check": "c2c_health",
    "services": "c2c_rest.services",
    "broadcast": "c2c_broadcast.broadcast",
    "auth": "c2c_broadcast",
    "pyramid_logging": "c2c_logging",
    "sentry": "c2c_sentry",
    "profiler": "c2c_debug.profiler",
    "debug": "c2c_debug.sizes",
    "client_info": "c2c_rest.client_info",
    "version": "c2c_health.version",
    "models_graph": "c2c_db",
    "loader": "c2c_meta._loader",
    "wsgi": "c2c_meta.wsgi",
    "sqlalchemylogger.handlers": "c2c_logging",
    "acceptance": "c2c_testing.utils",
    "acceptance.connection": "c2c_testing",
    "acceptance.composition": "c2c_testing",
    "acceptance.print": "c2c_testing",
    "acceptance.utils": "c2c_testing.utils",
}
OUR_OWN = {"HealthCheck", "JsonCheckException", "init", "init_daemon", "get_expected_secret", "is_auth", "is_enabled"}


def module(name: str) -> ModuleType:
    """Import a module of c2cwsgiutils."""
    return importlib.import_module(f"c2cwsgiutils.{name}")


@pytest.mark.parametrize("name", sorted(set(CONTRACT) - APART))
def test_a_module_has_its_names(name: str) -> None:
    """All names of the contract are there; what is more is of c2cwsgiutils 6."""
    found = module(name)
    names = getattr(found, "__all__", CONTRACT[name].split())
    assert set(CONTRACT[name].split()) <= set(names)
    for one in names:
        assert hasattr(found, one)
        if one in {"init", "includeme"} or callable(getattr(found, one)):
            assert getattr(found, one).__doc__


@pytest.mark.parametrize("name", sorted(SAME))
def test_names_are_those_of_the_packages(name: str) -> None:
    """A name is the package's object, not a copy of it."""
    theirs = importlib.import_module(SAME[name])
    for one in set(CONTRACT[name].split()) - OUR_OWN:
        assert getattr(module(name), one) is getattr(theirs, one) or one == "DOCKER_GATEWAY"


def test_there_are_no_other_modules() -> None:
    """The contract and this list are complete."""
    root = Path(c2cwsgiutils.__path__[0])
    files = {path.relative_to(root).with_suffix("") for path in root.rglob("*.py")}
    names = {".".join(path.parts).removesuffix(".__init__") for path in files} - {"__init__"}
    assert names == {*CONTRACT, *MORE, *SIX}


def test_modules_come_by_themselves() -> None:
    """After ``import c2cwsgiutils`` any module is there; but looking for setup_process sets nothing up."""
    names = sorted(name for name in CONTRACT if "." not in name and name != "setup_process")
    code = f"import c2cwsgiutils as c\nfor name in {names}: assert getattr(c, name).__name__ == 'c2cwsgiutils.' + name"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint(hasattr(c, 'setup_process'), hasattr(c, 'nothing'))"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "False False\n", done.stderr


_NOTHING = """
import importlib, logging, os, sys, threading
environment, handlers = dict(os.environ), list(logging.root.handlers)
for name in {names}:
    importlib.import_module("c2cwsgiutils." + name)
assert threading.active_count() == 1
assert dict(os.environ) == environment and logging.root.handlers == handlers
import requests, redis, c2c_stats
from c2c_broadcast import broadcast
assert requests.Session.send.__module__ == "requests.sessions", requests.Session.send
assert not c2c_stats.BACKENDS and not broadcast._PROCESS
heavy = {{"sentry_sdk", "pyinstrument", "gunicorn", "alembic", "lxml", "skimage", "jinja2"}} & set(sys.modules)
assert not heavy, heavy
"""


def test_importing_does_nothing() -> None:
    """No thread, handler, patch or variable; nothing heavy is imported that is not asked for by name."""
    names = sorted(set(CONTRACT) - {"setup_process"})
    environment = {"C2C_REDIS_URL": "redis://127.0.0.1:1", "STATS_VIEW": "1", "PATH": "/bin", "SENTRY_URL": "x"}
    done = subprocess.run(
        [sys.executable, "-c", _NOTHING.format(names=names)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr


def test_importing_c2c_compat_imports_nothing_else() -> None:
    """The commands and the refusal are quick: no other package is imported."""
    code = "import sys, c2c_compat._commands; print([n for n in sys.modules if n.startswith('c2c_')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert set(eval(done.stdout)) == {"c2c_compat", "c2c_compat._commands", "c2c_compat._refusal"}, done.stderr


INIT = {
    "broadcast": "c2c_broadcast",
    "debug": "c2c_debug",
    "errors": "c2c_rest",
    "health_check": "c2c_health",
    "logging_view": "c2c_logging",
    "metrics": "c2c_stats",
    "pretty_json": "c2c_rest",
    "redis_stats": "c2c_stats",
    "request_tracking": "c2c_logging",
    "sentry": "c2c_sentry",
    "sql_profiler": "c2c_debug",
    "stats": "c2c_stats",
    "stats_pyramid": "c2c_stats",
    "version": "c2c_health",
}


def configured() -> Configurator:
    """Return a configurator with settings that switch views on."""
    switches = ("c2c.debug_view_enabled", "c2c.sql_profiler_enabled", "c2c.log_view_enabled", "c2c.stats_view")
    return Configurator(settings={"c2c.secret": "a-secret-of-the-tests", **dict.fromkeys(switches, "true")})


def introspected(config: Configurator) -> set[tuple[str, str]]:
    """Return what Pyramid knows of an application: views, routes, tweens, sections."""
    config.commit()
    return {
        (category, str(item["introspectable"].title).partition(" at 0x")[0])
        for category, items in config.introspector.categorized()
        for item in items
    }


@pytest.mark.parametrize("name", sorted(INIT))
def test_init_is_the_includeme(name: str) -> None:
    """``init(config)`` adds what the package's includeme does, called directly and included, once and again."""
    init = module(name).init
    config, plain = configured(), configured()
    init(config)
    init(config)
    config.include(init)
    plain.include(INIT[name])
    assert introspected(config) == introspected(plain) != introspected(configured())


def test_no_init_is_forgotten() -> None:
    """Those of three modules are other functions: of databases, of scripts, of coverage."""
    others = {"db", "pyramid_logging", "coverage_setup"}
    assert {name for name, names in CONTRACT.items() if "init" in names.split()} == {*INIT, *others}


def test_c2c_compat_is_included_too() -> None:
    """``config.include("c2c_compat")`` is the same as ``config.include("c2cwsgiutils.pyramid")``."""
    assert module("pyramid").includeme is c2c_compat.includeme
