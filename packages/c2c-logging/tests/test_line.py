"""Lines of JSON: complete, strict, one a record, whatever the record."""

import io
import json
import logging

import pytest

from c2c_logging import JsonLogHandler


@pytest.fixture
def log():
    """A logger of one test, with a JSON handler; ``log.lines()`` gives what it wrote, parsed."""
    stream = io.StringIO()
    handler = JsonLogHandler(stream)
    logger = logging.Logger("app.views")  # noqa: LOG001 # one of this test alone
    logger.addHandler(handler)
    logger.text = stream.getvalue
    logger.lines = lambda: [strict(line) for line in stream.getvalue().split("\n")[:-1]]
    return logger


def strict(line):
    """Parse JSON and take nothing that RFC 8259 has not: no NaN, no name twice, no lone surrogate."""

    def unique(pairs):
        assert len({name for name, _ in pairs}) == len(pairs), f"a name twice in {line}"
        return dict(pairs)

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    found = json.loads(line, object_pairs_hook=unique, parse_constant=refuse)
    json.dumps(found, ensure_ascii=False).encode()
    return found


def test_a_line_has_the_fields_of_the_contract(log):
    """Each field is there, under its name, with its type."""
    log.info("hello %s", "world", extra={"answer": 42})
    (line,) = log.lines()
    assert line["msg"] == "hello world"
    assert line["level"] == 6
    assert line["level_name"] == "INFO"
    assert line["logger_name"] == line["source_facility"] == "app.views"
    assert line["file"] == __file__
    assert line["function"] == "test_a_line_has_the_fields_of_the_contract"
    assert line["answer"] == 42
    assert isinstance(line["line"], int)
    assert isinstance(line["pid"], int)
    assert isinstance(line["timestamp"], float)
    assert line["host"]
    assert line["thread_name"] == "MainThread"
    assert line["process_name"] == "MainProcess"
