"""gunicorn's own logs under c2c-run: they go where the ini file says, once."""

import signal

import pytest

ONE = "--worker-class gthread --threads 2 --workers 1"


@pytest.fixture
def serve(folder):
    """Return a function that starts c2c-run with one worker and more arguments, without any package."""
    return lambda more="": folder.serve(params=f"{ONE} {more}", C2C_EXCLUDE=folder.nothing)


def lines(process, part):
    """Return the lines of the log that hold ``part``."""
    return [line for line in process.log.splitlines() if part in line]


def test_error_log(serve):
    """Records of gunicorn's own go to the ini file's handlers."""
    process = serve()
    (line,) = lines(process, "Listening at")
    assert line.startswith(f"INI|{process.popen.pid}|INFO|gunicorn.error|Listening at")


def test_no_access_log(serve):
    """Nobody asked for it, at the start or at a reload."""
    process = serve()
    before = process.workers(1)
    process.popen.send_signal(signal.SIGHUP)
    process.workers(1, but=before)
    assert process.stop() == 0
    assert lines(process, "GET /hello") == []


def test_access_log(serve, folder):
    """With ``--access-logfile -`` so do those of its access log."""
    process = serve("--access-logfile -")
    process.get("/hello?once")
    folder.until(lambda: lines(process, "/hello?once"))
    (line,) = lines(process, "/hello?once")
    assert "|INFO|gunicorn.access|127.0.0.1" in line


def test_access_log_in_spite_of_root(serve, folder):
    """The level of other loggers does not swallow an access log that was asked for."""
    folder.logging("\n[logger_root]\nlevel = ERROR\nhandlers = console")
    process = serve("--access-logfile -")
    folder.until(lambda: lines(process, "GET /hello"))


def test_log_files(serve, folder):
    """Logs that gunicorn is given files for are in these, in gunicorn's format, and nowhere else."""
    process = serve("--access-logfile access --error-logfile error")
    access, error = folder.path / "access", folder.path / "error"
    folder.until(lambda: "GET /hello" in access.read_text())
    assert "[INFO] Listening at" in error.read_text()
    assert lines(process, "GET /hello") == lines(process, "Listening at") == []


@pytest.mark.parametrize("name", ["gunicorn", "gunicorn.error"])
def test_level_in_ini(serve, folder, name):
    """A level that the ini file gives to gunicorn holds."""
    folder.logging(f"\n[loggers]\nkeys = root, g\n[logger_g]\nqualname = {name}\nlevel = WARNING\nhandlers =\n")
    process = serve()
    assert process.stop() == 0
    assert lines(process, "gunicorn.error") == []


def test_own_handlers(serve, folder):
    """A section that keeps gunicorn's records to a handler of its own is followed."""
    folder.logging(
        "\n[loggers]\nkeys = root, g\n[handlers]\nkeys = console, file\n"
        "[logger_g]\nqualname = gunicorn.error\nlevel = INFO\npropagate = 0\nhandlers = file\n"
        "[handler_file]\nclass = FileHandler\nargs = ('own.log',)\n"
    )
    process = serve()
    assert lines(process, "Listening at") == []
    assert (folder.path / "own.log").read_text().count("Listening at") == 1


def test_without_logging_sections(serve, folder):
    """Without logging in the ini file gunicorn logs as it always does."""
    folder.write("production.ini", "[app:main]\nuse = call:tiny:main\n")
    process = serve("--access-logfile -")
    (line,) = lines(process, "Listening at")
    assert "[INFO] Listening at" in line
    folder.until(lambda: lines(process, "GET /hello"))


def test_log_level_argument(serve):
    """``--log-level`` holds where the ini file says nothing about gunicorn."""
    process = serve("--log-level warning")
    assert lines(process, "Listening at") == []
