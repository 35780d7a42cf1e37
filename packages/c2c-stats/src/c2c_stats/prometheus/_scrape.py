"""One scrape: the numbers of all processes, of providers and of prometheus_client's registry; and the answer."""

import gzip
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, REGISTRY, exposition
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector as BaseCollector

from c2c_broadcast import load
from c2c_stats._settings import SIX, StatsSettings
from c2c_stats._sink import SINK
from c2c_stats._spies import install
from c2c_stats.prometheus._exposition import Names, families, prefix_of_six
from c2c_stats.prometheus._processes import PrometheusBackend
from c2c_stats.prometheus._providers import MemoryMapProvider, collect_as_six

_LOG = logging.getLogger(__name__)


PROVIDERS: list[Any] = []  # those that were added to this process


def _collect(encode: Callable[[Any], bytes]) -> Iterator[Metric]:
    """Yield families of different names, to be written by ``encode``; what can't be had is left out and counted."""
    # A worker may be asked before it recorded anything: it has to know the others' numbers.
    SINK.start()
    settings = SINK.settings
    backend: PrometheusBackend | None = SINK.exporters.get("prometheus")
    pids = [process.pid for process in backend.members()] if backend is not None else []
    as_six = partial(collect_as_six, pids, prefix_of_six(settings.prometheus_prefix), settings)
    of_processes = as_six if settings.prometheus_names == SIX else MemoryMapProvider(pids=pids).collect
    own = SimpleNamespace(name="processes", collect=of_processes)
    found: dict[str, Metric] = {}
    names = Names()
    for collector in [own, *PROVIDERS, _REGISTERED]:
        try:
            metrics = list(collector.collect())
            if collector is not own:
                # Written alone first: a label that can't be written must not cost the whole scrape.
                encode(SimpleNamespace(collect=partial(iter, metrics)))
        except Exception:  # noqa: BLE001 # anybody's code
            name = str(getattr(collector, "name", type(collector).__name__))
            _LOG.warning("Metrics of %s are left out of this scrape", name, exc_info=True)
            SINK.counter(("provider", "errors"), {"provider": name}).inc()
            continue
        for metric in metrics:
            _add(found, metric, names)
    yield from found.values()
    yield from _recorded(names)


def _recorded(names: Names) -> Iterator[Metric]:
    """Yield what all processes have recorded."""
    backend: PrometheusBackend | None = SINK.exporters.get("prometheus")
    if backend is not None:
        settings = SINK.settings
        pids = [str(process.pid) for process in backend.members()]
        for metric in families(backend.records(), settings.prometheus_prefix, names, settings.prometheus_names):
            if settings.prometheus_names == SIX and metric.name.endswith("alembic_version"):
                # There each process says it of itself.
                shown = metric.samples
                metric.samples = [one._replace(labels={**one.labels, "pid": pid}) for one in shown for pid in pids]
            yield metric


class _OnRegistry(BaseCollector):
    """Shows what was recorded to who serves prometheus_client's registry itself, as services of c2cwsgiutils 6 do."""

    hidden = threading.local()  # from a scrape of ours, which has it

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return () if getattr(self.hidden, "now", False) else _recorded(Names())


_ON_REGISTRY = _OnRegistry()


def _registered() -> Iterator[Metric]:
    """Yield what applications registered with prometheus_client; not its own numbers of the process that is asked."""
    own = {one.name for of in (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR) for one in of.collect()}
    _ON_REGISTRY.hidden.now = True
    try:
        yield from [metric for metric in REGISTRY.collect() if metric.name not in own]
    finally:
        _ON_REGISTRY.hidden.now = False


_OPENMETRICS = "application/openmetrics-text"
_REGISTERED = SimpleNamespace(name="prometheus_client.REGISTRY", collect=_registered)


def _add(found: dict[str, Metric], metric: Metric, names: Names) -> None:
    """Add a family; to one of the same name and type, the series that it does not have yet."""
    known = found.get(metric.name)
    if known is not None and known.type == metric.type:
        have = {(sample.name, tuple(sorted(sample.labels.items()))) for sample in known.samples}
        known.samples.extend(
            sample for sample in metric.samples if (sample.name, tuple(sorted(sample.labels.items()))) not in have
        )
        return
    # Two collectors that do not know each other: the later one's metric gets another name.
    name = names.take(metric.name, metric.type, metric.type, f"_{metric.unit}" if metric.unit else "")
    if name != metric.name:
        renamed = Metric(name, metric.documentation, metric.type, metric.unit)
        renamed.samples = [one._replace(name=name + one.name.removeprefix(metric.name)) for one in metric.samples]
        metric = renamed
    found[name] = metric


def answer(accept: str, accept_encoding: str) -> tuple[bytes, list[tuple[str, str]]]:
    # OpenMetrics as version 1.0.0, whatever later one is asked for: later ones have names of any characters.
    wants = any(part.partition(";")[0].strip() == _OPENMETRICS for part in accept.split(","))
    encode: Callable[[Any], bytes] = openmetrics.generate_latest if wants else exposition.generate_latest
    version = f"{_OPENMETRICS}; version=1.0.0" if wants else "text/plain; version=0.0.4"
    body = encode(SimpleNamespace(collect=partial(_collect, encode)))
    headers = [
        ("Content-Type", f"{version}; charset=utf-8"),
        ("Vary", "Accept, Accept-Encoding"),
        ("Cache-Control", "no-cache"),
    ]
    if exposition.gzip_accepted(accept_encoding):
        body = gzip.compress(body, 1)
        headers.append(("Content-Encoding", "gzip"))
    return body, [*headers, ("Content-Length", str(len(body)))]


def enable_prometheus(settings: Mapping[str, Any] | None = None) -> None:
    """Keep numbers for Prometheus from now on: for what answers scrapes without Pyramid, before it forks.

    ``c2c_stats.prometheus.start_http_server`` and ``config.include("c2c_stats")`` do it; where ``metrics_app``
    is mounted in another framework it is to be called once. ``init_backends``, if at all, comes before; where it did
    not, ini ``settings`` and the environment say how metrics are called.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    if SINK.exporters.get("prometheus") is None:
        found = SINK.settings if SINK.configured else load(StatsSettings, settings or {})
        SINK.install(found, {"prometheus": PrometheusBackend(SINK)}, clear=False)
        install(redis=found.track_redis)
        if found.prometheus_names == SIX:
            REGISTRY.register(_ON_REGISTRY)
    if "GUNICORN_PID" in os.environ:
        # After an upgrade (USR2): take part at once, before the old master's processes go, and their numbers with them.
        SINK.start()


def metrics_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a scrape as a WSGI application: to be mounted at ``/metrics`` of a service of any framework."""
    if environ.get("REQUEST_METHOD") not in {"GET", "HEAD"}:
        start_response("405 Method Not Allowed", [("Allow", "GET, HEAD"), ("Content-Length", "0")])
        return []
    status = "200 OK"
    try:
        body, headers = answer(environ.get("HTTP_ACCEPT", ""), environ.get("HTTP_ACCEPT_ENCODING", ""))
    except OSError as error:  # no descriptor is free: the numbers of this process alone would be a step back
        status, headers = "503 Service Unavailable", [("Content-Type", "text/plain"), ("Cache-Control", "no-cache")]
        body = f"The numbers of the service's processes can't be read: {error}\n".encode()
    start_response(status, headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def view(request: Any) -> Any:
    """Answer in the Prometheus or OpenMetrics text format, as ``Accept`` says; compressed where that is accepted."""
    return request.get_response(metrics_app)


def add_provider(provider: Any) -> None:
    """Show a provider's metrics, or those of any prometheus_client collector, at each scrape of this process; once."""
    if provider not in PROVIDERS:
        PROVIDERS.append(provider)


class Handler(WSGIRequestHandler):
    """Answers one client, for ten seconds at most."""

    timeout = 10  # seconds, for a client that sends nothing

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the library's name
        pass


def start_http_server(port: int, address: str = "", settings: Mapping[str, Any] | None = None) -> WSGIServer:
    """Serve scrapes from a thread of this process, on any path: for daemons, and frameworks without WSGI.

    ``address`` is by default all of the host's; with ``port`` 0 the system chooses, ``server_port`` tells it.
    All processes that were forked from one are in each answer. ``shutdown()`` of the answer ends it. ``settings``
    are as in ``enable_prometheus``.

    Raises:
        ConfigurationError: A setting can't be read.
        OSError: The port is taken.
    """
    enable_prometheus(settings)
    server = exposition.ThreadingWSGIServer((address, port), Handler)
    server.set_app(metrics_app)
    threading.Thread(target=server.serve_forever, name="c2c-stats-metrics", daemon=True).start()
    return server
