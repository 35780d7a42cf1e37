"""Applications made of one include, and what the error view logs of them."""

import logging

import pytest
from hypothesis import HealthCheck, settings
from pyramid.config import Configurator
from webtest import TestApp

# A machine that does other things at the same time is no defect of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

SECRET = "a secret of an operator"


class Records(logging.Handler):
    """The records of the error view."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.all = []

    def emit(self, record):
        """Keep a record."""
        record.message = record.getMessage()
        self.all.append(record)

    def only(self):
        """Return the one record there is, and forget it."""
        (record,) = self.all
        self.all.clear()
        return record


@pytest.fixture
def records():
    """Give what the error view logs."""
    logger = logging.getLogger("c2c_rest._errors")
    handler, level = Records(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def make_app():
    """Give a function that makes an application: ``make_app(configure, **settings)``."""

    def make(configure=lambda config: None, settings=(), route_prefix=None):
        config = Configurator(settings={"c2c.secret": SECRET, **dict(settings)}, route_prefix=route_prefix)
        config.include("c2c_rest")
        configure(config)
        return TestApp(config.make_wsgi_app())

    return make


@pytest.fixture
def raising(make_app):
    """Give a function that makes an application whose view at ``/raise`` raises what it is given."""

    def make(error, settings=(), **view):
        def raise_it(request):
            raise error() if isinstance(error, type) else error

        def configure(config):
            config.add_route("raise", "/raise")
            config.add_view(raise_it, route_name="raise", **view)

        return make_app(configure, settings)

    return make
