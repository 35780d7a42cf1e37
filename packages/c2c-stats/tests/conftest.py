"""What the tests share."""

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pyramid.config import Configurator
from sqlalchemy import Engine, create_engine
from webtest import TestApp

import c2c_stats as stats

# No test asserts a duration, Hypothesis's neither: a busy machine takes its time.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

_NAMES = ("STATS_VIEW", "STATSD_ADDRESS", "STATSD_PREFIX", "STATSD_USE_TAGS", "C2C_SECRET", "C2C_REDIS_URL")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start and end each test with everything off and forgotten."""
    for name in _NAMES:
        monkeypatch.delenv(name, raising=False)
    # Bound handles of tests before, in cycles of references, are still held.
    gc.collect()
    stats.init_backends({})
    yield
    stats.init_backends({})


@pytest.fixture
def memory() -> Callable[[], dict[str, Any]]:
    """Turn the memory backend on; give a function that returns what stats.json would show."""
    from c2c_stats._sink import SINK
    from c2c_stats._stats_view import shown

    stats.init_backends({"c2c.stats_view": "true"})
    return lambda: shown(SINK.exporters.get("memory").snapshot())


@pytest.fixture
def new_engine() -> Iterator[Callable[[], Engine]]:
    """Give a function that makes an engine of SQLite, whose connections are closed at the end."""
    engines: list[Engine] = []

    def new() -> Engine:
        engines.append(create_engine("sqlite://"))
        return engines[-1]

    yield new
    for engine in engines:
        engine.dispose()


@pytest.fixture
def make_app() -> Callable[..., TestApp]:
    """Give a function that makes an application with c2c_stats: ``make_app(configure, settings)``."""

    def make(configure: Callable[[Configurator], None] | None = None, **settings: str) -> TestApp:
        given = {name.replace("__", "."): value for name, value in settings.items()}
        config = Configurator(settings={"c2c.stats_view": "true", **given})
        config.include("c2c_stats")
        if configure is not None:
            configure(config)
        # Its lint warns of unusual methods, which some tests send.
        return TestApp(config.make_wsgi_app(), lint=False)

    return make
