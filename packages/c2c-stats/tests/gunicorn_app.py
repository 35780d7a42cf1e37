"""The application that the gunicorn tests serve: it counts, and tells who it is."""

import os
import time

from pyramid.config import Configurator
from sqlalchemy import create_engine, text

import c2c_stats as stats

ENGINE = create_engine("sqlite://")
BOUND = stats.bound_counter(["bound"])


def count(request):
    """Count as often as asked."""
    for _ in range(int(request.params["n"])):
        stats.increment_counter(["counted"], tags={"kind": "plain"})
        BOUND.inc()
    stats.set_gauge(["answered"], time.time())
    with ENGINE.connect() as connection:
        connection.execute(text("SELECT 1"))
    time.sleep(float(request.params.get("sleep", 0)))
    return {"pid": os.getpid()}


def main():
    """Make the application."""
    # Recorded in gunicorn's main process where the application is preloaded.
    config = Configurator(settings={"c2c.statsd_flush_interval": "0.1"})
    config.include("c2c_stats")
    stats.increment_counter(["loaded"])
    config.add_route("count", "/count")
    config.add_view(count, route_name="count", renderer="json")
    return config.make_wsgi_app()


application = main()
