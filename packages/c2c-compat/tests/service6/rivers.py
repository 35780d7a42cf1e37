"""A service in the style of c2cwsgiutils 6: it knows c2cwsgiutils and nothing else of the toolkit."""

import logging
import os

import sqlalchemy as sa
import trouble
from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPMovedPermanently, HTTPNoContent

import c2cwsgiutils.auth
import c2cwsgiutils.db
import c2cwsgiutils.health_check
import c2cwsgiutils.pyramid
from c2cwsgiutils import broadcast, prometheus, services

_LOG = logging.getLogger(__name__)
asked = Counter("rivers_asked", "How often they were listed")
rivers = services.create("rivers", "/rivers", cors_credentials=True)


class Levels:
    """What the service itself knows of rivers, in each process."""

    def collect(self):
        """Give it to Prometheus."""
        yield GaugeMetricFamily("rivers_level", "How high they are", value=7)


@broadcast.decorator(expect_answers=True)
def length():
    """Answer in each process."""
    return 42


@rivers.get()
def rivers_get(request):
    """Read where the request reads."""
    _LOG.info("Rivers are listed")
    asked.inc()
    return {"side": request.dbsession.execute(sa.text("SELECT value FROM hello")).scalar()}


@rivers.put()
def rivers_put(request):
    """Read where the request writes."""
    return {"side": request.dbsession.execute(sa.text("SELECT value FROM hello")).scalar()}


@rivers.patch()
def rivers_patch(request):
    """Have nothing to say."""
    request.response.status_int = 204
    return request.response


@rivers.post()
def rivers_post(request):
    """Read on the slave, as it is forced to."""
    return {"side": request.dbsession.execute(sa.text("SELECT value FROM hello")).scalar()}


def duplicate(request):
    """Write in a GET."""
    for _ in range(2):
        request.dbsession.execute(sa.text("INSERT INTO hello (id, value) VALUES (77, 'x')"))
    return {}


def moved(request):
    """Raise a redirection."""
    raise HTTPMovedPermanently(location="http://www.camptocamp.com/")


def nothing(request):
    """Raise a 204."""
    raise HTTPNoContent


def main(_, **settings):
    """Make the application."""
    config = Configurator(settings=settings, route_prefix="/api")
    config.include(c2cwsgiutils.pyramid.includeme)
    session = c2cwsgiutils.db.init(config, "sqlalchemy", "sqlalchemy_slave", force_slave=["POST /api/rivers"])
    assert session is config.registry["dbsession_factory"]
    checks = c2cwsgiutils.health_check.HealthCheck(config)
    checks.add_db_session_check(session, query_cb=lambda one: one.execute(sa.text("SELECT 1")).scalar())
    broadcast.subscribe("rivers_metrics", lambda: prometheus.serialize_collected_data(Levels()))
    if "RIVERS_URL" in os.environ:
        trouble.add(config, checks, session)
    for name, view in {"duplicate": duplicate, "moved": moved, "nothing": nothing}.items():
        config.add_route(name, f"/{name}")
        config.add_view(view, route_name=name, renderer="json")
    config.add_route("length", "/length")
    config.add_view(lambda request: length(), route_name="length", renderer="fast_json")
    config.add_route("kind", "/kind")
    config.add_view(
        lambda request: c2cwsgiutils.auth.auth_type(request.registry.settings).name, route_name="kind", renderer="json"
    )
    config.scan()
    return config.make_wsgi_app()
