"""The report over HTTP: status, levels, filters, and what a misspelt probe gets."""

import pytest

from c2c_health import Degraded, JsonCheckException

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
    made.health.add_custom_check("quiet", lambda: None)
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
    assert found["almost"]["warning"] == "getting full"
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
