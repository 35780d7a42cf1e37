"""The names that fields have: ours, Elastic's, OpenTelemetry's."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from c2c_logging._fields import Fields

Arrange = Callable[[Fields], dict[str, Any]]

# Elastic Common Schema 8, https://www.elastic.co/guide/en/ecs/current/ecs-field-reference.html
_ECS = {
    "host": "host.hostname",
    "logger_name": "log.logger",
    "file": "log.origin.file.name",
    "line": "log.origin.file.line",
    "function": "log.origin.function",
    "level": "log.syslog.severity.code",
    "pid": "process.pid",
    "process_name": "process.name",
    "thread_name": "process.thread.name",
    "full_message": "error.stack_trace",
    "client_addr": "client.address",
    "method": "http.request.method",
    "request_id": "http.request.id",
    "path": "url.path",
    "matched_route": "labels.matched_route",
    "format_error": "labels.format_error",
    "truncated": "labels.truncated",
}

# OpenTelemetry semantic conventions, https://opentelemetry.io/docs/specs/semconv/
_OTEL_ATTRIBUTES = {
    "file": "code.file.path",
    "line": "code.line.number",
    "function": "code.function.name",
    "thread_name": "thread.name",
    "full_message": "exception.stacktrace",
    "client_addr": "client.address",
    "method": "http.request.method",
    "path": "url.path",
    "matched_route": "http.route",
    "request_id": "http.request.header.x-request-id",
    "format_error": "log.format_error",
    "truncated": "log.truncated",
}
_OTEL_RESOURCE = {"host": "host.name", "pid": "process.pid", "process_name": "process.executable.name"}
# Log data model, "Mapping of SeverityNumber", from the severities of syslog.
_OTEL_SEVERITY = {2: 21, 3: 17, 4: 13, 6: 9, 7: 5}


def c2c(fields: Fields) -> dict[str, Any]:
    """Arrange as the contract names them: flat."""
    return {**fields.core, **fields.extras}


def ecs(fields: Fields) -> dict[str, Any]:
    """Arrange for Elastic: dotted names, which Elasticsearch reads as objects; extras stay under their own names."""
    core = fields.core
    line: dict[str, Any] = {
        "@timestamp": _iso(core["timestamp"]),
        "log.level": str(core["level_name"]).lower(),
        "message": core["msg"],
        "ecs.version": "8.11.0",
    }
    line.update((name, core[key]) for key, name in _ECS.items() if key in core)
    if fields.context is not None:
        line["trace.id"] = fields.context.trace.trace_id
    _add(line, fields.extras)
    return line


def otel(fields: Fields) -> dict[str, Any]:
    """Arrange as OpenTelemetry's log data model: Timestamp in nanoseconds, Body, Attributes, Resource."""
    core = fields.core
    attributes = {name: core[key] for key, name in _OTEL_ATTRIBUTES.items() if key in core}
    _add(attributes, fields.extras)
    line: dict[str, Any] = {
        "Timestamp": round(core["timestamp"] * 1e6) * 1000,
        "SeverityText": core["level_name"],
        "SeverityNumber": _OTEL_SEVERITY[core["level"]],
        "Body": core["msg"],
        "Resource": {name: core[key] for key, name in _OTEL_RESOURCE.items() if key in core},
        "InstrumentationScope": {"Name": core["logger_name"]},
        "Attributes": attributes,
    }
    if fields.context is not None:
        line["TraceId"] = fields.context.trace.trace_id
    return line


DIALECTS: dict[str, Arrange] = {"c2c": c2c, "ecs": ecs, "otel": otel}
"""The values of LOG_JSON_DIALECT."""


def _add(line: dict[str, Any], extras: dict[str, Any]) -> None:
    for key, value in extras.items():
        name = key
        while name in line:
            name = f"extra_{name}"
        line[name] = value


def _iso(seconds: Any) -> str:
    moment = datetime.fromtimestamp(float(seconds), UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
