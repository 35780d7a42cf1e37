"""The mistakes of a newcomer: each is one line that names the thing and the remedy, exit 2, and shows no secret."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent

INI = """[app:main]
use = call:tiny:main
[loggers]
keys = root
[handlers]
keys = json
[formatters]
keys = message
[logger_root]
level = INFO
handlers = json
[handler_json]
class = c2c_logging.JsonLogHandler
args = (sys.stdout,)
formatter = message
[formatter_message]
format = %(message)s
"""
# What is wrong in a file of the name: what to replace, and by what.
FILES = {
    "ok": ("", ""),
    "module": ("call:tiny", "call:tinyy"),
    "class": ("JsonLogHandler", "JsonLogHandlr"),
    "package": ("c2c_logging.", "c2c_loging."),
    "level": ("INFO", "INFOO"),
    "keys": ("keys = json", "keys = jsn"),
    "args": ("sys.stdout", "sys.stdot"),
    "section": ("[app:main]", "[app:other]"),
    "syntax": ("use = call:tiny:main", "use"),
    "twice": ("[loggers]", "[app:main]"),
    "egg": ("call:tiny:main", "egg:no-such-thing"),
    "inside": ("call:tiny:main", "call:nowhere.tiny:main"),
    "factory": ("use = call:tiny:main", "paste.app_factory = tinyy:main"),
    "nothing": ("use = call:tiny:main", "c2c.base_path = /c2c"),
    "pipeline": ("[app:main]", "[pipeline:main]\npipeline = nofilter tiny\n[app:tiny]"),
    "map": ("[app:main]", "[composite:main]\nuse = egg:Paste#urlmap\n/ = tinyy\n[app:tiny]"),
    "undefined": ("[loggers]", "x = %(NOWHERE)s\n[loggers]"),
}
SECRET = "canary-pw"
DB = f"postgresql://u:{SECRET}@127.0.0.1:1/x"

# (command, environment, words of the answer)
MISTAKES: list[tuple[str, dict[str, str], str]] = [
    ("c2c-run missing.ini", {}, "missing.ini: no such file"),
    ("c2c-run", {"C2CWSGIUTILS_CONFIG": "nowhere.ini"}, "nowhere.ini: no such file"),
    ("c2c-run class.ini", {}, "did you mean JsonLogHandler?"),
    ("c2c-run module.ini", {}, "[app:main] use = call:tinyy:main: there is no module 'tinyy'"),
    ("c2c-run --check module.ini", {}, "there is no module 'tinyy'"),
    ("c2c-run --check inside.ini", {}, "there is no module 'nowhere.tiny'"),
    ("c2c-run egg.ini", {}, "no distribution 'no-such-thing' is installed"),
    ("c2c-run --check factory.ini", {}, "[app:main] paste.app_factory = tinyy:main: there is no module 'tinyy'"),
    ("c2c-run nothing.ini", {}, "[app:main] has neither use nor paste.app_factory"),
    ("c2c-run pipeline.ini", {}, "[pipeline:main] pipeline names nofilter, of which there is no section"),
    ("c2c-run --check map.ini", {}, "[composite:main] / names tinyy, of which there is no section"),
    ("c2c-run package.ini", {}, "No module named 'c2c_loging'"),
    ("c2c-run level.ini", {}, "[logger_root] level = 'INFOO': must be one of"),
    ("c2c-run keys.ini", {}, "[handler_jsn] is missing: [handlers] names it"),
    ("c2c-run --check args.ini", {}, "[handler_json] args"),
    ("c2c-run section.ini", {}, "has no [app:main]"),
    ("c2c-run syntax.ini", {}, "syntax.ini:2: neither a [section] nor a key = value"),
    ("c2c-run twice.ini", {}, "[app:main] is there twice"),
    ("c2c-run undefined.ini", {}, "set NOWHERE"),
    ("c2c-run binary.ini", {}, "not encoded in UTF-8"),
    ("c2c-run folder.ini", {}, "folder.ini: Is a directory"),
    ("c2c-run --chek ok.ini", {}, "unrecognized arguments: --chek"),
    ("c2c-run ok.ini ok.ini", {}, "unrecognized arguments: ok.ini"),
    ("c2c-run ok.ini", {"GUNICORN_PARAMS": "'unclosed"}, "GUNICORN_PARAMS can't be read"),
    ("c2c-run ok.ini", {"GUNICORN_PARAMS": "-b :99999"}, "port must be 0-65535"),
    ("c2c-run ok.ini", {"GUNICORN_PARAMS": "-b :0 -k nonsense"}, "class uri 'nonsense' invalid or not found"),
    ("c2c-run ok.ini -- -b :0 -c nowhere.py", {}, "'nowhere.py' doesn't exist"),
    ("c2c-run ok.ini -- -b :0 -w 0", {}, "--workers 0: nobody would answer"),
    ("c2c-run ok.ini -- -b :0 -t -1", {}, "Value must be positive: -1"),
    ("c2c-run ok.ini -- -b :0 --log-level loud", {}, "--log-level loud: must be one of critical"),
    ("c2c-run ok.ini -- -b :0 --certfile /none", {}, "/none"),
    ("c2c-run ok.ini -- -b :0 --worker-tmp-dir /none", {}, "--worker-tmp-dir /none: there is no such folder"),
    ("c2c-run ok.ini -- -b :0 -p /none/pid", {}, "/none doesn't exist"),
    ("c2c-run ok.ini -- -b :0 --user nobodyx", {}, "No such user: 'nobodyx'"),
    ("c2c-run --check ok.ini", {"STATS_VIEW": "ture"}, "STATS_VIEW, ini key c2c.stats_view: 'ture': is neither true"),
    ("c2c-run --check ok.ini", {"C2C_REDIS_URL": f"http://u:{SECRET}@x"}, "must look like redis://"),
    ("c2c-run --check ok.ini", {"C2C_REDIS_OPTIONS": "timeout"}, "must look like socket_timeout=3"),
    ("c2c-run --check ok.ini", {"C2C_REDIS_SENTINELS": "a"}, "must look like host:26379"),
    ("c2c-run --check ok.ini", {"C2C_REDIS_DB": "-1"}, "must be 0 or more"),
    ("c2c-run --check ok.ini", {"C2C_BASE_PATH": "a b"}, "must be a plain path, such as /c2c"),
    ("c2c-run --check ok.ini", {"STATSD_ADDRESS": "localhost"}, "must look like host:8125"),
    ("c2c-run --check ok.ini", {"STATSD_ADDRESS": "localhost:x"}, "must look like host:8125"),
    ("c2c-run --check ok.ini", {"C2C_TRUSTED_PROXIES": "10.0.0.0/99"}, "such as 10.0.0.0/8"),
    ("c2c-run --check ok.ini", {"C2C_PROXY_HEADERS": "x-real"}, "must be of x-forwarded"),
    ("c2c-run --check ok.ini", {"C2C_FORCE_PROTO": "ftp"}, "must be http or https"),
    ("c2c-run --check ok.ini", {"C2C_HEALTH_FAILURE_STATUS": "abc"}, "is not a whole number"),
    ("c2c-settings missing.ini", {}, "missing.ini: no such file"),
    ("c2c-settings undefined.ini", {}, "set NOWHERE"),
    ("c2c-settings binary.ini", {}, "not encoded in UTF-8"),
    ("c2c-health-check", {}, "required: URL-or-ini"),
    ("c2c-health-check ftp://x", {}, "it is no URL (http://...)"),
    ("c2c-health-check missing.ini", {}, "there is no such file"),
    ("c2c-health-check module.ini", {}, "No module named 'tinyy'"),
    ("c2c-health-check http://127.0.0.1:1 --max-level x", {}, "--max-level: invalid int value: 'x'"),
    ("c2c-genversion", {}, "or give the hash"),
    ("c2c-genversion a b c", {}, "give a tag and a hash"),
    ("c2c-models-graph", {}, "required: MODULE"),
    ("c2c-models-graph nothere", {}, "No module named 'nothere'"),
    ("c2c-models-graph tiny", {}, "name the declarative base"),
    ("c2c-models-graph broken", {}, "broken.py, line 1"),
    ("c2c-check-es", {}, "ES_URL is not set"),
    ("c2c-check-es", {"ES_URL": "nonsense"}, "as in https://es.example.com:9200"),
    ("c2c-coverage-report nowhere", {}, "COVERAGE=1"),
    ("c2c-test-print --url nonsense", {}, "--url nonsense is no URL"),
    ("c2c-test-print --timeout -1", {}, "--timeout -1 is not more than 0"),
    ("c2c-test-print --url http://127.0.0.1:1/print/ --timeout 1", {}, "Connection refused"),
    ("c2c-stats-db", {}, "required: --db"),
    (f"c2c-stats-db --db {DB}", {}, "nowhere to send: give --statsd-address, --prometheus-url or --serve"),
    ("c2c-stats-db --db nonsense --statsd-address localhost:8125", {}, "--db is no URL: give postgresql://"),
    ("c2c-stats-db --db mysql://x/y --statsd-address localhost:8125", {}, "only PostgreSQL is measured"),
    (f"c2c-stats-db --db {DB} --statsd-address localhost", {}, "must look like host:8125"),
]
_NAMES = [f"{number}: {' '.join([command, *environ])}" for number, (command, environ, _) in enumerate(MISTAKES)]

_Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator["list[Future[_Done]]"]:
    """Make all mistakes, two at a time."""
    folder = tmp_path_factory.mktemp("mistakes")
    for name, (old, new) in FILES.items():
        folder.joinpath(f"{name}.ini").write_text(INI.replace(old, new) if old else INI)
    folder.joinpath("binary.ini").write_bytes(b"\xff\xfe\0x")
    folder.joinpath("folder.ini").mkdir()
    folder.joinpath("tiny.py").write_text("def main(_, **settings): ...\n")
    folder.joinpath("broken.py").write_text("def main(_, **s:\n")

    def make(command: str, environ: dict[str, str]) -> _Done:
        program, *arguments = command.split()
        return subprocess.run(
            [BIN / program, *arguments],
            cwd=folder,
            env={"PATH": os.environ["PATH"], **environ},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=300,
        )

    with ThreadPoolExecutor(2) as pool:
        yield [pool.submit(make, command, environ) for command, environ, _ in MISTAKES]


@pytest.mark.parametrize("number", range(len(MISTAKES)), ids=_NAMES)
def test_a_mistake_is_one_line_with_the_remedy(made: "list[Future[_Done]]", number: int) -> None:
    """Exit 2, nothing but one line, which begins with the command and has what helps; no secret.

    What only shows when gunicorn starts follows its line in the log.
    """
    command, _, told = MISTAKES[number]
    done = made[number].result()
    assert done.returncode == 2, done.stderr
    assert all("Starting gunicorn" in line for line in done.stdout.splitlines()), done.stdout
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith(f"{command.split()[0]}: ")
    assert told in done.stderr
    assert SECRET not in done.stderr
