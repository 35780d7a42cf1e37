"""What including the package does."""

import subprocess
import sys
from pathlib import Path

import pytest

from c2c_broadcast import ConfigurationError, broadcast, declarations, sections
from c2c_debug import DebugSettings, subscribe

_README = Path(__file__).parents[1] / "README.md"


def test_the_readme_has_every_setting():
    """The table names what the dataclass declares, and no more."""
    text = _README.read_text().partition("<!-- settings: ")[2].partition("<!-- end -->")[0]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    wanted = [
        f"| `{one.env}` | `{one.key}` | {'none' if default in (None, ()) else f'`{default}`'.lower()} | {one.help} |"
        for one, default in declarations(DebugSettings).values()
    ]
    assert rows == wanted


def test_sections_lead_to_views(make_service):
    """The index page's links and forms are of routes that exist; the profiler's is at the root, whatever the prefix."""
    service = make_service(**{"c2c.sql_profiler_enabled": "1", "c2c.profiler_path": "/prof"})
    service.app  # noqa: B018 # makes the application
    found = sections(service.config.registry)
    assert [one.name for one in found] == ["running", "debug", "sql_profiler", "profiler"]
    assert all(one.operators_only for one in found)
    introspector = service.config.introspector
    routes = {one["introspectable"].discriminator: one["introspectable"] for one in introspector.get_category("routes")}
    for section in found:
        for part in (*section.links, *section.forms, *section.live):
            assert part.route in routes
    assert routes["c2c_profiler"]["pattern"] == "/prof"


def test_what_is_off_says_what_switches_it_on():
    """An operator reads the variable in the 404, of the public view too; others read nothing."""
    from pyramid.config import Configurator
    from webtest import TestApp

    config = Configurator(settings={"c2c.secret": "a-secret-for-operators"})
    config.include("c2c_debug")
    app = TestApp(config.make_wsgi_app())
    for path, variable in (
        ("debug/stacks", "C2C_DEBUG_VIEW_ENABLED"),
        ("debug/time", "C2C_DEBUG_VIEW_ENABLED"),
        ("sql_profiler", "C2C_SQL_PROFILER_ENABLED"),
    ):
        told = app.get(f"/c2c/{path}", headers={"X-API-Key": "a-secret-for-operators"}, status=404).json["message"]
        assert told == f"/c2c/{path} is off: set {variable}"
        assert variable not in app.get(f"/c2c/{path}", status=404).text


def test_the_profilers_link_is_at_the_root(make_service):
    """An application with a route prefix has it at the root all the same: the filter is outside of it."""
    from pyramid.config import Configurator

    config = Configurator(settings={"c2c.profiler_path": "prof"}, route_prefix="/api")
    config.include("c2c_debug")
    config.commit()
    (route,) = [
        one["introspectable"]
        for one in config.introspector.get_category("routes")
        if one["introspectable"]["name"] == "c2c_profiler"
    ]
    assert route["pattern"] == "/prof"
    assert config.route_prefix == "/api"


@pytest.mark.parametrize(
    ("key", "value"),
    [("c2c.debug_view_enabled", "perhaps"), ("c2c.sql_profiler_enabled", "2"), ("c2c.profiler_path", "/a/b")],
)
def test_a_bad_setting_stops_the_start(make_service, key, value):
    """The error names it."""
    with pytest.raises(ConfigurationError, match=key.replace(".", r"\.")):
        make_service(**{key: value})


def test_a_daemon_answers(eventually):
    """``subscribe()`` is all that a process without Pyramid does."""
    subscribe()
    (answer,) = eventually(lambda: broadcast.ask("c2c_debug_stacks").answers)
    assert answer["stacks"]


def test_importing_does_nothing():
    """No thread, no objgraph, no SQLAlchemy, no pyinstrument, before something needs them."""
    heavy = ("objgraph", "sqlalchemy", "pyinstrument", "linesman", "networkx")
    program = (
        "import sys, threading, c2c_debug, c2c_debug.profiler;"
        f"print(threading.active_count(), [one for one in {heavy} if one in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "1 []"
