"""What c2c-rest costs: a request that succeeds, and JSON. Run: ``python -m benchmarks rest`` for all of it.

All in process, without sockets, in CPU time; rounds of all contenders alternate, the best round of each counts. Bars:
a GeoJSON of 100 kB with a null in each feature costs ``json`` 1.5 of what the indented and sorted orjson takes at most,
``fast_json`` 1.15 of what ujson takes ; each as its engine gives it.
"""

import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import ujson
from cornice import Service
from pyramid.config import Configurator
from pyramid.renderers import JSON
from pyramid.request import Request

from benchmarks._case import Case, alternate, timed
from c2c_rest import client_info, services

_ROUNDS = 40
_REQUESTS = 300
_BARE = "bare"

Call = Callable[[], object]


def main() -> None:
    """Print microseconds a request over the base, then milliseconds a GeoJSON."""
    base = "Pyramid and c2c_broadcast"
    requests = {
        base: _asks(_application("c2c_broadcast"), "/plain"),
        "+ c2c_rest (with cornice)": _asks(_application("c2c_rest"), "/plain"),
        "+ cornice as it is": _asks(_application("c2c_broadcast", "cornice"), "/plain"),
        "+ c2c_rest and its proxy filter": _asks(client_info.Filter(_application("c2c_rest"), {}), "/plain"),
        "the same with five headers": _asks(client_info.Filter(_application("c2c_rest"), {}), "/plain", _PROXIED),
    }
    _table("a request that succeeds", requests, base, _REQUESTS, 1e6, "us")

    views = "three views of a route, http_cache=0"
    of_services = {
        views: _asks(_application("c2c_rest"), "/views"),
        "services.create": _asks(_application("c2c_rest", service=services.create("s", "/s", renderer=_BARE)), "/s"),
        "  asked by a page (Origin)": _asks(
            _application("c2c_rest", service=services.create("o", "/o", renderer=_BARE)),
            "/o",
            {"Origin": "http://page"},
        ),
        "cornice.Service": _asks(_application("c2c_broadcast", "cornice", service=_cornices()), "/c"),
    }
    _table("a service that succeeds", of_services, views, _REQUESTS, 1e6, "us")

    for title, with_nulls in (("no null", False), ("a null in each feature", True)):
        value = _geojson(with_nulls=with_nulls)
        size = len(json.dumps(value)) // 1000
        orjson_bare = "orjson, indented and sorted"
        _table(
            f"a GeoJSON of {size} kB, {title}",
            {orjson_bare: _orjson(value), **_writers(value)},
            orjson_bare,
            3,
            1e3,
            "ms",
        )


def cases() -> Iterator[Case]:
    """Write a GeoJSON of 100 kB as renderers do."""
    value = _geojson(with_nulls=True)
    writers = {
        "orjson alone, indented and sorted": _orjson(value),
        **_writers(value),
        "Pyramid's json renderer": _pyramids(value),
        "Pyramid's, indented and sorted": _pyramids(value, indent=2, sort_keys=True),
    }
    found = alternate({name: timed(write, 3, scale=1e3, clock=time.thread_time) for name, write in writers.items()}, 30)
    others = tuple(one for name, one in found.items() if not name.startswith("renderer"))
    beside_orjson = tuple(one.bar(most=1.5) if one.name.startswith("orjson") else one for one in others)
    beside_ujson = tuple(one.bar(most=1.15) if one.name.startswith("ujson") else one for one in others)
    kilobytes = len(json.dumps(value)) // 1000
    yield Case(f"renderer json (orjson): a GeoJSON of {kilobytes} kB", "ms", found["renderer json"], beside_orjson)
    yield Case(
        f"renderer fast_json (ujson): a GeoJSON of {kilobytes} kB", "ms", found["renderer fast_json"], beside_ujson
    )


def _pyramids(value: Any, **options: Any) -> Call:
    render = JSON(**options)(None)
    return lambda: render(value, {})


_PROXIED = {
    "X-Forwarded-For": "192.0.2.1, 10.0.0.1",
    "X-Forwarded-Host": "www.example.org",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Port": "443",
    "X-Forwarded-Server": "proxy",
}


def _application(*includes: str, service: Service | None = None) -> Any:
    config = Configurator(settings={"handle_exceptions": "false", "c2c.trusted_proxies": "10.0.0.0/8"})
    for include in includes:
        config.include(include)
    # One renderer for all: what is measured is the rest.
    config.add_renderer(_BARE, JSON())
    config.add_route("plain", "/plain")
    config.add_view(_view, route_name="plain", renderer=_BARE)
    config.add_route("views", "/views")
    for method in ("GET", "HEAD", "OPTIONS"):
        config.add_view(_view, route_name="views", renderer=_BARE, request_method=method, http_cache=0)
    if service is not None:
        service.add_view("GET", _view)
        config.add_cornice_service(service)
    return config.make_wsgi_app()


def _cornices() -> Service:
    return Service("c", "/c", cors_origins="*", cors_max_age=86400, renderer=_BARE, http_cache=0)


def _view(_request: Any) -> dict[str, int]:
    return {"a": 1}


def _asks(application: Any, path: str, headers: dict[str, str] | None = None) -> Call:
    environ = Request.blank(path, headers=headers, environ={"REMOTE_ADDR": "10.0.0.9"}).environ

    def ask() -> None:
        for _ in application(dict(environ), _start_response):
            pass

    return ask


def _start_response(status: str, _headers: Any, _exc_info: Any = None) -> None:
    assert status == "200 OK", status


def _geojson(*, with_nulls: bool) -> dict[str, Any]:
    chance = random.Random(7)

    def feature(number: int) -> dict[str, Any]:
        line = [[chance.uniform(5.9, 10.5), chance.uniform(45.8, 47.8)] for _ in range(20)]
        properties = {"name": f"Straße {number}", "length": chance.uniform(10, 9000), "lanes": chance.randrange(1, 4)}
        if with_nulls:
            properties["surface"] = None
        return {
            "type": "Feature",
            "id": number,
            "geometry": {"type": "LineString", "coordinates": line},
            "properties": properties,
        }

    return {"type": "FeatureCollection", "features": [feature(number) for number in range(105)]}


def _orjson(value: Any) -> Call:
    option = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS
    return lambda: orjson.dumps(value, option=option)


def _writers(value: Any) -> dict[str, Call]:
    registry = _application("c2c_rest").registry
    request = Request.blank("/")
    request.registry = registry

    def ours(name: str) -> Call:
        from pyramid.renderers import get_renderer

        render = get_renderer(name, registry=registry)
        return lambda: render(value, {"request": request, "view": _view if name == "json" else None})

    pretty: dict[str, Any] = {"indent": 2, "sort_keys": True, "ensure_ascii": False}
    return {
        "renderer json": ours("json"),
        "renderer fast_json": ours("fast_json"),
        "ujson, indented and sorted": lambda: ujson.dumps(value, escape_forward_slashes=False, **pretty),
        "standard library, compact": lambda: json.dumps(value, ensure_ascii=False),
        "standard library, indented and sorted": lambda: json.dumps(value, **pretty),
    }


def _table(title: str, calls: dict[str, Call], base: str, repeat: int, scale: float, unit: str) -> None:
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(_ROUNDS):
        for name, call in calls.items():
            start = time.thread_time()
            for _ in range(repeat):
                call()
            best[name] = min(best[name], (time.thread_time() - start) / repeat)
    print(title)
    for name, seconds in best.items():
        over = "" if name == base else f"{(seconds - best[base]) * scale:+8.2f} {unit}   x {seconds / best[base]:.2f}"
        print(f"  {name:40} {seconds * scale:8.2f} {unit} {over}")


if __name__ == "__main__":
    main()
