"""The application that the tests with gunicorn serve; what it has comes from the environment."""

import logging
import os
import sys

from pyramid.config import Configurator

import c2c_logging

LOGGER = "watched"


def watch(request):
    """Answer which process this is and what it makes of the level; log a line."""
    logging.getLogger(LOGGER).debug("seen by %s", os.getpid())
    logging.getLogger("app").info("served %s", request.matchdict["name"])
    if "STUCK" in os.environ:
        logging.getLogger("stuck").error("x" * 2_000)
        return {"pid": os.getpid(), "behind": sum(reader.lines for reader in c2c_logging.readers_behind())}
    return {"pid": os.getpid(), "level": logging.getLevelName(logging.getLogger(LOGGER).level)}


def make_app():
    """Return the application."""
    config = Configurator(settings={"c2c.secret": "0123456789abcdef-test", "c2c.log_view_enabled": "true"})
    config.include("c2c_logging")
    config.add_route("watch", "/watch/{name}")
    config.add_view(watch, route_name="watch", renderer="json")
    return config.make_wsgi_app()


logging.getLogger(LOGGER).setLevel(logging.WARNING)
if "LOG_URL" in os.environ:
    handler = c2c_logging.SQLAlchemyHandler({"url": os.environ["LOG_URL"]}, contains_expression="served")
    logging.getLogger("app").addHandler(handler)
    logging.getLogger("app").setLevel(logging.INFO)
    logging.getLogger("app").info("served by nobody: pid %s", os.getpid())
if "STUCK" in os.environ:
    nobody_reads, standard_output = os.pipe()
    os.dup2(standard_output, 1)
    logging.getLogger("stuck").addHandler(c2c_logging.JsonLogHandler(sys.stdout))
app = make_app()
