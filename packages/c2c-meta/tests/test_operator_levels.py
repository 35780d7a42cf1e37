"""Of all packages: views that are off say what switches them on, and who may only read sees what only shows."""

import pytest
from pyramid.config import Configurator
from webtest import TestApp

from c2c_broadcast import Credentials

_SECRET = "a-secret-for-operators"
_SWITCHES = {
    "C2C_DEBUG_VIEW_ENABLED": ("/debug/stacks", "/debug/memory", "/debug/time", "/debug/memory_diff/a/b"),
    "C2C_SQL_PROFILER_ENABLED": ("/sql_profiler",),
    "C2C_DB_MAINTENANCE_VIEW_ENABLED": ("/db/maintenance",),
    "C2C_LOG_VIEW_ENABLED": ("/logging/level",),
    "STATS_VIEW": ("/stats.json",),
}
_SHOW = ("members", "settings", "overview", "problems", "history", "debug/stacks", "debug/running", "debug/headers")
_SWITCH = (
    "db/maintenance?readonly=true",
    "logging/level?name=a&level=INFO",
    "sql_profiler?enable=1",
    "debug/sleep?time=0",
)


class Reader:
    """A policy by which everybody may read."""

    def judge(self, _request):
        """Let them read."""
        return Credentials("read", "Ann", "badge")

    def remember(self, _request, _response):
        """Remember nothing."""

    def challenge(self, _request):
        """Have no log-in."""


def make(*policies, **settings):
    """Make an application with everything."""
    config = Configurator(settings=settings)
    config.include("c2c_meta")
    for policy in policies:
        config.add_operator_policy(policy)
    return TestApp(config.make_wsgi_app())


@pytest.mark.parametrize("variable", _SWITCHES)
def test_a_view_that_is_off_names_its_variable(variable):
    """An operator reads in the 404 what switches it on; nobody else learns that there is such a view."""
    app = make(**{"c2c.secret": _SECRET})
    for path in _SWITCHES[variable]:
        told = app.get(f"/c2c{path}", headers={"X-API-Key": _SECRET}, status=404).json["message"]
        assert told.endswith(f" is off: set {variable}")
        assert variable not in app.get(f"/c2c{path}", status=404).text


def test_who_may_read_sees_what_only_shows(monkeypatch):
    """Without a secret too; what switches, sleeps or profiles takes more."""
    for variable in _SWITCHES:
        monkeypatch.setenv(variable, "true")
    app = make(Reader())
    for path in (*_SHOW, *(one.partition("?")[0] for one in _SWITCH[:3])):
        app.get(f"/c2c/{path}", status=200)
    for path in _SWITCH:
        app.get(f"/c2c/{path}", status=403)
        if "?" in path and "sleep" not in path:
            app.post(f"/c2c/{path}", headers={"Sec-Fetch-Site": "same-origin"}, status=403)
    page = app.get("/c2c").text
    assert "Differences" in page
