"""Try c2c-compat."""

import subprocess
import sys
from pathlib import Path

from call import add_view, configure, get

from c2cwsgiutils.health_check import HealthCheck


def alone() -> None:
    """Ask an application that includes what it did for c2cwsgiutils 3; its commands are there."""
    config = configure("c2cwsgiutils.pyramid")
    HealthCheck(config).add_custom_check("own", lambda _: {"free": 42}, level=1)
    add_view(config, lambda _: {"hello": "world"})
    app = config.make_wsgi_app()
    assert get(app, "/try").json == {"hello": "world"}
    answer = get(app, "/c2c/health_check")
    assert (answer.status, answer.json["successes"]["own"]["result"]) == (200, {"free": 42}), answer
    command = Path(sys.prefix, "bin", "c2cwsgiutils_genversion.py")
    assert "usage" in subprocess.run([command, "--help"], check=True, capture_output=True, text=True).stdout.lower()
