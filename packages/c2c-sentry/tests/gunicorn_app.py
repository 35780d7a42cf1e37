"""The application that the tests with gunicorn serve."""

import logging

from pyramid.config import Configurator
from pyramid.response import Response

from c2c_sentry import filter_wsgi_app


def fails(request):
    """Raise."""
    raise ValueError("in a worker")


def answer(error, request):
    """Log and answer, as a JSON error view does."""
    logging.getLogger("errors").error("500", exc_info=error)
    return Response(status=500)


config = Configurator()
config.include("c2c_sentry")
config.add_route("fails", "/fails")
config.add_route("fine", "/fine")
config.add_view(fails, route_name="fails")
config.add_view(lambda request: Response("fine"), route_name="fine")
config.add_exception_view(answer, ValueError)
app = filter_wsgi_app(config.make_wsgi_app())
