"""The command line of c2c-run."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from c2c_meta._run import DEFAULT_PARAMS, prepare, uses_gevent


@pytest.fixture
def gunicorn(folder):
    """Return the arguments that gunicorn gets."""

    def arguments(*argv, **environ):
        environ, command = prepare(argv, {"C2CWSGIUTILS_CONFIG": str(folder.path / "production.ini")} | environ)
        assert command[:5] == [sys.executable, "-P", "-m", "c2c_meta", "c2c_meta.wsgi:application"]
        return command[5:], environ["C2CWSGIUTILS_CONFIG"]

    return arguments


def test_defaults(gunicorn):
    """Without GUNICORN_PARAMS, or with an empty one, the documented parameters are used."""
    documented = "-b :8080 --worker-class gthread --threads 10 --workers 5 --max-requests 1000 --max-requests-jitter 50"
    assert documented == DEFAULT_PARAMS
    assert gunicorn()[0] == documented.split()
    assert gunicorn(GUNICORN_PARAMS="")[0] == documented.split()


def test_workers_of_gevent_are_known_before_gunicorn_reads_its_arguments(tmp_path, monkeypatch):
    """From the last argument, else GUNICORN_CMD_ARGS, else the configuration file; what can't be read is no yes."""
    monkeypatch.chdir(tmp_path)
    assert uses_gevent(["c2c:app", "-k", "gthread", "-kgevent"], {})
    assert uses_gevent(["--worker-class=gunicorn.workers.ggevent.GeventWorker"], {})
    assert uses_gevent([], {"GUNICORN_CMD_ARGS": "-w 2 -k gevent_wsgi"})
    assert not uses_gevent(["-k", "gthread"], {"GUNICORN_CMD_ARGS": "-k gevent"})
    assert not uses_gevent(["-k"], {})
    assert not uses_gevent([], {"GUNICORN_CMD_ARGS": "'"})
    assert not uses_gevent(["-c", "python:nowhere"], {})
    file = tmp_path / "gunicorn.conf.py"
    file.write_text("workers = 2\nworker_class = 'gevent'\n")
    assert uses_gevent([], {})
    assert not uses_gevent(["-k", "sync"], {})
    assert uses_gevent(["-c", f"file:{file}"], {})


def _run(folder, *arguments, **environ):
    command = [Path(sys.executable).parent / "c2c-run", *arguments]
    environ = {**os.environ, "C2CWSGIUTILS_CONFIG": "production.ini", **environ}
    return subprocess.run(
        command, check=False, cwd=folder.path, env=environ, capture_output=True, text=True, timeout=120
    )


def test_check(folder):
    """It says whether the service could start, in one line, and does not start it."""
    good = _run(folder, "--check")
    assert (good.returncode, good.stdout) == (0, f"{folder.path}/production.ini: nothing is wrong\n")
    bad = _run(folder, "--check", C2C_HEALTH_LINGER="soon", C2C_EXCLUDE=folder.unused)
    assert bad.returncode == 2
    assert "C2C_HEALTH_LINGER" in bad.stderr
    assert bad.stderr.count("\n") == 1
    folder.setting("c2c.stats_vew = true")
    near = _run(folder, "--check", STATS_VEIW="1")
    assert (near.returncode, near.stdout) == (0, good.stdout)
    assert near.stderr.splitlines() == [
        "c2c-run: nothing reads STATS_VEIW: is it STATS_VIEW?",
        "c2c-run: nothing reads c2c.stats_vew: is it c2c.stats_view?",
    ]


def test_version(folder):
    """Of the package."""
    assert _run(folder, "--version").stdout == f"c2c-run {version('c2c-meta')}\n"


@pytest.mark.parametrize("variable", ["C2C_HEALTH_LINGER", "C2C_PROBE_ADDRESS", "C2C_DB_MAX_LAG"])
def test_a_setting_that_cant_be_read_stops_the_start(folder, variable):
    """One line, exit 2, and no worker was started."""
    unused = "c2c_sentry c2c_stats c2c_rest c2c_page c2c_debug"
    bad = _run(folder, "--", "-b", "127.0.0.1:0", **{"C2C_EXCLUDE": unused, variable: "nonsense"})
    assert bad.returncode == 2
    assert bad.stderr.startswith("c2c-run: ")
    assert variable in bad.stderr
    assert bad.stderr.count("\n") == 1
    assert "Booting" not in bad.stdout + bad.stderr


def test_params(gunicorn):
    """GUNICORN_PARAMS is split as a shell would; arguments after -- come later, so they win."""
    arguments, _ = gunicorn("--", "--workers", "1", GUNICORN_PARAMS="--name 'two words' --reload")
    assert arguments == ["--name", "two words", "--reload", "--workers", "1"]


@pytest.mark.parametrize("ours", ["-b :8080", "-b:8080", "--bind :8080", "--bind=:8080 -b :8081"])
@pytest.mark.parametrize("theirs", [["-b", ":1"], ["-b:1"], ["--bind", ":1"], ["--bind=:1"]])
def test_address(gunicorn, ours, theirs):
    """An address after -- takes the place of those of GUNICORN_PARAMS, where gunicorn itself would add it."""
    arguments, _ = gunicorn("--", *theirs, GUNICORN_PARAMS=f"-w 2 {ours} --name 'a b' --no-control-socket -k gthread")
    assert arguments == ["-w", "2", "--name", "a b", "--no-control-socket", "-k", "gthread", *theirs]
    assert "8080" in "".join(gunicorn("--", "-w", "1", GUNICORN_PARAMS=ours)[0])


@pytest.mark.parametrize("prefix", ["", "c2c://"])
def test_ini_argument(folder, gunicorn, prefix):
    """INI wins over the environment; the process knows it by its whole path, whatever folder gunicorn goes to."""
    path = folder.write("other.ini", "[app:main]\n")
    assert gunicorn(f"{prefix}{path}", C2CWSGIUTILS_CONFIG="nowhere.ini")[1] == str(path)
    assert gunicorn(C2CWSGIUTILS_CONFIG=f"{prefix}{path}")[1] == str(path)


def test_unbalanced(gunicorn, capsys):
    """A quote that does not end is said to be in GUNICORN_PARAMS."""
    with pytest.raises(SystemExit) as ended:
        gunicorn(GUNICORN_PARAMS="--name 'x")
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said == "c2c-run: GUNICORN_PARAMS can't be read as a command line: no closing quotation\n"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["nowhere.ini"], "nowhere.ini: no such file"),
        (["broken.ini"], "broken.ini:2: neither a [section] nor a key = value"),
        (["undefined.ini"], "undefined.ini:2: [app:main] x: uses %(NAME)s, which"),
        (["a.ini", "b.ini"], "unrecognized arguments: b.ini"),
        (["--workers", "2"], "unrecognized arguments: --workers"),
        ([], "/app/production.ini: no such file"),
        (["production.ini", "--", "--nonsense"], "error: unrecognized arguments: --nonsense"),
        (["production.ini", "--", "--workers", "many"], "error: argument -w/--workers: invalid int value: 'many'"),
    ],
)
def test_mistakes(folder, argv, expected):
    """A mistake is said in one line (after gunicorn's usage, if it is one of its arguments), with status 2."""
    folder.write("broken.ini", "[app:main]\nhunter2\n")
    folder.write("undefined.ini", "[app:main]\nx = %(NAME)s\n")
    done = folder.run("c2c-run", *argv)
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("c2c-run: ")
    assert expected in last
    assert "--" in argv or done.stderr.count("\n") == 1


def test_help(folder):
    """--help says what there is."""
    done = folder.run("c2c-run", "--help")
    assert done.returncode == 0
    assert "c2c-run [INI] [-- gunicorn arguments]" in done.stdout
    assert "C2CWSGIUTILS_CONFIG" in done.stdout


def test_light(folder):
    """Before it becomes gunicorn it imports nothing of Pyramid, gunicorn or the packages."""
    code = "import sys, c2c_meta._run; print(*sys.modules)"
    heavy = {"c2c_broadcast", "gunicorn", "logging", "paste.deploy", "plaster", "pyramid"}
    assert heavy.isdisjoint(folder.python(code).split())


@pytest.mark.parametrize(
    ("params", "configured"),
    [("--worker-class gthread", ""), ("", ""), ("-k eventlet", ""), ("--reload", ""), ("", "reload = True\n")],
)
def test_packages_are_imported_once_for_all_workers(folder, params, configured):
    """By the master, before the application: but what is left out, and where workers patch or read all themselves."""
    hook = "def on_starting(_server): raise SystemExit(0)"  # all that is before the workers
    folder.write("gunicorn.conf.py", configured + hook)
    folder.write("sitecustomize.py", "import atexit, sys; atexit.register(lambda: print(*sys.modules))")
    folder.setting("c2c.exclude = c2c_rest c2c_page")
    done = folder.run("c2c-run", "production.ini", GUNICORN_PARAMS=f"-b 127.0.0.1:{folder.free_port()} {params}")
    imported = done.stdout.splitlines()[-1].split()
    there = params in {"--worker-class gthread", ""} and not configured
    assert ("c2c_db" in imported, "sqlalchemy" in imported, "c2c_rest" in imported) == (there, there, False)
    assert "tiny" not in imported
