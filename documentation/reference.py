"""The page of the endpoints, from recorded answers."""

import json
from typing import Any

from documentation.endpoints import ENDPOINTS, Ask

_HEAD = """# Endpoints

What each documented endpoint answers: real answers of the demo (`make run`), asked as anybody and as an operator,
recorded by `make record-docs`. Host names, process ids, addresses and folders are made the same; long lists are cut at
"…". The demo's own prefix is `/api`, and the base path of operator views is `/c2c`
([`C2C_BASE_PATH`](settings.md#base)).

No answer below is cached: `Cache-Control` is left out where it says so (`no-cache, no-store`).

An operator sends the secret as header `X-API-Key`, as parameter `secret`, or has the cookie of a log-in: see
[operator access](../packages/c2c-broadcast.md#operator-access).
"""
# What has an address of its own, and is not asked at the demo's.
_MORE = {
    "c2c-health": """### The probe address: `GET /live`, `/ready`, `/health_check`, `/metrics`

Where `C2C_PROBE_ADDRESS` (`:8081`, or the path of a unix socket) is set, these are served there, without a base
path, beside the request threads and from memory, by whichever process of the service is free: also while all
request threads are busy. `/livez` and `/readyz` are the same as `/live` and `/ready`. They answer **200**, or
**500** (`C2C_HEALTH_FAILURE_STATUS`) when something fails, with the reports that are shown above, to everybody who
reaches the port; `/metrics` is what Prometheus reads elsewhere. Another path is **404**, another method **405**, a
check that there is none of **400**.

```sh
curl http://localhost:8081/ready
```
"""
}
_UNCACHED = "max-age=0, must-revalidate, no-cache, no-store"
_WHO = {"public": "Anybody", "operator": "An operator"}


def written(answers: dict[str, Any]) -> str:
    """Return the page, in Markdown."""
    parts = [_HEAD]
    for package, asks in ENDPOINTS.items():
        parts.append(f"## {package}\n\nDescribed in [{package}](../packages/{package}.md).\n")
        for number, ask in enumerate(asks):
            parts.append(f"### `{ask.title}`\n\n{ask.says}\n")
            parts += [f"```sh\n{_curl(ask)}\n```\n"]
            parts += [_answer(who, answers[f"{package}/{number:02}/{who} {ask.title}"]) for who in ask.who]
        parts += [_MORE[package]] if package in _MORE else []
    return "\n".join(parts)


def _curl(ask: Ask) -> str:
    """Return the command that asks the same, as an operator where that matters."""
    words = ["curl"]
    words += [] if ask.method == "GET" else [f"-X {ask.method}"]
    words += [f"-H '{name}: {value}'" for name, value in ask.headers.items()]
    words += ['-H "X-API-Key: $C2C_SECRET"'] if "operator" in ask.who else []
    words += [f"-d '{ask.body}'"] if ask.body else []
    words.append(f"'http://localhost:8080{ask.title.split(' ', 1)[1]}'")
    return " ".join(words)


def _answer(who: str, answer: dict[str, Any]) -> str:
    body = answer["body"]
    kind = "json" if not isinstance(body, str) else "text"
    text = body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)
    headers = ", ".join(f"`{name}: {value}`" for name, value in answer["headers"].items() if value != _UNCACHED)
    line = f"{_WHO[who]}: **{answer['status']}**{f', {headers}' if headers else ''}\n"
    return f"{line}\n```{kind}\n{text}\n```\n" if text else line
