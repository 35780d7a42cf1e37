"""linesman as the engine: the release of 2016, installed for real.

It can't be in this package's test environment, because of its pin of networkx: it has a folder of its own.
"""

import json
import os
import re
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from c2c_debug.profiler.linesman_engine import Recording, _Graph, cycles

_APP = """
import os, time
from pyramid.config import Configurator
from pyramid.response import Response
from c2c_debug.profiler import filter_wsgi_app

def recurses(left):
    time.sleep(0.002)
    if left:
        return other(left - 1) if left % 3 == 0 else recurses(left - 1)

def other(left):
    return recurses(left)

def where(request):
    recurses(20)
    return Response(str(os.getpid()))

def build():
    config = Configurator()
    config.add_route("where", "/where/{rest:.*}")
    config.add_view(where, route_name="where")
    return config.make_wsgi_app()

application = filter_wsgi_app(build())
"""


@pytest.fixture(scope="session")
def linesman(tmp_path_factory):
    """Give a folder with linesman installed."""
    folder = tmp_path_factory.mktemp("linesman")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    found = subprocess.run(
        [*command, "--target", folder, "linesman==0.3.2"],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        env={name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"},
    )
    assert found.returncode == 0, found.stderr
    return folder


@pytest.fixture
def some(workers, linesman):
    """Give workers whose profiler is linesman."""
    return workers(
        _APP,
        env={"C2C_PROFILER_PATH": "profiler", "C2C_PROFILER_MODULES": "service pyramid", "PYTHONPATH": str(linesman)},
    )


def _page(some, path, status=200, method="GET", **headers):
    found, answer, body = some.ask(method, path, headers=headers)
    assert found == status, body.decode("utf-8", "replace") + some.server.log_text()[-3000:]
    return answer, body.decode("utf-8", "replace")


def test_it_profiles_and_shows(some, eventually):
    """Enabled on its own page it profiles in all workers; its list, tree (with a recursion), chart, picture."""
    _, text = _page(some, "/profiler")
    assert "Linesman" in text
    assert 'class="disabled"' in text
    _, text = _page(some, "/profiler?enable")
    assert 'class="enabled"' in text
    pids = set()

    def all_workers():
        pids.update(map(int, some.ask_all("/where/%3Cscript%3Ealert(1)%3C/script%3E")))
        return pids >= set(some.server.pids())

    eventually(all_workers)
    for _ in range(9):
        _page(some, "/where/more")
    _, text = _page(some, "/profiler/")
    found = re.findall(r'<tr id="(\d+)">', text)
    assert len(found) >= 3  # one of each worker: of requests at once it profiles one
    assert "GET /where/&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
    _page(some, "/profiler?disable")
    _page(some, "/where/unseen")
    assert "unseen" not in _page(some, "/profiler")[1]

    # From Python 3.12 on cProfile takes what other threads do for calls of this one: not each tree has them all.
    pages = [_page(some, f"/profiler/profiles/{one}") for one in found]
    answer, text = next((one for one in pages if "service.recurses" in one[1]), pages[0])
    assert "service.recurses" in text
    assert "['service'," in text
    assert re.search(r"service\.\w+ -> service\.\w+", text)  # the recursion's edge, removed for display
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
    (picture,) = re.findall(r'href="\.\./graph/([^"]+)"', text)
    answer, _ = _page(some, f"/profiler/graph/{picture}")
    assert answer["Content-Type"] == "image/png"
    answer, _ = _page(some, f"/profiler/graph/thumb-{picture}")
    assert answer["Content-Type"] == "image/png"
    answer, _ = _page(some, "/profiler/media/js/tables.js")
    assert "javascript" in answer["Content-Type"]

    assert "1 row(s) deleted" in _page(some, f"/profiler/delete/{found[0]}")[1]
    _page(some, f"/profiler/profiles/{found[0]}", status=404)
    body = f"session_uuids%5B%5D={found[1]}&session_uuids%5B%5D={found[2]}"
    connection_headers = {"Content-Type": "application/x-www-form-urlencoded"}
    status, _, answer = some.ask("POST", "/profiler/delete", headers=connection_headers, body=body)
    assert (status, b"2 row(s) deleted" in answer) == (200, True)
    assert "row(s) deleted" in _page(some, "/profiler/delete/all")[1]
    assert '<tr id="' not in _page(some, "/profiler")[1]


def test_workers_that_start_at_once(workers, linesman, eventually):
    """Each finds the folder of the service's pictures: none fails, which would end gunicorn as a whole."""
    slow = """
import os, time
exists = os.path.exists

def slow(path):
    found = exists(path)
    if "graphs" in str(path):
        time.sleep(2)  # so that all look before the first one makes it
    return found

os.path.exists = slow
"""
    env = {"C2C_PROFILER_PATH": "profiler", "C2C_PROFILER_MODULES": "service", "PYTHONPATH": str(linesman)}
    started = workers(slow + _APP, env=env)
    pids = set()

    def all_workers():
        pids.update(int(_page(started, "/where/x")[1]) for _ in range(6))
        return len(pids) == 3

    eventually(all_workers)
    assert started.server.log_text().count("Booting worker") == 3


def test_its_pages_are_guarded(some):
    """Operators only; nothing changes from another site; what would take for ever or is not there is refused."""
    for path in ("/profiler", "/profiler/media/js/tables.js", "/profiler/delete/all", "/profiler?enable"):
        _page(some, path, status=403, **{"X-API-Key": ""})
    for header in ("Origin", "Referer"):
        _page(some, "/profiler?enable", status=403, **{header: "https://evil.example/x"})
    _page(some, "/profiler?enable", status=403, **{"Sec-Fetch-Site": "cross-site"})
    _page(some, "/profiler/delete/all", status=403, **{"Sec-Fetch-Site": "same-site"})
    _page(some, "/profiler?enable", **{"Sec-Fetch-Site": "same-origin"})
    _page(some, "/where/x")
    (uuid,) = re.findall(r'<tr id="(\d+)">', _page(some, "/profiler")[1])
    for path, status in (
        (f"profiles/{uuid}?cutoff_percent=x", 400),
        (f"profiles/{uuid}?cutoff_percent=0.001", 400),
        (f"graph/{uuid}--0.png", 404),
        (f"graph/{uuid}--x.png", 404),
        ("graph/../../../etc/passwd", 404),
        ("media/../middleware.py", 404),
        ("media/none.js", 404),
        ("profiles/x", 404),
        ("nothing", 404),
    ):
        _page(some, f"/profiler/{path}", status=status)


def test_one_that_does_not_work_is_said(workers, linesman, tmp_path):
    """Where linesman is installed and can't be imported, pyinstrument serves, and the log says why."""
    broken = tmp_path / "broken"
    (broken / "linesman").mkdir(parents=True)
    (broken / "linesman" / "__init__.py").write_text("raise RuntimeError('as broken as can be')\n")
    some = workers(_APP, workers=1, env={"C2C_PROFILER_PATH": "profiler", "PYTHONPATH": str(broken)})
    assert "Engine: pyinstrument" in _page(some, "/profiler")[1]
    assert "linesman is installed and can't be used: RuntimeError: as broken as can be" in some.server.log_text()


def test_importing_it_leaves_no_name_behind(linesman):
    """What stands for networkx does so for the time of the import only, and what is there already stays."""
    program = """
import json, sys, types
networkx = sys.modules["networkx"] = types.ModuleType("networkx") if len(sys.argv) > 1 else None
if networkx is None:
    del sys.modules["networkx"]
from c2c_debug.profiler.linesman_engine import load
middleware = load()
print(json.dumps([middleware is not None, sys.modules.get("networkx") is networkx, middleware.nx is not networkx]))
"""
    for arguments in ((), ("there",)):
        found = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(linesman)},
            timeout=120,
        )
        assert json.loads(found.stdout) == [True, True, True]
        assert b"Warning" not in found.stderr


def test_one_request_at_a_time():
    """While one is recorded others run as they are; then it is the next one's turn."""
    one = threading.Lock()
    first, second = Recording(one), Recording(one)
    assert first.start()
    assert not second.start()
    first.stop()
    assert second.start()
    second.stop()
    assert not one.locked()


def test_functions_without_numbers_count_as_nothing():
    """A callee that cProfile has no numbers of is in the graph, with zeros."""
    graph = _Graph(name="G")
    numbers = {"totaltime": 1.0, "inlinetime": 0.5, "callcount": 1, "reccallcount": 0}
    graph.add_node("caller", attr_dict=numbers)
    graph.add_edge("caller", "callee", weight=0.5, label=0.5, attr_dict=numbers)
    assert graph.node["caller"] == numbers
    assert graph.node["callee"] == {"callcount": 0, "reccallcount": 0, "inlinetime": 0.0, "totaltime": 0.0}


def _graph(edges):
    graph = _Graph()
    for start, end in edges:
        graph.add_edge(start, end, attr_dict={})
    return graph


def test_cycles_are_closed_and_end():
    """A cycle a time until none is left; its first edge is what the caller removes."""
    graph = _graph(["aa", "ab", "bc", "ca", "cb", "xa"])
    found = []
    for cycle in cycles(graph):
        assert cycle[0] == cycle[-1]
        assert all(graph.has_edge(*edge) for edge in pairwise(cycle))
        graph.remove_edge(*cycle[:2])
        found.append(cycle)
    assert 3 <= len(found) <= 5
    assert list(cycles(graph)) == []


def test_a_copy_of_the_graph_may_be_cut():
    """What is removed for display stays in the original; who is called by nobody is a root."""
    graph = _graph(["ab", "bc", "xb"])
    cut = graph.copy()
    cut.remove_nodes_from(["b"])
    assert dict(cut.in_degree_iter()) == {"a": 0, "c": 0, "x": 0}
    assert cut.neighbors("a") == []
    assert dict(graph.in_degree_iter()) == {"a": 0, "b": 1, "c": 1, "x": 0}
    assert graph.neighbors("b") == graph.successors("b") == ["c"]


def test_the_constraints_leave_its_pin_alone():
    """``pip install -c constraints.txt 'c2c-debug[linesman]'`` has a solution: it wants networkx 1.7, we want any."""
    lines = (Path(__file__).parents[3] / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if line.startswith("networkx")] == []
