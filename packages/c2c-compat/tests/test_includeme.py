"""What ``config.include(c2cwsgiutils.pyramid.includeme)`` does more than c2c-meta."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from pyramid.config import Configurator
from webtest import TestApp

import c2cwsgiutils
import c2cwsgiutils.index
import c2cwsgiutils.pyramid
from c2c_broadcast import ConfigurationError

SECRET = "a-secret-of-the-tests"
OPEN = "keeps open what was open"


def configured(**settings: str) -> Configurator:
    """Return a configurator of a service with statistics and a secret."""
    names = {"c2c.secret": SECRET, "c2c.stats_view": "true", **settings}
    config = Configurator(settings=names, route_prefix="/api")
    config.include(c2cwsgiutils.pyramid.includeme)
    return config


def said(caplog: pytest.LogCaptureFixture) -> int:
    """Count how often the log says that something is open."""
    return sum(OPEN in record.getMessage() for record in caplog.records)


def test_reset_stays_open(caplog: pytest.LogCaptureFixture) -> None:
    """Everybody may reset stats.json, and one line says so, however often it is included."""
    config = configured()
    config.include("c2cwsgiutils.pyramid")
    config.commit()
    config.include(c2cwsgiutils.pyramid.includeme)
    c2cwsgiutils.stats_pyramid.init(config)
    assert TestApp(config.make_wsgi_app()).get("/api/c2c/stats.json?reset=1").status_int == 200
    assert said(caplog) == 1


def test_reset_can_be_closed(caplog: pytest.LogCaptureFixture) -> None:
    """The ini file's word counts, and then nothing is said."""
    config = configured(**{"c2c.stats_public_reset": "false"})
    app = TestApp(config.make_wsgi_app())
    app.get("/api/c2c/stats.json?reset=1", status=403)
    assert app.get("/api/c2c/stats.json?reset=1", headers={"X-API-Key": SECRET}).status_int == 200
    assert said(caplog) == 0


def test_the_environment_closes_it(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's word counts, too."""
    monkeypatch.setenv("C2C_STATS_PUBLIC_RESET", "0")
    TestApp(configured().make_wsgi_app()).get("/api/c2c/stats.json?reset=1", status=403)
    assert said(caplog) == 0


def test_without_statistics_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Where c2c_stats is left out, or another package alone included, there is nothing open."""
    configured(**{"c2c.exclude": "c2c_stats"})
    c2cwsgiutils.errors.init(Configurator())
    assert said(caplog) == 0


@pytest.mark.parametrize("name", ["stats", "stats_pyramid", "metrics", "redis_stats"])
def test_statistics_alone(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """``init(config)`` of statistics alone keeps it open as well."""
    config = Configurator(settings={"c2c.secret": SECRET, "c2c.stats_view": "true"})
    getattr(c2cwsgiutils, name).init(config)
    assert TestApp(config.make_wsgi_app()).get("/c2c/stats.json?reset=1").status_int == 200
    assert said(caplog) == 1


@pytest.fixture
def levels() -> Iterator[None]:
    """Put the levels of loggers back."""
    names = ["c2cwsgiutils", "c2cwsgiutils.sql_profiler", "c2c_stats", "c2c_debug"]
    before = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def test_loggers_of_the_ini_file(levels: None) -> None:
    """The level of c2cwsgiutils is that of the packages, unless they have their own; at any time."""
    stats = logging.getLogger("c2c_stats._statsd")
    assert not stats.isEnabledFor(logging.DEBUG)
    configured()
    logging.getLogger("c2cwsgiutils").setLevel(logging.DEBUG)
    assert stats.isEnabledFor(logging.DEBUG)
    logging.getLogger("c2c_stats").setLevel(logging.ERROR)
    assert not stats.isEnabledFor(logging.WARNING)
    plans = logging.getLogger("c2c_debug.sql_profiler")
    logging.getLogger("c2cwsgiutils").setLevel(logging.WARNING)
    assert not plans.isEnabledFor(logging.INFO)
    logging.getLogger("c2c_debug").setLevel(logging.INFO)
    assert plans.isEnabledFor(logging.INFO)
    logging.getLogger("c2cwsgiutils.sql_profiler").setLevel(logging.ERROR)
    assert not plans.isEnabledFor(logging.INFO)


@pytest.fixture
def index() -> Iterator[Any]:
    """Give the module, and put its values back."""
    module = c2cwsgiutils.index
    yield module
    module.additional_title = None
    module.additional_auth = []
    module.additional_noauth = []


def test_index_page(index: Any) -> None:
    """What a service puts into the lists, at any time, is on the page: operators' parts for operators."""
    app = TestApp(configured().make_wsgi_app())
    empty = app.get("/api/c2c").text
    assert "Service:" not in empty
    index.additional_title = "<h2>The parcels</h2>"
    index.additional_auth.append(index.section("Imports", index.paragraph(index.link("/imports?a=1&b=2", "<Look>"))))
    field = index.input_("batch_size", value=12)
    index.additional_noauth.append(index.form("/try", field, index.button("Try"), method="post"))
    everybody = app.get("/api/c2c").text
    operator = app.get("/api/c2c", headers={"X-API-Key": SECRET}).text
    assert "<h2>The parcels</h2>" in everybody
    assert 'action="/try" method="post"' in everybody
    assert '<label>Batch size <input type="number" name="batch_size" value="12"></label>' in everybody
    assert '<button type="submit">Try</button>' in everybody
    assert "Imports" not in everybody
    assert "<h3>Imports</h3>" in operator
    assert 'href="/imports?a=1&amp;b=2"' in operator
    assert "&lt;Look&gt;</a>" in operator


def test_pieces_of_html(index: Any) -> None:
    """Nothing leads nowhere; hidden fields have no label; a section may have no line above it."""
    assert index.link(None, "x") == index.form(None, "x") == ""
    assert index.input_("a", type_="hidden", value='"') == '<input type="hidden" name="a" value="&quot;">'
    assert index.input_("a", "The <a>").startswith("<label>The &lt;a&gt; <input")
    assert index.section("T", "<p>x</p>", sep=False) == "<section><h3>T</h3><p>x</p></section>"
    assert index.paragraph("x", title="T&") == "<p><strong>T&amp;</strong> x</p>"


def test_secret_of_the_settings() -> None:
    """``get_expected_secret`` gives it, "" where there is none."""

    def view(request: Any) -> dict[str, Any]:
        return {"secret": c2cwsgiutils.auth.get_expected_secret(request)}

    for settings, secret in (({}, SECRET), ({"c2c.secret": ""}, "")):
        config = configured(**settings)
        config.add_route("secret", "/secret")
        config.add_view(view, route_name="secret", renderer="json")
        assert TestApp(config.make_wsgi_app()).get("/api/secret").json == {"secret": secret}


def test_switches_of_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """A view is enabled when there is a secret and its switch, where it has one, is on."""
    is_enabled = c2cwsgiutils.auth.is_enabled
    config = Configurator(settings={"c2c.secret": SECRET, "parcels.imports": "yes", "parcels.wrong": "perhaps"})
    assert is_enabled(config)
    assert is_enabled(config, config_name="parcels.imports")
    assert not is_enabled(config, "PARCELS_EXPORTS", "parcels.exports")
    monkeypatch.setenv("PARCELS_EXPORTS", "1")
    assert is_enabled(config, "PARCELS_EXPORTS", "parcels.exports")
    assert not is_enabled(Configurator(settings={}), "PARCELS_EXPORTS", "parcels.exports")
    with pytest.raises(ConfigurationError, match=r"parcels\.wrong"):
        is_enabled(config, config_name="parcels.wrong")
