"""What writing JSON costs: ``python -m benchmarks rest``.

A GeoJSON of 100 kB with a null in each feature, by each renderer beside its engine as it is, indented and sorted. In
time of the processor. Bars: issue 26.
"""

import json
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import orjson
import ujson
from pyramid.config import Configurator
from pyramid.renderers import JSON, get_renderer
from pyramid.request import Request

from benchmarks._case import Case, measured, timed

_PYRAMID = "Pyramid's json renderer"


def cases() -> Iterator[Case]:
    """Write a GeoJSON of 100 kB as renderers do."""
    chance = random.Random(7)
    value = {"type": "FeatureCollection", "features": [_feature(number, chance) for number in range(105)]}
    config = Configurator()
    config.include("c2c_rest")
    config.commit()
    request = Request.blank("/")
    request.registry = config.registry
    option = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS
    pretty: dict[str, Any] = {"indent": 2, "sort_keys": True, "ensure_ascii": False}

    def by_orjson() -> bytes:
        return orjson.dumps(value, option=option)

    def by_ujson() -> bytes:  # as an answer is, and as orjson gives it
        return ujson.dumps(value, escape_forward_slashes=False, **pretty).encode()

    for name, engine, write, bar in (
        ("json", "orjson, indented and sorted", by_orjson, 1.5),
        ("fast_json", "ujson, indented and sorted, encoded", by_ujson, 1.15),
    ):
        render, pyramids = get_renderer(name, registry=config.registry), JSON()(None)
        calls: dict[str, Callable[[], object]] = {
            f"renderer {name}": partial(render, value, {"request": request, "view": _view}),
            engine: write,
            _PYRAMID: partial(pyramids, value, {}),
        }
        takes = {who: timed(call, 3, scale=1e3, clock=time.thread_time) for who, call in calls.items()}
        size = len(json.dumps(value)) // 1000
        yield measured(f"renderer {name}: a GeoJSON of {size} kB", "ms", takes, 30, most={engine: bar})


def _view(_request: Any) -> None:
    """Stand for the view whose answer is rendered."""


def _feature(number: int, chance: random.Random) -> dict[str, Any]:
    line = [[chance.uniform(5.9, 10.5), chance.uniform(45.8, 47.8)] for _ in range(20)]
    properties = {"name": f"Straße {number}", "length": chance.uniform(10, 9000), "lanes": chance.randrange(1, 4)}
    return {
        "type": "Feature",
        "id": number,
        "geometry": {"type": "LineString", "coordinates": line},
        "properties": {**properties, "surface": None},
    }
