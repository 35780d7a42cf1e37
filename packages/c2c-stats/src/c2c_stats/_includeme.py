"""What ``config.include("c2c_stats")`` does, and what does it without Pyramid."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from c2c_broadcast import Link, Live, Section, broadcast, load
from c2c_stats import _spies, _stats_view
from c2c_stats._settings import StatsSettings
from c2c_stats._sink import SINK, BuiltIn
from c2c_stats._stats_view import MemoryBackend

if TYPE_CHECKING:
    from pyramid.config import Configurator

_KEY = "c2c_stats.settings"
_LOOK_AGAIN = 5.0  # seconds


def init_backends(settings: Mapping[str, Any] | None = None) -> None:
    """Set the backends up from ini ``settings`` and environment: for scripts, without Pyramid.

    What was recorded before is forgotten; without any backend configured everything is off.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    found = load(StatsSettings, settings or {})
    exporters = _exporters(found)
    SINK.install(found, exporters, clear=True)
    if exporters:
        _spies.install(redis=found.track_redis)


def _exporters(settings: StatsSettings) -> dict[str, BuiltIn]:
    exporters: dict[str, BuiltIn] = {}
    if settings.stats_view:
        exporters["memory"] = MemoryBackend(SINK)
    if settings.statsd_address is not None:
        from c2c_stats._statsd import Format, StatsdBackend

        form = Format(
            settings.statsd_prefix, settings.statsd_tags, settings.statsd_address.datagram, settings.statsd_multi_value
        )
        exporters["statsd"] = StatsdBackend(SINK, settings.statsd_address, form, settings.statsd_flush_interval)
    return exporters


def _section(settings: StatsSettings) -> Section:
    everywhere = {"scope": "all"}
    scrape = Link(title="Prometheus", route="c2c_metrics", help="all processes of this host")
    view = Link(title="Statistics", route="c2c_stats", query=everywhere, help="all processes of the service")
    live = Live(title="Timings", kind="timings", route="c2c_stats", query=everywhere, every=_LOOK_AGAIN)
    links = (*([scrape] if settings.metrics_path else ()), *([view] if settings.stats_view else ()))
    lives = (live,) if settings.stats_view else ()
    return Section(name="stats", title="Metrics", order=20, operators_only=False, links=links, live=lives)


def includeme(config: "Configurator") -> None:
    """Add metrics: ``config.include("c2c_stats")``.

    Times every request and its rendering, and gives ``GET /metrics``; statsd and ``stats.json`` where configured.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    from pyramid.security import NO_PERMISSION_REQUIRED
    from pyramid.tweens import INGRESS
    from pyramid.viewderivers import VIEW

    config.include("c2c_broadcast")
    first = _KEY not in config.registry
    settings: StatsSettings = config.registry.setdefault(_KEY, load(StatsSettings, config.get_settings()))
    if first:
        SINK.install(settings, _exporters(settings), clear=False)
        from c2c_stats.prometheus._scrape import enable_prometheus  # prometheus_client takes 30 ms to import

        enable_prometheus()
        _spies.install(redis=settings.track_redis)
        broadcast.subscribe(_stats_view.CHANNEL, _stats_view.answer)
    config.add_tween("c2c_stats._spies.pyramid.tween_factory", under=INGRESS)
    config.add_view_deriver(
        "c2c_stats._spies.pyramid.before_render", "c2c_before_render", under="rendered_view", over=VIEW
    )
    config.add_view_deriver("c2c_stats._spies.pyramid.after_render", "c2c_after_render", over="rendered_view")
    if settings.metrics_path:
        config.add_route("c2c_metrics", settings.metrics_path)
        config.add_view(
            "c2c_stats.prometheus._scrape.view",
            route_name="c2c_metrics",
            request_method="GET",
            permission=NO_PERMISSION_REQUIRED,
            http_cache=0,
        )
    config.add_section(_section(settings))
    config.add_operator_view(
        _stats_view.view,
        name="stats",
        path="/stats.json",
        public=True,
        changes_state=False if settings.stats_public_reset else _stats_view.resets,
        off=None if settings.stats_view else "STATS_VIEW",
    )
