from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadRequest
from webtest import TestApp


def _bad(_request):
    raise HTTPBadRequest("bad")


def test_an_error_is_json():
    """A raised HTTP error is answered as JSON with its status."""
    config = Configurator()
    config.include("c2c_rest")
    config.add_route("bad", "/bad")
    config.add_view(_bad, route_name="bad")
    answer = TestApp(config.make_wsgi_app()).get("/bad", status=400)
    assert answer.json == {"message": "bad", "status": 400}
