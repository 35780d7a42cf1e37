"""The JSON renderers."""

from typing import Any

import ujson
from cornice.renderer import CorniceRenderer
from pyramid.config import Configurator
from pyramid.renderers import JSON


def _ujson(value: Any, **_kw: Any) -> str:
    return ujson.dumps(
        value, indent=2, sort_keys=True, ensure_ascii=False, escape_forward_slashes=False, allow_nan=False
    )


class _Json(JSON):  # type: ignore[misc] # Pyramid has no types
    render_errors = CorniceRenderer.render_errors


def add_renderers(config: Configurator) -> None:
    """Register the four JSON renderers."""
    kw = {"indent": 2, "sort_keys": True, "ensure_ascii": False, "allow_nan": False}
    config.add_renderer("json", _Json(**kw))
    config.add_renderer("fast_json", _Json(_ujson))
    config.add_renderer("cornice_json", CorniceRenderer(**kw))
    config.add_renderer("cornice_fast_json", CorniceRenderer(_ujson))
