"""Try c2c-logging."""

import io
import json
import logging
import sys
import tempfile
from typing import Any

from call import add_view, configure, get

import c2c_logging

_LOG = logging.getLogger("try")


def _logged(extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the line of JSON that a request logs."""
    stream = io.StringIO()
    handler = c2c_logging.JsonLogHandler(stream)
    _LOG.addHandler(handler)
    try:
        config = configure("c2c_logging")
        add_view(config, lambda request: _LOG.warning("of %s", request.c2c_request_id, extra=extra))
        assert get(config.make_wsgi_app(), "/try").status == 200
    finally:
        _LOG.removeHandler(handler)
    line: dict[str, Any] = json.loads(stream.getvalue())
    return line


def alone() -> None:
    """Log a line in a request, with the request's id; look at the levels as an operator."""
    line = _logged()
    assert (line["msg"], line["path"]) == (f"of {line['request_id']}", "/try"), line
    app = configure("c2c_logging", c2c__log_view_enabled="true").make_wsgi_app()
    assert get(app, "/c2c/logging/level?name=try", operator=True).status == 200


def requests() -> None:
    """Watch what requests sends."""
    import requests as library

    c2c_logging.instrument_requests()
    assert "requests" in library.__name__
    c2c_logging.uninstrument_requests()


def sql() -> None:
    """Log to a database."""
    from sqlalchemy import create_engine, text

    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/logs.db"
        handler = c2c_logging.SQLAlchemyHandler({"url": url, "tablename": "logs"})
        _LOG.addHandler(handler)
        _LOG.warning("to a database")
        _LOG.removeHandler(handler)
        handler.close()
        with create_engine(url).connect() as connection:
            assert connection.scalar(text("SELECT msg FROM logs")) == "to a database"


def orjson() -> None:
    """Log an extra that is nested."""
    line = _logged({"parcels": {"vd": [1, 2]}})
    assert line["parcels"] == {"vd": [1, 2]}, line
    assert "orjson" in sys.modules
