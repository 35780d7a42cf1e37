"""Coverage of a service's processes, for real: an acceptance test run under pytest."""

import re

import coverage
import pytest

SERVICE = """
import os
from pyramid.config import Configurator

def left(request):
    return "left"

def right(request):
    return "right"

def never(request):
    return "never"

def main(global_config, **settings):
    config = Configurator(settings=settings)
    for name, view in {"left": left, "right": right, "never": never, "pid": lambda request: os.getpid()}.items():
        config.add_route(name, "/" + name)
        config.add_view(view, route_name=name, renderer="json")
    return config.make_wsgi_app()
"""

COMPOSITION = """
[ports]
PORT = 0
[environment]
COVERAGE = "1"
C2C_HEALTH_LINGER = "0"
C2C_EXCLUDE = "UNUSED"
[services.api]
command = "c2c-run service.ini -- -b 127.0.0.1:${PORT} --worker-class gthread --workers 2 PRELOAD"
environment = { COVERAGE_PATH = "coverage-data", GUNICORN_PARAMS = "--threads 2" }
ready = "http://127.0.0.1:${PORT}/pid"
"""

ACCEPTANCE = """
import pytest, requests
from c2c_testing import LocalComposition
from c2c_testing.utils import retry_timeout

@pytest.fixture
def api(request):
    composition = LocalComposition(request, "shop", "composition.toml", coverage_paths=["api:coverage-data"])
    yield f"http://127.0.0.1:{composition.environment['PORT']}"

def test_it(api):
    pids = set()
    def both():
        pids.add(requests.get(f"{api}/pid", timeout=60).text)
        return len(pids) == 2
    retry_timeout(both, 120, 0)
    requests.get(f"{api}/left", timeout=60)
    requests.get(f"{api}/right", timeout=60)
    with open("pids", "w") as file:
        file.write(" ".join(pids))
"""


@pytest.fixture
def service(folder):
    """A service that a test is going to measure."""
    folder.write("shop.py", SERVICE)
    folder.write("service.ini", "[app:main]\nuse = call:shop:main\n")
    folder.write("test_shop.py", ACCEPTANCE)
    return folder


def covered(folder):
    """Return the numbers of the service's lines that ran, by all data files."""
    ran = set()
    for path in folder.path.rglob("coverage.*.pid*"):
        data = coverage.CoverageData(str(path))
        data.read()
        ran |= {number for file in data.measured_files() if file.endswith("shop.py") for number in data.lines(file)}
    return ran


def line(text):
    """Return the number of a line of the service."""
    return SERVICE.splitlines().index(text) + 1


@pytest.mark.parametrize("preload", ["", "--preload"])
def test_acceptance_run(service, preload):
    """Each worker writes its data, a composition brings it, and the command makes one report of all."""
    service.write("composition.toml", COMPOSITION.replace("PRELOAD", preload).replace("UNUSED", service.nothing))
    done = service.run("python", "-m", "pytest", "-q", "-p", "no:valkey", "test_shop.py")
    assert done.returncode == 0, done.stdout
    files = [path.name for path in (service.path / "reports" / "coverage" / "api").iterdir()]
    workers = set((service.path / "pids").read_text().split())
    assert workers <= {re.search(r"\.pid(\d+)\.", name)[1] for name in files}
    ran = covered(service)
    views = ('    return "left"', '    return "right"', '    return "never"', "import os")
    assert [line(text) in ran for text in views] == [True, True, False, True]


SCRIPT = """
import c2c_meta as c2c
started = c2c.start_coverage()
import shop
shop.never(None)
print(started, c2c.start_coverage())
"""


def test_script(service):
    """A script of its own is measured from its first statement on."""
    service.write(".coveragerc", "[run]\nsource = shop\n")
    out = service.python(SCRIPT, COVERAGE="1", COVERAGE_PATH="data")
    assert out == "True True\n"
    ran = covered(service)
    assert line('    return "never"') in ran
    assert line('    return "left"') not in ran


@pytest.mark.parametrize("include", ["c2c_meta.start_coverage", "c2c_meta"])
def test_pserve(service, include):
    """Under another server an include begins it; without COVERAGE it does nothing."""
    service.setting(f"pyramid.includes = {include}")
    for value in ("0", "1"):
        port = service.free_port()
        environ = {"COVERAGE": value, "COVERAGE_PATH": f"data-{value}", "TINY_PORT": str(port)}
        environ["C2C_EXCLUDE"] = service.nothing
        service.start("pserve", "c2c://production.ini", port=port, **environ).up().stop()
    assert not (service.path / "data-0").exists()
    assert list((service.path / "data-1").glob("coverage.*.pid*"))


def test_off(service):
    """Without COVERAGE nothing is measured, nor imported."""
    out = service.python("import sys, c2c_meta as c2c; print(c2c.start_coverage(), 'coverage' in sys.modules)")
    assert out == "False False\n"


def test_bootstrap(service):
    """A script's ``bootstrap`` begins it."""
    code = "import c2c_meta as c2c\nwith c2c.bootstrap('service.ini') as env: pass"
    service.python(code, COVERAGE="1", COVERAGE_PATH="data")
    assert line("    return config.make_wsgi_app()") in covered(service)


MISSING = """
import sys
sys.modules["coverage"] = None  # as if it were not installed
"""


def test_not_installed(service):
    """Without the extra, COVERAGE=1 says what to install."""
    service.write("sitecustomize.py", MISSING)
    done = service.run("c2c-run", "service.ini", COVERAGE="1")
    assert done.returncode == 2
    assert done.stderr.endswith("pip install 'c2c-meta[coverage]'\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("name", "value"), [("COVERAGE", "perhaps"), ("COVERAGE_PATH", "service.ini/x")])
def test_settings(service, name, value):
    """A variable that can't be followed stops c2c-run: one line that names it, exit status 2."""
    done = service.run("c2c-run", "service.ini", **{"C2C_EXCLUDE": service.nothing, "COVERAGE": "1", name: value})
    assert done.returncode == 2
    assert name in done.stderr
    assert done.stderr.count("\n") == 1
