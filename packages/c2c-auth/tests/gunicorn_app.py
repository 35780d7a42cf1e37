"""The application that the tests with gunicorn serve; its settings come from the environment."""

import os

from pyramid.config import Configurator

config = Configurator()
config.include("c2c_auth")
config.add_operator_view(lambda request: {"pid": os.getpid()}, name="act", path="/act", changes_state=True)
app = config.make_wsgi_app()
