"""The pure functions: what of a URL may be shown."""

import pytest

from c2c_broadcast import Answers, Failure, Missing
from c2c_broadcast.process import host_name
from c2c_health._views import together
from c2c_health.checks import secrets_of, shown


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("http://user:p%40ss@host:81/a/b?c=d#e", "http://host:81/a/b"),
        ("redis://:pw@[::1]:6379/0", "redis://[::1]:6379/0"),
        ("http://a:b@c@host/", "http://host/"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock"),
        ("http://host/a,b", "http://host/a_b"),
    ],
)
def test_shown(url, wanted):
    """Neither user, nor password, nor query; no comma."""
    assert shown(url) == wanted


def test_secrets_of():
    """All that was not shown, percent-encoded or not, and headers that carry secrets."""
    found = set(
        secrets_of("http://us%40er:p%3Aw@h/?key=va%20lue&x=", {"other": 12}, {"X-API-Key": "k", "Accept": "json"})
    )
    assert found == {"us%40er", "us@er", "p%3Aw", "p:w", "va lue", "12", "k"}
    assert set(secrets_of("http://h/", [("a", "b")], {"Cookie": "c", "Authorization": "d"})) == {"b", "c", "d"}


def test_together():
    """Who fails, whose callback failed, and who is missing or late do not pass."""
    good = {"hostname": "h", "pid": 1, "successes": {}, "failures": {}}
    checks = {"x": {"level": 1, "timing": 0.5}, "y": {"level": 3, "timing": 0.25}}
    bad = {"hostname": "h", "pid": 2, "successes": {}, "failures": checks}
    answers = Answers(
        answers=[good, bad],
        failed=[Failure("h", 3, "KeyError", "k")],
        missing=[Missing("h", 4, "app", 1.0)],
        late=[Missing("h", 5, "app", 2.0)],
        complete=False,
    )
    found = together(answers, 503)
    assert found["status"] == 503
    assert found["summary"] == "1 of 5 pass"
    assert [one["pid"] for one in found["failing"]] == [2, 3]
    assert [one["pid"] for one in found["missing"]] == [4, 5]
    found = together(answers, 503, siblings=[1, 2, 3, 4, 5, 6])
    assert found["summary"] == "1 of 6 pass"
    assert found["complete"] is False
    assert found["missing"][-1] == {"hostname": host_name(), "pid": 6, "last_seen": None}
    silent = together(Answers([good], [], [], [], complete=True), 500, siblings=[1, 7])
    assert (silent["status"], silent["summary"], silent["complete"]) == (500, "1 of 2 pass", False)
    alone = together(Answers([good], [], [], [], complete=True), 500)
    assert alone["summary"] == "1 of 1 pass"
    assert "status" not in alone
