"""What all packages together have Pyramid do in each request of an application."""

from pyramid.config import Configurator
from pyramid.interfaces import IRequestExtensions
from webtest import TestApp

import c2c_meta as c2c


def test_no_request_class_and_no_events(tmp_path):
    """Pyramid makes no class for a request and notifies no events; the session and ``tm`` are there all the same."""
    config = Configurator(settings={"sqlalchemy.url": f"sqlite:///{tmp_path}/x.db"})
    config.include("c2c_meta")
    c2c.db.init(config)
    classes = []

    def view(request):
        classes.append(type(request))
        return {"tm": request.tm is request.tm, "session": request.dbsession is request.dbsession}

    config.add_route("x", "/x")
    config.add_view(view, route_name="x", renderer="json")
    app = TestApp(config.make_wsgi_app())
    for _ in range(2):
        assert app.get("/x").json == {"tm": True, "session": True}
    assert classes[0] is classes[1]
    assert not app.app.registry.has_listeners
    assert not app.app.registry.getUtility(IRequestExtensions).descriptors
