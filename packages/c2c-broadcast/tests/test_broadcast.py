"""Broadcasts in one process alone."""

import subprocess
import sys
import threading
import time

import pytest
from pyramid.config import Configurator
from webtest import TestApp

from c2c_broadcast import BroadcastError, ConfigurationError, broadcast
from c2c_broadcast.broadcast import Broadcaster


@pytest.fixture
def process_wide():
    """Give a fresh process-wide broadcaster, and put the one before back."""
    mine = Broadcaster()
    before = broadcast.set_broadcaster(mine)
    yield mine
    mine.close()
    broadcast.set_broadcaster(before)


def test_module_functions(process_wide):
    """The five functions of the module do what the contract shows."""
    broadcast.subscribe("add", lambda a, b: {"sum": a + b})
    answers = broadcast.broadcast("add", {"a": 1, "b": 2}, expect_answers=True)
    assert [answer["sum"] for answer in answers] == [3]
    assert {"hostname", "pid"} < answers[0].keys()
    assert broadcast.broadcast("add", {"a": 1, "b": 2}) is None
    broadcast.unsubscribe("add")
    broadcast.unsubscribe("add")
    assert broadcast.ask("add").answers == []
    assert broadcast.ask("add").complete


def test_init_twice_and_late(process_wide):
    """Configuring keeps subscriptions, and the same settings again change nothing, not even the node."""
    broadcast.subscribe("one", lambda: 1)
    broadcast.init({}, environ={})
    assert broadcast.ask("one").answers == [1]
    node = process_wide.start()
    broadcast.init({}, environ={})
    assert process_wide.start() is node


def test_own_process_has_ended_its_callback(process_wide):
    """Without answers, too, the effect in this process is there when the call returns."""
    seen = []
    broadcast.subscribe("append", lambda item: seen.append(item) or len(seen))
    broadcast.broadcast("append", {"item": 1})
    assert seen == [1]


def test_decorator(process_wide):
    """Decorating only records; calling broadcasts the keyword arguments."""

    @broadcast.decorator(expect_answers=True)
    def double(number):
        """Double it."""
        return number * 2

    assert not process_wide.started
    assert double(number=4) == [8]
    assert double.__doc__ == "Double it."

    @broadcast.decorator(channel="named")
    def silent():
        return 1

    assert silent() is None
    assert broadcast.ask("named").answers == [1]


def test_decorator_without_parentheses(process_wide):
    """It says so where it is written, not at the first call."""
    with pytest.raises(BroadcastError, match="parentheses"):

        @broadcast.decorator
        def forgotten():
            """Do nothing."""


def test_answers_are_as_json_gives_them(new_broadcaster):
    """This process's own answer looks as if it had travelled, and hostname and pid of the callback's own stay."""
    alone = new_broadcaster()
    alone.subscribe("odd", lambda: {"pid": "mine", 1: (2, 3)})
    assert alone.ask("odd").answers[0]["pid"] == "mine"
    assert alone.ask("odd").answers[0]["1"] == [2, 3]


@pytest.mark.parametrize(
    ("callback", "kind"),
    [
        (lambda: 1 / 0, "ZeroDivisionError"),
        (lambda wanted: wanted, "TypeError"),
        (lambda: {1, 2}, "BadMessageError"),
        (lambda: float("nan"), "BadMessageError"),
        (lambda: "x" * (17 * 1024 * 1024), "BadMessageError"),
        (lambda: exec("raise SystemExit(3)"), "SystemExit"),
    ],
)
def test_failures(process_wide, callback, kind):
    """A callback that raises or returns what JSON can't hold is a failed answer, and None in the list."""
    broadcast.subscribe("bad", callback)
    answers = broadcast.ask("bad")
    assert [failure.type for failure in answers.failed] == [kind]
    assert answers.answers == []
    assert answers.complete
    assert broadcast.broadcast("bad", expect_answers=True) == [None]


def test_cyclic_answer(new_broadcaster):
    """A cycle is named as what JSON can't hold."""
    cycle = []
    cycle.append(cycle)
    alone = new_broadcaster()
    alone.subscribe("cycle", lambda: cycle)
    assert "Circular" in alone.ask("cycle").failed[0].message


def test_failure_is_masked(new_broadcaster, caplog, monkeypatch):
    """No secret leaves in the message of a failure, which is logged where it happened."""
    alone = new_broadcaster()
    alone.subscribe("leak", lambda: exec('raise RuntimeError("redis://:hunter2hunter@host")'))
    assert "hunter2" not in alone.ask("leak").failed[0].message
    # A URL that is cut, and what only the environment tells to be a secret.
    alone.subscribe("cut", lambda: exec('raise RuntimeError("x" * 1980 + " redis://:hunter2hunter@host")'))
    assert "hunter2" not in alone.ask("cut").failed[0].message
    monkeypatch.setenv("MY_TOKEN", "hunter2hunter")
    alone.subscribe("known", lambda: exec('raise RuntimeError("it was hunter2hunter")'))
    assert alone.ask("known").failed[0].message == "it was ***"
    assert "'leak' failed" in caplog.text


@pytest.mark.parametrize("params", [{"x": {1}}, {"x": float("nan")}, {"x": object()}, {"x": "y" * (17 * 1024 * 1024)}])
def test_unsendable_parameters(new_broadcaster, params):
    """Parameters that can't be sent are the caller's error, and name the channel."""
    with pytest.raises(BroadcastError, match="'any'"):
        new_broadcaster().ask("any", params)


@pytest.mark.parametrize("channel", ["", "a\nb", "x" * 201, 5])
def test_bad_channel(process_wide, channel):
    """A channel's name is a short printable text, for who answers and for who asks."""
    for use in (broadcast.ask, broadcast.broadcast, lambda name: broadcast.subscribe(name, print)):
        with pytest.raises(BroadcastError, match="channel"):
            use(channel)


@pytest.mark.parametrize(
    "arguments",
    [
        {"params": [1]},
        {"params": "x"},
        {"timeout": None},
        {"timeout": "5"},
        {"timeout": float("nan")},
        {"timeout": True},
    ],
)
def test_arguments_of_the_wrong_kind(process_wide, arguments):
    """They are the caller's error, and name the channel; nobody is asked."""
    called = []
    broadcast.subscribe("any", lambda: called.append(1))
    for ask in (broadcast.ask, broadcast.broadcast):
        with pytest.raises(BroadcastError, match="'any'"):
            ask("any", **arguments)
    with pytest.raises(BroadcastError, match="'any'"):
        broadcast.subscribe("any", None)
    assert not called
    assert broadcast.ask("any", {}, 5).complete


@pytest.mark.parametrize("timeout", [0, -1])
def test_no_time(new_broadcaster, timeout):
    """Without any time the callback is called nevertheless, and the call returns at once."""
    alone, called = new_broadcaster(), threading.Event()
    alone.subscribe("any", called.set)
    answers = alone.ask("any", timeout=timeout)
    assert len(answers.answers) + len(answers.late) == 1
    assert called.wait(30)


def test_replaced_callback(new_broadcaster, caplog):
    """One callback a channel: another function is told in the log, the same one again is not."""
    alone = new_broadcaster()

    def first():
        return 1

    def second():
        return 2

    alone.subscribe("c", first)
    alone.subscribe("c", first)
    assert not caplog.records
    alone.subscribe("c", second)
    assert "second replaces" in caplog.text
    assert alone.ask("c").answers == [2]


def test_own_callback_that_hangs(process_wide):
    """The time-out holds for this process's own callback too; it is late, not missing, and None in the list."""
    release = threading.Event()
    broadcast.subscribe("hang", lambda: release.wait(20))
    begin = time.monotonic()
    answers = broadcast.ask("hang", timeout=0.2)
    assert time.monotonic() - begin < 10
    assert len(answers.late) == 1
    assert answers.missing == []
    assert not answers.complete
    assert broadcast.broadcast("hang", expect_answers=True, timeout=0.1) == [None]
    release.set()


def test_slow_channel_delays_no_other(new_broadcaster):
    """Half of the threads at most are one channel's, whatever is queued for it."""
    alone = new_broadcaster()
    release = threading.Event()
    alone.subscribe("slow", lambda: release.wait(30))
    alone.subscribe("ping", lambda: "pong")
    callers = [threading.Thread(target=alone.ask, args=("slow",)) for _ in range(20)]
    for caller in callers:
        caller.start()
    assert alone.ask("ping", timeout=10).answers == ["pong"]
    release.set()
    for caller in callers:
        caller.join()


def test_nested(new_broadcaster):
    """Callbacks that ask do not wait for the threads that they take themselves, however many are at it."""
    alone = new_broadcaster()
    for level in range(3):
        alone.subscribe(f"level{level}", lambda level=level: alone.ask(f"level{level + 1}", timeout=20).answers)
    alone.subscribe("level3", lambda: "deep")
    found = []
    callers = [threading.Thread(target=lambda: found.append(alone.ask("level0", timeout=20))) for _ in range(12)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert [answers.answers for answers in found] == [[[[["deep"]]]]] * 12


def test_endless_nesting_is_cut(new_broadcaster):
    """A callback that asks its own channel ends in an error instead of a storm."""
    alone = new_broadcaster()
    failures = []

    def again():
        answers = alone.ask("again", timeout=20)
        failures.extend(failure.message for failure in answers.failed)

    alone.subscribe("again", again)
    assert alone.ask("again", timeout=20).complete
    assert len(failures) == 1
    assert "nested" in failures[0]


@pytest.fixture
def no_threads():
    """Let the system have no thread to give: nobody has so much memory for a stack."""
    before = threading.stack_size(1 << 46)
    yield
    threading.stack_size(before)


def test_a_request_without_a_thread_to_be_had(process_wide, no_threads):
    """The listener can't start, the request is answered; it starts with a later request."""
    config = Configurator(settings={"c2c.redis_url": "127.0.0.1:1"})
    config.include("c2c_broadcast")
    config.add_operator_view(lambda request: {"is": "there"}, name="x", path="/x", public=True)
    app = TestApp(config.make_wsgi_app())
    assert app.get("/c2c/x").json == {"is": "there"}
    assert not process_wide.started
    threading.stack_size(0)
    deadline = time.monotonic() + 30
    while not process_wide.started:
        assert time.monotonic() < deadline
        app.get("/c2c/x")


def test_asking_without_a_thread_to_be_had(new_broadcaster, no_threads, caplog):
    """It asks those that listen, answers itself, and is named by those that ask; with a thread it takes part."""
    one, two = new_broadcaster(), new_broadcaster()
    threading.stack_size(0)
    two.subscribe("x", lambda: {"is": "two"})
    two.ask("x", timeout=20)  # now it has a thread
    threading.stack_size(1 << 46)
    one.subscribe("x", lambda: {"is": one.ask("y").answers})
    one.subscribe("y", lambda: "nested")
    for _ in range(2):
        assert sorted(str(answer["is"]) for answer in one.ask("x", timeout=20).answers) == ["['nested']", "two"]
    assert not one.started
    assert caplog.text.count("until it has a thread to listen") == 1
    threading.stack_size(0)
    assert one.ask("x", timeout=20).complete
    assert one.started


def test_redis_is_not_waited_for_without_a_thread(new_broadcaster, no_threads):
    """Nobody connects, so nobody waits for a connection; that others were not asked is said."""
    one = new_broadcaster("redis://127.0.0.1:1")
    one.subscribe("x", lambda: 1)
    begin = time.monotonic()
    answers = [one.ask("x", timeout=60) for _ in range(20)]
    assert time.monotonic() - begin < 15  # each of them would wait a second
    assert all((found.answers, found.complete) == ([1], False) for found in answers)


def test_health_and_members_alone(new_broadcaster):
    """Alone is healthy; health starts nothing, members() is a use."""
    alone = new_broadcaster()
    assert not alone.started
    assert [member.application for member in alone.members()] == ["tests"]
    assert alone.started
    assert alone.health().connected
    assert alone.health().transport == "host"
    assert alone.health().queued == 0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"c2c.redis_url": "redis://h:1", "c2c.redis_options": "no_such_option=1"}, "C2C_REDIS_OPTIONS"),
        (
            {
                "c2c.redis_sentinels": "h:1",
                "c2c.redis_servicename": "s",
                "c2c.redis_sentinel_options": "no_such_option=1",
            },
            "C2C_REDIS_SENTINEL_OPTIONS",
        ),
        ({"c2c.redis_url": "redis://h:1", "c2c.redis_options": "socket_timeout=soon"}, "socket_timeout"),
        ({"c2c.redis_url": "redis://h:1?db=a"}, "C2C_REDIS_URL"),
        ({"c2c.redis_sentinels": "h:1"}, "C2C_REDIS_SERVICENAME"),
    ],
)
def test_bad_settings(process_wide, settings, named):
    """Settings that can't be followed stop the start-up, by name."""
    with pytest.raises(ConfigurationError, match=named):
        broadcast.init(settings, environ={})


def test_close_and_again(new_broadcaster):
    """After a close the next use starts anew, with the subscriptions."""
    alone = new_broadcaster()
    alone.subscribe("one", lambda: 1)
    assert alone.ask("one").answers == [1]
    alone.close()
    alone.close()
    assert not alone.started
    assert alone.ask("one").answers == [1]


def test_redis_is_imported_only_where_configured():
    """Without Redis in the settings redis-py is not imported; with it and without redis-py the remedy is named."""
    program = """
import sys
from c2c_broadcast import ConfigurationError, broadcast
broadcast.init({}, environ={})
broadcast.ask("nothing")
assert "redis" not in sys.modules
sys.modules["redis"] = None
try:
    broadcast.init({"c2c.redis_url": "redis://127.0.0.1:1"}, environ={})
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'c2c-broadcast[redis]'" in done.stdout
