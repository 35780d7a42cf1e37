"""Records made quickly are those of the standard library."""

import asyncio
import collections
import io
import logging
import pickle
import threading

import pytest

from c2c_logging import JsonLogHandler, _records
from c2c_logging._records import QuickRecord, make_records_quickly

# What no two records have in common.
_CLOCK = {"created", "msecs", "relativeCreated"}


@pytest.fixture(autouse=True)
def _factory():
    """Whatever a test does to the factory ends with it."""
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    yield
    logging.setLogRecordFactory(before)


def same(*arguments, **more):
    """Assert that both classes make the same of these arguments."""
    slow, quick = (made(*arguments, **more) for made in (logging.LogRecord, QuickRecord))
    assert list(slow.__dict__) == list(quick.__dict__)
    for name, value in slow.__dict__.items():
        found = getattr(quick, name)
        assert type(found) is type(value), name
        if name not in _CLOCK:
            assert found == value, name
    assert abs(quick.created - slow.created) < 60
    assert abs(quick.relativeCreated - slow.relativeCreated) < 60_000
    assert 0 <= quick.msecs < 1000
    assert int((quick.created % 1) * 1000) == quick.msecs
    return quick


@pytest.mark.parametrize(
    "args",
    [
        (),
        None,
        ("one",),
        ("one", 2),
        ({"a": 1},),
        ({},),
        (collections.ChainMap({"a": 1}),),
        (0,),
        ([],),
    ],
)
def test_arguments_are_taken_as_logging_takes_them(args):
    """A mapping alone is what the message's names are looked up in, unless it is empty."""
    same("n", logging.INFO, "/app/views.py", 1, "%s", args, None)


@pytest.mark.parametrize("path", ["/app/views.py", "views", "", "/app/", "a.b.py", None, 5, "C:\\x.py"])
def test_any_path_is_taken_as_logging_takes_it(path):
    """Files without a name, and what is no path at all."""
    same("n", logging.INFO, path, 1, "x", (), None, "function", "stack")


@pytest.mark.parametrize("level", [logging.DEBUG, 25, 0, "INFO"])
def test_any_level_has_the_name_that_logging_gives_it(level):
    """Levels without a name of their own too."""
    same("n", level, "f.py", 1, "x", (), None, extra="ignored")


def test_a_thread_and_a_process_say_their_names():
    """As they are called when the record is made."""
    found = []
    thread = threading.Thread(target=lambda: found.append(same("n", 20, "f.py", 1, "x", (), None)), name="mine")
    thread.start()
    thread.join()
    assert found[0].threadName == "mine"


def test_an_asyncio_task_says_its_name():
    """From Python 3.12 on; and in a callback of a loop there is none."""

    async def work():
        await asyncio.sleep(0)
        return same("n", 20, "f.py", 1, "x", (), None)

    record = asyncio.run(work())
    assert not _records._TASKS or record.taskName

    async def callback():
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: done.set_result(same("n", 20, "f.py", 1, "x", (), None)))
        return await done

    assert getattr(asyncio.run(callback()), "taskName", None) is None


def test_a_record_crosses_processes():
    """Pickled and back: the same attributes."""
    record = QuickRecord("n", 20, "f.py", 1, "x %s", ("y",), None)
    assert pickle.loads(pickle.dumps(record)).__dict__ == record.__dict__


def test_a_handler_has_records_made_quickly():
    """Loggers hand quick records to every handler."""
    JsonLogHandler(io.StringIO())
    assert logging.getLogRecordFactory() is QuickRecord
    record = logging.getLogger("x").makeRecord("x", 20, "f.py", 1, "m", (), None, extra={"answer": 42})
    assert isinstance(record, QuickRecord)
    assert record.answer == 42
    with pytest.raises(KeyError):
        logging.getLogger("x").makeRecord("x", 20, "f.py", 1, "m", (), None, extra={"message": 42})


def test_the_choice_of_the_program_is_left_alone(monkeypatch):
    """A factory that is there, and what logging was told to leave out."""

    class Theirs(logging.LogRecord):
        pass

    logging.setLogRecordFactory(Theirs)
    make_records_quickly()
    assert logging.getLogRecordFactory() is Theirs
    logging.setLogRecordFactory(logging.LogRecord)
    monkeypatch.setattr(logging, "logThreads", False)
    make_records_quickly()
    assert logging.getLogRecordFactory() is logging.LogRecord
