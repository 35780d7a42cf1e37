"""What ``config.include("c2c_debug")`` does."""

from functools import partial

from pyramid.config import Configurator

from c2c_broadcast import Field, Form, Link, Live, Section, load, masker_of
from c2c_debug import memory, references, request_views, running, sampling, stacks
from c2c_debug._settings import DebugSettings
from c2c_debug.heavy import KEY, Tools
from c2c_debug.sql import view as sql_view


def subscribe(tools: Tools | None = None) -> None:
    """Answer what other processes ask: for daemons, which include nothing. Call ``broadcast.start()`` too."""
    tools = tools or Tools()
    stacks.subscribe()
    memory.subscribe(tools)
    sampling.subscribe(tools)


def includeme(config: Configurator) -> None:
    """Add the tools that settings enable, and views that tell operators how to switch the others on.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    config.include("c2c_broadcast")
    settings = load(DebugSettings, config.get_settings())
    masker = masker_of(config.registry)
    config.registry.setdefault(KEY, Tools(masker, settings.unknown_types == "refuse"))
    if settings.requests_in_flight:
        config.include(running)
    if settings.debug_view_enabled:
        subscribe(config.registry[KEY])
        config.add_section(_RUNNING)
        config.add_section(_DEBUG)
    if settings.sql_profiler_enabled:
        sql_view.install(config.registry, masker)
        config.add_section(_SQL)
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
    if settings.profiler_path is not None:
        # The filter's page is at the root whatever prefix the application's routes have.
        root = config.with_package(config.package)
        root.route_prefix = None
        root.add_route("c2c_profiler", settings.profiler_path, static=True)
        config.add_section(_PROFILER)


_MEMORY = (
    Field(name="analyze_type", label="Type", value="builtins.dict", required=True),
    Field(name="limit", label="Limit", type="number", value="30"),
)
_PATH = (Field(name="path", label="Path", value="/", required=True),)
_REFERENCES = (
    Field(name="analyze_type", label="Type", required=True),
    Field(name="max_depth", label="Depth", type="number", value="3"),
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
        Link(title="Memory maps", route="c2c_debug_memory_maps", help="of this process"),
        Link(title="Headers", route="c2c_debug_headers", help="as received"),
        Link(title="Time", route="c2c_debug_time", help="of this server"),
    ),
    forms=(
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
    live=(Live(title="Statements", kind="sql", route="c2c_sql_profiler", query={"report": "1"}, every=10.0),),
)
_PROFILER = Section(
    name="profiler",
    title="Python profiler",
    order=62,
    links=(Link(title="Requests", route="c2c_profiler", help="profiled while it is enabled there"),),
)
