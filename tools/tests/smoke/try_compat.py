"""Try c2c-compat."""

import subprocess
import sys
import tempfile
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


def test_images() -> None:
    """Compare an image with itself, by the name of 6.1."""
    from PIL import Image

    from c2cwsgiutils.acceptance.image import check_image

    with tempfile.TemporaryDirectory() as folder:
        Image.new("RGB", (32, 32), "red").save(f"{folder}/expected.png")
        check_image(folder, Image.open(f"{folder}/expected.png"), f"{folder}/expected.png")
