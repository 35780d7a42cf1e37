"""A service in the style of 2020: it knows c2cwsgiutils and nothing else of the toolkit."""

from pyramid.config import Configurator

import c2cwsgiutils.auth
import c2cwsgiutils.db
import c2cwsgiutils.health_check
import c2cwsgiutils.index
import c2cwsgiutils.metrics
import c2cwsgiutils.pyramid
from parcels import models
from parcels.freshness import Freshness


def main(_, **settings):
    """Make the application."""
    config = Configurator(settings=settings, route_prefix="/api")
    config.include(c2cwsgiutils.pyramid.includeme)
    models.init(config)
    config.scan("parcels.views")

    health_check = c2cwsgiutils.health_check.HealthCheck(config)
    health_check.add_db_session_check(models.DBSession, at_least_one_model=models.Parcel)
    health_check.add_alembic_check(models.DBSession, settings["alembic_ini"], 1)
    health_check.add_custom_check("grumpy", grumpy, 5)

    c2cwsgiutils.metrics.add_provider(Freshness())
    c2cwsgiutils.index.additional_title = "<p>Parcels of the town</p>"
    c2cwsgiutils.index.additional_auth.append(
        c2cwsgiutils.index.section(
            "Imports", c2cwsgiutils.index.paragraph(c2cwsgiutils.index.link("/api/parcels", "Parcels"))
        )
    )
    config.add_route("imports_enabled", "/imports_enabled")
    enabled = c2cwsgiutils.auth.is_enabled(config, "PARCELS_IMPORTS", "parcels.imports")
    config.add_view(lambda request: {"enabled": enabled}, route_name="imports_enabled", renderer="json")
    return config.make_wsgi_app()


def grumpy(request):
    """Be in a bad mood."""
    raise c2cwsgiutils.health_check.JsonCheckException("I'm not happy", {"some": "json"})
