"""``c2c.exclude``: each package can be left out, and the service starts and answers, for real."""

import pytest
import requests

from c2c_meta._names import PACKAGES

# What can be asked for -> whose it is.
VIEWS = {
    "/c2c/health_check": "c2c_health",
    "/c2c/logging/level?name=tiny": "c2c_logging",
    "/c2c/debug/stacks": "c2c_debug",
    "/c2c/db/maintenance": "c2c_db",
    "/c2c/stats.json": "c2c_stats",
    "/metrics": "c2c_stats",
    "/c2c": "c2c_page",
    "/c2c/overview": "c2c_page",
    "/c2c/members": "c2c_page",
}
SWITCHES = (
    "c2c.secret = a-long-enough-secret\nc2c.stats_view = true\nc2c.log_view_enabled = true\n"
    "c2c.debug_view_enabled = true\nc2c.db_maintenance_view_enabled = true"
)
SENTRY = "c2c.sentry.url = http://key@127.0.0.1:1/1"  # its SDK imports SQLAlchemy


# In a process of its own, as metrics and log levels are the process's.
ASK = """
import sys
from webtest import TestApp
from c2c_meta.wsgi import application
imported = sys.argv[1] in sys.modules, "sqlalchemy" in sys.modules
for path in sys.argv[2:]:
    print(path, TestApp(application).get(path, headers={"X-API-Key": "a-long-enough-secret"}, status="*").status_int)
print("imported", *imported)
"""


def expected(left_out):
    """Return what each path answers."""
    return {path: 404 if package in left_out else 200 for path, package in VIEWS.items()}


@pytest.mark.parametrize("exclude", ["", "all"])
def test_served(folder, exclude):
    """With all packages and with none a service starts for real, answers, and ends."""
    left_out = {*PACKAGES} - {"c2c_broadcast"} if exclude == "all" else set()
    folder.setting(f"pyramid.includes = c2c_meta\nc2c.exclude = {' '.join(sorted(left_out))}\n{SWITCHES}\n{SENTRY}")
    process = folder.serve(params="--worker-class gthread --threads 2 --workers 1", C2C_EXCLUDE="")
    url = f"http://127.0.0.1:{process.port}"
    secret = {"X-API-Key": "a-long-enough-secret"}
    found = {path: requests.get(f"{url}{path}", headers=secret, timeout=60).status_code for path in VIEWS}
    assert found == expected(left_out)
    assert "Traceback" not in process.log
    assert process.stop() == 0


@pytest.fixture(scope="module", params=[name for name in PACKAGES if name != "c2c_broadcast"])
def left_out(request, shared_folder):
    """One of the packages, and what a process that leaves it out and was asked for all views printed, as words."""
    lines = f"use = call:tiny:main\npyramid.includes = c2c_meta\nc2c.exclude = {request.param}\n{SWITCHES}"
    shared_folder.write("production.ini", f"[app:main]\n{lines}\n")
    words = [request.param, *VIEWS]
    done = shared_folder.run("python", "-c", ASK, *words, C2CWSGIUTILS_CONFIG="production.ini")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return request.param, [line.split() for line in done.stdout.splitlines()]


def test_each(left_out):
    """What is left out has no views; all the rest is there."""
    exclude, lines = left_out
    found = {line[0]: int(line[1]) for line in lines if line[0].startswith(("/c2c", "/metrics"))}
    assert found == expected({exclude})


def test_not_imported(left_out):
    """What is left out costs no memory: it is not imported, and SQLAlchemy not for c2c-db's sake."""
    exclude, lines = left_out
    assert lines[-1] == ["imported", "False", str(exclude != "c2c_db")]


def test_unknown(folder):
    """What can't be left out stops the start, and is named with what can."""
    folder.setting("pyramid.includes = c2c_meta\nc2c.exclude = c2c_helth")
    done = folder.run("c2c-run", "production.ini", GUNICORN_PARAMS=f"-b 127.0.0.1:{folder.free_port()} --workers 1")
    assert done.returncode == 3
    assert "C2C_EXCLUDE (ini key c2c.exclude) names c2c_helth: there are c2c_logging, " in done.stdout + done.stderr


@pytest.mark.parametrize(("exclude", "status_code"), [("", 302), ("c2c_auth", 404)])
def test_the_extra(folder, exclude, status_code):
    """Log-in is there where its extra is installed and configured, and can be left out as the others."""
    folder.setting(
        "pyramid.includes = c2c_meta\n"
        "c2c.auth.github.client_id = client\nc2c.auth.github.client_secret = a-secret-of-the-client\n"
        "c2c.auth.github.repository = owner/name\nc2c.auth.github.auth.secret = a-secret-of-some-length"
    )
    rest = "c2c_sentry c2c_stats c2c_db c2c_page c2c_debug"
    process = folder.serve(params="--worker-class gthread --threads 2 --workers 1", C2C_EXCLUDE=f"{exclude} {rest}")
    url = f"http://127.0.0.1:{process.port}/c2c/github-login"
    assert requests.get(url, allow_redirects=False, timeout=60).status_code == status_code
    assert process.stop() == 0
