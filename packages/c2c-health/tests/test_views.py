"""The report over HTTP: status, levels, filters, and what a misspelt probe gets."""

import sys
import threading
import time
import types

import pytest
from pyramid.threadlocal import get_current_request

from c2c_broadcast import sections
from c2c_health import Degraded, HealthChecked, JsonCheckException, State
from c2c_health.gunicorn import linger

SECRET = "an-operators-secret-of-some-length"


def _unhappy(request):
    raise JsonCheckException("I'm not happy", {"some": "json"})


def _almost(request):
    raise Degraded("getting full")


@pytest.fixture
def five(service):
    """An application whose checks do all that checks may do."""
    made = service(**{"c2c.secret": SECRET})
    made.health.add_custom_check("good", lambda request: {"answer": 42})
    made.health.add_custom_check("quiet", lambda request: None)
    made.health.add_custom_check("almost", _almost)
    made.health.add_custom_check("custom", _unhappy, level=2)
    made.health.add_custom_check("broken", lambda request: 1 / 0, level=3)
    return made


def test_good_report(five):
    """Passing checks make 200, without a status in it."""
    answer = five.get()
    assert set(answer.json) == {"successes", "failures"}
    assert answer.json["failures"] == {}
    found = answer.json["successes"]
    assert list(found) == ["almost", "good", "quiet"]
    assert found["good"]["result"] == {"answer": 42}
    assert found["good"]["level"] == 1
    assert 0 <= found["good"]["timing"] < 5
    assert "result" not in found["quiet"]
    assert found["almost"]["message"] == "getting full"
    assert "no-cache" in answer.headers["Cache-Control"]


def test_failures(five):
    """A failing check makes 500; it tells its message and its JSON, and everybody sees no stack."""
    answer = five.get("/health_check?max_level=3", status=500)
    assert answer.json["status"] == 500
    assert set(answer.json["successes"]) == {"good", "quiet", "almost"}
    custom = answer.json["failures"]["custom"]
    assert custom["message"] == "I'm not happy"
    assert custom["result"] == {"some": "json"}
    assert custom["level"] == 2
    assert "stacktrace" not in custom
    assert answer.json["failures"]["broken"]["message"] == "division by zero"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", {"good", "quiet", "almost"}),
        ("max_level=0", set()),
        ("max_level=0&checks=good", set()),
        ("max_level=1", {"good", "quiet", "almost"}),
        ("checks=", {"good", "quiet", "almost"}),
        ("checks=,,good", {"good"}),
        ("checks=good,quiet", {"good", "quiet"}),
        ("checks=%20good,%20quiet%20,%20", {"good", "quiet"}),
        ("checks=good&checks=quiet", {"good", "quiet"}),
        ("max_level=1&checks=good,custom", {"good"}),
    ],
)
def test_levels_and_names_choose_checks(five, query, names):
    """Level 0 is a ping; empty names are as none."""
    assert set(five.get(f"/health_check?{query}").json["successes"]) == names


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("max_level=2", {"custom"}),
        ("max_level=0003", {"custom", "broken"}),
        ("max_level=999999999", {"custom", "broken"}),
        ("checks=custom", {"custom"}),
        ("checks=broken,good", {"broken"}),
    ],
)
def test_high_levels(five, query, names):
    """A check that is named runs whatever its level; a huge level is all of them."""
    assert set(five.get(f"/health_check?{query}", status=500).json["failures"]) == names


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("max_level=abc", "max_level must be a whole number from 0, not 'abc'. Levels here: 0, 1, 2, 3"),
        (f"max_level={'9' * 5000}", "max_level must be a whole number"),
        ("max_level=", "max_level must be a whole number"),
        ("max_level=-1", "max_level must be a whole number"),
        ("max_level=1.5", "max_level must be a whole number"),
        ("max_level=%D9%A1", "max_level must be a whole number"),
        ("checks=goood", "Unknown health check: goood. There are: almost, broken, custom, good, quiet"),
        ("max_level=0&checks=nope,good", "Unknown health check: nope."),
        ("max_level=1&checks=custom", "max_level=1 leaves none of the named checks"),
        ("scope=everything", "scope must be one or all"),
    ],
)
def test_a_misspelt_probe_is_an_error(five, query, hint):
    """Never green: 400 in JSON, naming what would be right."""
    answer = five.get(f"/health_check?{query}", status=400)
    assert answer.content_type == "application/json"
    assert answer.json["status"] == 400
    assert hint in answer.json["message"]


def test_a_query_that_nobody_can_read(five):
    """Is 400, too."""
    for query in ("checks=%ff", "max_level=%ff", "%ff=1"):
        assert "UTF-8" in five.get(f"/health_check?{query}", status=400).json["message"]


def test_a_report_without_its_status(service):
    """Where the status is not wanted in the report it is the answer's alone."""
    made = service(**{"c2c.health.status_key": "false"})
    made.health.add_custom_check("broken", lambda request: 1 / 0)
    assert set(made.get("/health_check", status=500).json) == {"successes", "failures"}


def test_the_status_of_failures_in_each_member(service):
    """With ``scope=all`` each process' own report has the status that is set."""
    made = service(**{"c2c.secret": SECRET, "c2c.health.failure_status": "503"})
    made.health.add_custom_check("broken", lambda request: 1 / 0)
    found = made.get("/health_check?scope=all", headers={"X-API-Key": SECRET}, status=503).json
    assert found["status"] == 503
    assert [member["status"] for member in found["members"]] == [503]
    assert found["summary"] == "0 of 1 pass"


def test_a_check_sees_the_request(service):
    """The very request, also through Pyramid's thread locals."""
    made, seen = service(), []

    def look(request):
        seen.append((request.GET["x"], get_current_request() is request))

    made.health.add_custom_check("looks", look)
    made.get("/health_check?x=1")
    assert seen == [("1", True)]


def test_operators_see_stacks(five):
    """With the secret, failures have their stack trace."""
    answer = five.get("/health_check?max_level=3", headers={"X-API-Key": SECRET}, status=500)
    assert "ZeroDivisionError" in answer.json["failures"]["broken"]["stacktrace"]
    assert "stacktrace" not in answer.json["successes"]["almost"]


def test_everybody_sees_stacks_while_developing(service):
    """With c2c.development (DEVELOPMENT=1), too."""
    made = service(**{"c2c.development": "1"})
    made.health.add_custom_check("broken", lambda request: 1 / 0)
    assert "ZeroDivisionError" in made.get(status=500).json["failures"]["broken"]["stacktrace"]


def test_the_status_of_a_failure_can_be_chosen(service):
    """503 where a balancer wants it, in the answer and in its body."""
    made = service(**{"c2c.health.failure_status": "503"})
    made.health.add_custom_check("custom", _unhappy)
    assert made.get(status=503).json["status"] == 503


def test_head(five):
    """HEAD gives the status of GET, without a body."""
    assert five.app.head("/c2c/health_check").body == b""
    assert five.app.head("/c2c/health_check?max_level=2", status=500).body == b""


def test_other_methods_are_refused(five):
    """The report is read only."""
    assert "GET" in five.app.post("/c2c/health_check", status=405).headers["Allow"]


def test_health_json(five):
    """The form of draft-inadarei-api-health-check-06."""
    answer = five.get("/health_check?max_level=2", headers={"Accept": "application/health+json"}, status=500)
    assert answer.content_type == "application/health+json"
    found = answer.json
    assert found["status"] == "fail"
    [custom] = found["checks"]["custom:responseTime"]
    assert custom["componentId"] == "custom"
    assert custom["status"] == "fail"
    assert custom["output"] == "I'm not happy"
    assert custom["observedUnit"] == "ms"
    [good] = found["checks"]["good:responseTime"]
    assert good["status"] == "pass"
    assert "output" not in good
    assert found["checks"]["almost:responseTime"][0]["status"] == "warn"
    only = five.get("/health_check?checks=almost", headers={"Accept": "application/health+json"})
    assert only.json["status"] == "warn"


def test_text(five):
    """One line a check, the failed ones first."""
    answer = five.get("/health_check?max_level=2", headers={"Accept": "text/plain"}, status=500)
    assert answer.content_type == "text/plain"
    lines = answer.text.splitlines()
    assert lines[0].startswith("fail custom level=2 ")
    assert lines[0].endswith(": I'm not happy")
    assert [line.split()[0] for line in lines] == ["fail", "pass", "pass", "warn"]
    assert five.get("/health_check?max_level=0", headers={"Accept": "text/plain"}).text == "pass\n"


def test_html(service):
    """A page for browsers, which escapes what checks say and runs nothing."""
    made = service()
    made.health.add_custom_check("<b>", lambda request: {"x": "<script>"})
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    answer = made.get(headers={"Accept": browser})
    assert answer.content_type == "text/html"
    assert "&lt;b&gt;" in answer.text
    assert "<script>" not in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("accept", ["*/*", "application/json", "image/png", "text/html;q=0.1, application/json"])
def test_json_otherwise(five, accept):
    """JSON where nothing better is asked for."""
    assert five.get(headers={"Accept": accept}).content_type == "application/json"


def test_live_looks_at_this_process_only(five):
    """Whatever the checks say, it is green; three that hang do not change that."""
    answer = five.get("/health/live")
    parts = {"request_threads", "broadcast_listener", "broadcast_executor", "descriptors", "disk", "log"}
    assert set(answer.json["successes"]) == parts
    assert five.app.head("/c2c/health/live").status_int == 200


def test_live_while_every_check_hangs(service):
    """Threads for checks are there, however many are taken."""
    made, end = service(), threading.Event()
    made.health.add_custom_check("hangs", lambda request: end.wait(60), timeout=0.1)
    made.get(status=500)
    assert made.get("/health/live").json["failures"] == {}
    end.set()


def test_ready(five, monkeypatch):
    """The checks of level 1, and red once the process was told to stop."""
    assert set(five.get("/health/ready").json["successes"]) == {"good", "quiet", "almost"}
    monkeypatch.setattr(linger, "_page", b"\1")  # what a master writes when it gets SIGTERM
    answer = five.get("/health/ready", status=500)
    assert answer.json["failures"]["shutting_down"]["message"] == "the service was told to stop"
    five.get("/health/live")
    five.get("/health_check")


def test_ready_is_red_when_a_check_of_level_1_is(service):
    """Those above do not count."""
    made, well = service(), [True]
    made.health.add_custom_check("one", lambda request: 1 if well[0] else 1 / 0)
    made.health.add_custom_check("two", _unhappy, level=2)
    made.get("/health/ready")
    well[0] = False
    assert set(made.get("/health/ready", status=500).json["failures"]) == {"one"}


def test_a_section_of_the_index_page(five):
    """Links to the reports, for everybody."""
    assert five.app
    [section] = [section for section in sections(five.config.registry) if section.name == "health"]
    assert not section.operators_only
    assert [link.route for link in section.links] == [
        "c2c_health_check",
        "c2c_health_check",
        "c2c_health_live",
        "c2c_health_ready",
    ]


def test_transitions_are_logged_once(service, caplog):
    """One line when it turns red, one when it is green again, none for a probe that changes nothing."""
    made, well = service(), [True]

    def run(request):
        if not well[0]:
            raise OSError("disk\nfull")

    made.health.add_custom_check("disk", run)
    assert made.app
    caplog.set_level("INFO", "c2c_health")
    caplog.clear()
    for state in (True, False, False, False, True, True):
        well[0] = state
        made.get(status="*")
    assert [record.getMessage() for record in caplog.records] == [
        "Health check disk failed: disk full",
        "Health check disk passes again",
    ]


def test_subscribers_hear_of_runs(service):
    """Each run is an event; a subscriber that raises breaks nothing."""
    made, heard = service(), []

    def broken(event):
        raise ValueError("a subscriber")

    made.config.add_subscriber(heard.append, HealthChecked)
    made.config.add_subscriber(broken, HealthChecked)
    made.health.add_custom_check("custom", _unhappy, level=2)
    made.get("/health_check?max_level=2", status=500)
    [event] = heard
    assert (event.name, event.level, event.kind) == ("custom", 2, "custom")
    assert event.outcome is event.state is State.FAILED
    assert event.changed
    assert event.seconds >= 0


def test_listeners_cost_a_request_nothing(service):
    """``on_event`` hears as a subscriber does, one that raises breaks nothing, and Pyramid has nobody to notify."""
    made, heard = service(), []

    def broken(event):
        raise ValueError("a listener")

    made.health.on_event(HealthChecked, broken)
    made.health.on_event(HealthChecked, heard.append)
    made.health.add_custom_check("custom", _unhappy, level=2)
    made.get("/health_check?max_level=2", status=500)
    assert [event.name for event in heard] == ["custom"]
    assert not made.config.registry.has_listeners


def test_checks_of_what_is_known_late(service):
    """``when_live`` is called once, when the application is made, and may add checks."""
    made, seen = service(), []

    def add(registry):
        seen.append(registry)
        made.health.add_custom_check("late", lambda request: "here")

    made.health.when_live(add)
    assert not seen
    assert made.get("/health_check").json["successes"]["late"]["result"] == "here"
    made.get("/health_check")
    assert seen == [made.config.registry]


@pytest.mark.parametrize(("worker", "told"), [(0, 1), (3, 0)])
def test_uwsgi_that_forks_unheard(service, monkeypatch, caplog, worker, told):
    """An application that is made in uWSGI's master is told what its workers need; one made in a worker is not."""
    uwsgi = types.ModuleType("uwsgi")
    uwsgi.worker_id = lambda: worker
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    assert service().app
    assert caplog.text.count("lazy-apps = true") == told


def test_background_runs(service):
    """With ``interval`` the view reads memory: no probe runs the check, and time does."""
    made, runs = service(), []
    made.health.add_custom_check("slow", lambda request: runs.append(request.method), interval=0.05)
    made.get()
    deadline = time.monotonic() + 30
    while len(runs) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    made.checks.runner.close()
    time.sleep(0.2)
    before = len(runs)
    made.checks.runner.run(made.checks.all, None)
    assert len(runs) == before
    assert set(runs) == {"GET"}


def test_unknown_names_beside_known_ones(service, caplog):
    """Where the setting lets them pass they are reported, said once, and the known ones decide; alone: a 400."""
    made = service(**{"c2c.health.unknown_checks": "report"})
    made.health.add_custom_check("good", lambda request: None)
    made.health.add_custom_check("broken", lambda request: 1 / 0)
    for _ in range(2):
        found = made.get("/health_check?checks=god,good,baad").json
        assert (list(found["successes"]), found["failures"], found["unknown"]) == (["good"], {}, ["baad", "god"])
        assert made.get("/health_check?checks=god,broken", status=500).json["unknown"] == ["god"]
    assert "unknown" not in made.get("/health_check?checks=good").json
    said = [one.getMessage() for one in caplog.records if "are not there" in one.getMessage()]
    assert said == ["Health checks that are asked for are not there: 'baad', 'god'"]
    assert "Unknown health check: god." in made.get("/health_check?checks=god", status=400).json["message"]
    for number in range(150):
        made.get(f"/health_check?checks=good,{number}")
    assert len([one for one in caplog.records if "are not there" in one.getMessage()]) < 110
