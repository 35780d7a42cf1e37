"""What ``config.include("c2c_debug")`` does."""

from functools import partial

from pyramid.config import Configurator

from c2c_broadcast import Field, Form, Link, Live, Section, load, masker_of
from c2c_debug import memory, references, request_views, running, sampling, stacks
from c2c_debug._settings import DebugSettings
from c2c_debug.heavy import KEY, Tools
from c2c_debug.sql import view as sql_view


def subscribe() -> None:
    """Answer what other processes ask: for daemons, which include nothing. Call ``broadcast.start()`` too."""
    _subscribe(Tools())


def _subscribe(tools: Tools) -> None:
    stacks.subscribe()
    memory.subscribe(tools)
    sampling.subscribe(tools)


def includeme(config: Configurator) -> None:
    """Add the tools that settings enable: ``config.include("c2c_debug")``.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    config.include("c2c_broadcast")
    settings = load(DebugSettings, config.get_settings())
    config.registry.setdefault(KEY, Tools(masker_of(config.registry), settings.unknown_types == "refuse"))
    if settings.requests_in_flight:
        config.include(running)
    if settings.debug_view_enabled:
        _subscribe(config.registry[KEY])
        config.add_section(_RUNNING)
        config.add_section(_DEBUG)
    if settings.sql_profiler_enabled:
        sql_view.install(config.registry, masker_of(config.registry))
        config.add_section(_SQL)
    _add_views(config, settings)
    if settings.profiler_path is not None:
        _add_profiler_link(config, settings.profiler_path)


def _add_views(config: Configurator, settings: DebugSettings) -> None:
    """Add the views; of those that are off, what tells an operator how to switch them on."""
    off = None if settings.sql_profiler_enabled else "C2C_SQL_PROFILER_ENABLED"
    add = partial(config.add_operator_view, off=off)
    add(sql_view.view, name="sql_profiler", path="/sql_profiler", changes_state=sql_view.changes, level="read")
    add = partial(config.add_operator_view, off=None if settings.debug_view_enabled else "C2C_DEBUG_VIEW_ENABLED")
    add(running.view, name="debug_running", path="/debug/running", level="read")
    add(stacks.view, name="debug_stacks", path="/debug/stacks", level="read")
    add(memory.memory_view, name="debug_memory", path="/debug/memory", level="read")
    add(memory.memory_maps_view, name="debug_memory_maps", path="/debug/memory_maps", level="read")
    add(references.view, name="debug_show_refs", path="/debug/show_refs.dot", level="read")
    add(request_views.headers, name="debug_headers", path="/debug/headers", level="read")
    # These do something: they call the application, take its time, or log.
    add(memory.memory_diff_view, name="debug_memory_diff", path="/debug/memory_diff")
    add(memory.memory_diff_view, name="debug_memory_diff_of", path="/debug/memory_diff/*path")
    add(sampling.view, name="debug_profile", path="/debug/profile")
    add(request_views.sleep, name="debug_sleep", path="/debug/sleep")
    add(request_views.error, name="debug_error", path="/debug/error")
    add(request_views.now, name="debug_time", path="/debug/time", public=True)


def _add_profiler_link(config: Configurator, path: str) -> None:
    """Add the address of the filter's page, which is at the root whatever prefix the application's routes have."""
    prefix, config.route_prefix = config.route_prefix, None
    try:
        config.add_route("c2c_profiler", path, static=True)
    finally:
        config.route_prefix = prefix
    link = Link(title="Requests", route="c2c_profiler", help="profiled while it is enabled there")
    config.add_section(Section(name="profiler", title="Python profiler", order=62, links=(link,)))


_PROFILE = (
    Field(name="seconds", label="Seconds", type="number", value="5"),
    Field(name="hz", label="Samples a second", type="number", value="100"),
    Field(name="scope", label="Processes", type="select", value="all", choices=("all", "one")),
    Field(name="format", label="Format", type="select", value="html", choices=("html", "speedscope", "collapsed")),
)
_MEMORY = (
    Field(name="analyze_type", label="Type", value="builtins.dict", required=True),
    Field(name="limit", label="Limit", type="number", value="30"),
)
_PATH = (Field(name="path", label="Path", value="/", required=True),)
_REFERENCES = (
    Field(name="analyze_type", label="Type", required=True),
    Field(name="max_depth", label="Depth", type="number", value="3"),
)
_SWITCH = (
    Field(name="enable", label="On", type="select", value="1", choices=("1", "0")),
    Field(name="ttl", label="Seconds", type="number", value="600"),
    Field(name="mode", label="Mode", type="select", value="analyze", choices=("analyze", "explain")),
)
_RUNNING = Section(
    name="running",
    title="In progress",
    order=15,
    text="requests that are handled now, in every process, stopped ones too",
    live=(Live(title="In progress", kind="running", route="c2c_debug_running", every=5.0),),
)
_DEBUG = Section(
    name="debug",
    title="Debug",
    order=60,
    links=(
        Link(title="Stacks", route="c2c_debug_stacks", help="of every thread of every process"),
        Link(title="Memory", route="c2c_debug_memory", help="of every process; takes up to a minute"),
        Link(title="Memory maps", route="c2c_debug_memory_maps", help="of this process"),
        Link(title="Headers", route="c2c_debug_headers", help="as received"),
        Link(title="Time", route="c2c_debug_time", help="of this server"),
    ),
    forms=(
        Form(
            title="Profile", route="c2c_debug_profile", fields=_PROFILE, help="of all threads, while the service works"
        ),
        Form(title="Memory of a type", route="c2c_debug_memory", fields=_MEMORY),
        Form(title="Memory that a request leaves behind", route="c2c_debug_memory_diff", fields=_PATH),
        Form(title="Graph of references", route="c2c_debug_show_refs", fields=_REFERENCES, help="for Graphviz"),
    ),
    live=(
        Live(title="Stacks", kind="stacks", route="c2c_debug_stacks", help="every thread of every process"),
        Live(title="Memory", kind="memory", route="c2c_debug_memory", help="of every process; takes up to a minute"),
        Live(title="Profile", kind="profile", route="c2c_debug_profile", query={"scope": "all"}),
    ),
)
_SQL = Section(
    name="sql_profiler",
    title="SQL profiler",
    order=61,
    links=(
        Link(title="Report", route="c2c_sql_profiler", query={"report": "1"}, help="statements by total time"),
        Link(title="State", route="c2c_sql_profiler"),
    ),
    forms=(
        Form(
            title="Switch in all processes",
            route="c2c_sql_profiler",
            method="POST",
            fields=_SWITCH,
            submit="Switch",
            help="analyze runs each new SELECT a second time",
        ),
    ),
    live=(Live(title="Statements", kind="sql", route="c2c_sql_profiler", query={"report": "1"}, every=10.0),),
)
