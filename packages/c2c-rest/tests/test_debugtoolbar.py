import pytest
from pyramid.config import Configurator
from webtest import TestApp


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_debug_toolbar_shows_an_exception():
    """With exception handling disabled and the documented settings, pyramid_debugtoolbar shows its page."""
    settings = {
        "c2c.disable_exception_handling": "true",
        "debugtoolbar.enabled": "true",
        "debugtoolbar.hosts": "0.0.0.0/0",
        "debugtoolbar.intercept_exc": "debug",
        "debugtoolbar.show_on_exc_only": "true",
    }
    config = Configurator(settings=settings)
    config.include("c2c_rest")
    config.include("pyramid_debugtoolbar")
    config.add_route("raise", "/raise")
    config.add_view(lambda request: 1 / 0, route_name="raise")
    config.add_route("fine", "/fine")
    config.add_view(lambda request: {"fine": True}, route_name="fine", renderer="json")
    app = TestApp(config.make_wsgi_app(), extra_environ={"REMOTE_ADDR": "127.0.0.1"})
    answer = app.get("/raise", status=500)
    assert answer.content_type == "text/html"
    assert "ZeroDivisionError" in answer.text
    assert "pdtb" in answer.text or "debugtoolbar" in answer.text.lower()
    assert app.get("/fine").json == {"fine": True}
