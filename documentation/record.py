"""Record real answers of the documented endpoints: ``make record-docs``.

The demo starts as it does for the acceptance tests. Each endpoint is asked as anybody and as an operator; what is
recorded (documentation/answers.json) is written for readers as docs/reference/endpoints.md. An answer that has the
shape of the recorded one leaves the record as it is, so that it changes only when a package does; ``--anew`` records
all again.
"""

import contextlib
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from acceptance_tests import demo as start
from c2c_testing.servers import free_port
from documentation.endpoints import ENDPOINTS, Ask
from documentation.pages import ROOT
from documentation.reference import written
from documentation.shapes import differences, shape
from documentation.stable import cut, cut_text, names_here, stable

ANSWERS = ROOT / "documentation" / "answers.json"
PAGE = ROOT / "docs" / "reference" / "endpoints.md"
SECRET = "documented-secret-of-operators"  # noqa: S105 # made up
_HEADERS = ("Content-Type", "Cache-Control", "Retry-After", "Allow", "Access-Control-Allow-Origin")
_FAMILY = re.compile(r"^# TYPE (\S+)", re.MULTILINE)


@contextlib.contextmanager
def demo() -> Iterator[start.Demo]:
    """Start the demo with two workers, versions and the profiler's page; its processes know each other only."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, start.databases() as (pair, redis):
        versions = Path(folder, "versions.json")
        versions.write_text('{"main": {"git_hash": "0a1b2c3", "git_tag": "1.2.0"}, "packages": {"pyramid": "2.1"}}')
        environ = {
            "C2C_BROADCAST_PREFIX": f"docs_{port}_",
            "C2C_SECRET": SECRET,
            "C2C_VERSIONS_PATH": str(versions),
            "C2C_PROFILER_PATH": "/profiler",
        }
        with start.service(pair, redis, port=port, workers=2, environ=environ) as running:
            yield running


def answers(running: start.Demo) -> Iterator[tuple[str, dict[str, Any]]]:
    """Ask every endpoint; give ``(key, answer)``: status, headers, body (stable and cut), shape."""
    _warm_up(running)
    pids = {pid: 101 + number for number, pid in enumerate(running.service.workers())}
    port = re.compile(rf"\b{running.service.port}\b")
    names = names_here(_addresses(running), {running.service.master(): 100, **pids})
    names.append((port, "8080"))
    for package, asks in ENDPOINTS.items():
        for number, ask in enumerate(asks):
            for who in ask.who:
                yield f"{package}/{number:02}/{who} {ask.title}", _answer(running, ask, who, names)


def _warm_up(running: start.Demo) -> None:
    """Use the service a little, so that there are numbers to show, in every process."""
    for path in ("hello", "ping", "outgoing/1", "c2c/health_check?max_level=2") * 8:
        requests.get(f"{running.service.url}/api/{path}", timeout=60).raise_for_status()


def _addresses(running: start.Demo) -> dict[str, str]:
    pair = running.databases
    return {
        SECRET: "$C2C_SECRET",
        str(running.service.folder): "/tmp/app",  # noqa: S108 # only shown
        tempfile.gettempdir() + "/": "/tmp/",  # noqa: S108 # only shown
        f"{running.service.host}:{running.service.port}": "localhost:8080",
        f"{pair.primary.host}:{pair.primary.port}": "db-1:5432",
        f"{pair.replica.host}:{pair.replica.port}": "db-2:5432",
        f"{running.redis.host}:{running.redis.port}": "redis:6379",
        f"docs_{running.service.port}_": "broadcast_api_",
    }


def _answer(running: start.Demo, ask: Ask, who: str, names: list[tuple[re.Pattern[str], str]]) -> dict[str, Any]:
    headers = {**ask.headers, **({"X-API-Key": SECRET} if who == "operator" else {})}
    url = f"{running.service.url}{'/api' if ask.below_prefix else ''}{ask.path}"
    answer = requests.request(ask.method, url, headers=headers, data=ask.body, timeout=120)
    shown = {name: answer.headers[name] for name in _HEADERS if name in answer.headers}
    if "json" in answer.headers.get("Content-Type", ""):
        value = stable(answer.json(), names)
        body, form = cut(value), shape(value, ask.any_keys)
    else:
        text = stable(answer.text, names)
        body, form = cut_text(_title(text)), dict.fromkeys(sorted(_FAMILY.findall(answer.text)), "text")
    return {"status": answer.status_code, "headers": shown, "body": body, "shape": form}


def _title(text: str) -> str:
    """Return an HTML page's title: the page itself is for browsers. Another text is returned as it is."""
    found = re.search(r"<title>(.*?)</title>", text, re.DOTALL)
    return f"<title>{found[1].strip()}</title> …" if found else text


def changes(recorded: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return in what an answer is not the recorded one: status, type, shape."""
    found = [] if recorded["status"] == now["status"] else [f"status {now['status']}, recorded as {recorded['status']}"]
    types = [one["headers"].get("Content-Type") for one in (recorded, now)]
    found += [] if types[0] == types[1] else [f"Content-Type {types[1]}, recorded as {types[0]}"]
    return found + list(differences(recorded["shape"], now["shape"]))


def recorded() -> dict[str, Any]:
    """Return what is recorded."""
    found: dict[str, Any] = json.loads(ANSWERS.read_text(encoding="utf-8")) if ANSWERS.exists() else {}
    return found


def main() -> int:
    """Ask, and write what is new."""
    before = {} if "--anew" in sys.argv else recorded()
    with demo() as running:
        now = dict(answers(running))
    after = {}
    for key, answer in now.items():
        why = changes(before[key], answer) if key in before else ["is new"]
        after[key] = answer if why else before[key]
        if why:
            sys.stdout.write(f"{key}: {'; '.join(why)}\n")
    ANSWERS.write_text(json.dumps(after, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(written(after), encoding="utf-8")
    sys.stdout.write(f"{len(after)} answers\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
