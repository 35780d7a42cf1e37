"""At the end of a process, or of a configuration, every record is written, and nobody waits while logging is locked."""

import contextlib
import sqlite3
import subprocess
import sys

import pytest

HEAD = """
import logging, logging.config, os, sys, threading, time
from c2c_logging import PyramidCeeSysLogHandler, SQLAlchemyHandler

CONF = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"db": {"()": "c2c_logging.SQLAlchemyHandler", "sqlalchemy_url": {"url": sys.argv[1]}}},
    "loggers": {"sqlalchemy.engine": {"level": "INFO"}},
    "root": {"handlers": ["db"], "level": "INFO"},
}
logging.config.dictConfig(CONF)

def say(count=50, of="record %s"):
    for number in range(count):
        logging.getLogger("app").info(of, number)

def timed(function, *args):
    begun = time.monotonic()
    function(*args)
    print(time.monotonic() - begun)
"""


@pytest.fixture
def run(tmp_path):
    """A function that runs a program; it gives how long what it timed took, and the application's rows then."""

    def run(code):
        path, program = tmp_path / "logs.db", tmp_path / "program.py"
        program.write_text(HEAD + code)
        done = subprocess.run(
            [sys.executable, program, f"sqlite:///{path}"], capture_output=True, text=True, timeout=120, check=True
        )
        with contextlib.closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT msg FROM logs WHERE logger = 'app' ORDER BY id").fetchall()
        return [float(line) for line in done.stdout.splitlines()], [row[0] for row in rows]

    return run


RECORDS = [f"record {number}" for number in range(50)]


def test_shutdown_writes_all(run):
    """``logging.shutdown`` with SQLAlchemy's own logging on: soon over, and nothing is lost even by a sudden end."""
    (took,), rows = run("say(); timed(logging.shutdown); os._exit(0)")
    assert rows == RECORDS
    assert took < 8, "the thread that writes and shutdown waited for each other"


def test_a_second_configuration_loses_nothing(run):
    """``dictConfig`` again: it does not wait, what was logged before and after is written once the process ends."""
    (took,), rows = run("say(); timed(logging.config.dictConfig, CONF); say(1, 'after %s')")
    assert sorted(rows) == sorted([*RECORDS, "after 0"])
    assert took < 8, "the thread that writes and dictConfig waited for each other"


def test_other_threads_log_meanwhile(run):
    """A second configuration stops no thread that logs."""
    (took,), rows = run(
        "def work():\n"
        "    say(20, 'thread %s')\n"
        "say()\n"
        "threads = [threading.Thread(target=work) for _ in range(4)]\n"
        "def both():\n"
        "    for thread in threads: thread.start()\n"
        "    logging.config.dictConfig(CONF)\n"
        "    for thread in threads: thread.join()\n"
        "timed(both)"
    )
    assert took < 8
    assert set(RECORDS) < set(rows)


def test_a_process_that_becomes_another_program(run):
    """``os.execv`` and its kin run no atexit: what is queued is written before."""
    _, rows = run("say(); os.execlp(sys.executable, 'python', '-c', '')")
    assert rows == RECORDS


def test_a_record_that_is_logged_at_exit(run):
    """After our own hook has run: no thread can be started any more, and it is written nevertheless."""
    code = "import atexit\natexit.register(say)\nlogging.getLogger('other').info('first: hooks of later run before')"
    assert run(code)[1] == RECORDS


def test_the_only_records_are_logged_at_exit(run):
    """Where nothing was logged before, the thread is to start when Python may refuse it."""
    assert run("import atexit\natexit.register(say)")[1] == RECORDS


def test_syslog_at_shutdown_and_again(syslog_sink):
    """The same for the handler of syslog, whose thread may log too."""
    code = """
import logging, logging.config, sys, time
conf = {
    "version": 1, "disable_existing_loggers": False,
    "handlers": {"syslog": {"()": "c2c_logging.PyramidCeeSysLogHandler", "address": ["127.0.0.1", int(sys.argv[1])]}},
    "root": {"handlers": ["syslog"], "level": "INFO"},
}
begun = time.monotonic()
for turn in range(2):
    logging.config.dictConfig(conf)
    for number in range(20):
        logging.info("turn %s record %s", turn, number)
logging.shutdown()
print(time.monotonic() - begun)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(syslog_sink.port)], capture_output=True, text=True, timeout=120, check=True
    )
    assert float(done.stdout) < 5
    assert len(syslog_sink.wait(count=40)) == 40
