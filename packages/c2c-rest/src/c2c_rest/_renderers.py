"""The JSON renderers: ``json`` and ``cornice_json`` with adapters, ``fast_json`` and ``cornice_fast_json`` without."""

import sys
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from functools import lru_cache
from typing import Any
from uuid import UUID

from cornice.renderer import CorniceRenderer, JSONError
from pyramid.config import Configurator
from pyramid.interfaces import IJSONAdapter
from pyramid.renderers import JSON
from zope.interface import providedBy

from c2c_broadcast import ConfigurationError
from c2c_rest._json import HAS_ORJSON, Default, Style, Writer, orjson_writer, plain, standard_writer, ujson_writer
from c2c_rest._settings import RestSettings

_ADAPTED = "c2c_rest.adapted_renderers"
_UNKNOWN = 'fast_json takes no adapters: renderer="json" does'
_ODD = 'a number that JSON does not have: renderer="json" writes null'
# orjson writes these by itself, without asking for an adapter.
_WRITTEN_BY_ORJSON = (UUID, Enum)


@lru_cache(maxsize=1)
def _enumerations_adapt(_modules: int) -> bool:
    """Tell whether an enumeration has ``__json__``. Asked again when modules were imported: they bring classes."""
    classes: list[type] = [Enum]
    for cls in classes:
        classes.extend(cls.__subclasses__())
    return any(hasattr(cls, "__json__") for cls in classes)


class JsonRenderer(JSON):
    """Pyramid's JSON renderer, written by the fastest engine that says the same."""

    def __init__(self, writer: Writer, standard: Writer) -> None:
        super().__init__(serializer=self._write)
        self._writer = writer
        self._standard = standard
        self._asks_adapters = False

    def __call__(self, info: Any) -> Callable[[Any, dict[str, Any]], str | bytes]:
        """Return the function that renders: bytes for the answer of a view, text for `pyramid.renderers.render`."""
        render = super().__call__(info)

        def rendered(value: Any, system: dict[str, Any]) -> str | bytes:
            body: bytes = render(value, system)
            return body.decode() if system.get("view") is None else body

        return rendered

    def _write(self, value: Any, default: Default) -> bytes:
        if self._asks_adapters or _enumerations_adapt(len(sys.modules)):
            return self._standard(value, default)
        return self._writer(value, default)

    def add_adapter(self, type_or_iface: Any, adapter: Callable[[Any, Any], Any]) -> None:
        """Add Pyramid's adapter. One for UUIDs, enumerations or any object means that orjson is not used."""
        super().add_adapter(type_or_iface, adapter)
        if type_or_iface is object or (
            isinstance(type_or_iface, type) and issubclass(type_or_iface, _WRITTEN_BY_ORJSON)
        ):
            self._asks_adapters = True

    def _make_default(self, request: Any) -> Default:
        adapted: Default = super()._make_default(request)

        def default(value: Any) -> Any:
            if isinstance(value, tuple | float):
                return plain(value)
            if isinstance(value, _WRITTEN_BY_ORJSON) and not hasattr(value, "__json__"):
                adapter = self.components.adapters.lookup((providedBy(value),), IJSONAdapter)
                return plain(value) if adapter is None else adapted(value)
            return adapted(value)

        return default

    def render_errors(self, request: Any) -> JSONError:
        """Return the response for cornice's validation errors: ``{"status": "error", "errors": [...]}``."""
        errors = [
            {key: text.decode("utf-8", "replace") if isinstance(text, bytes) else text for key, text in error.items()}
            for error in request.errors
        ]
        return JSONError(lambda body: self._standard(body, str), {}, errors, request.errors.status)


class FastRenderer(JsonRenderer):
    """The renderer without adapters."""

    def _write(self, value: Any, default: Default) -> bytes:
        return self._writer(value, default)

    def _make_default(self, request: Any) -> Default:  # noqa: ARG002 # Pyramid's signature
        return plain


class CorniceJsonRenderer(JsonRenderer, CorniceRenderer):
    """The same for cornice: content type by negotiation, nothing for 204."""


class CorniceFastRenderer(FastRenderer, CorniceRenderer):
    """The same for cornice, without adapters."""


def add_renderers(config: Configurator, settings: RestSettings) -> None:
    """Register the four renderers.

    Raises:
        ConfigurationError: orjson is asked for and not installed.
    """
    if settings.json_engine == "orjson" and not HAS_ORJSON:
        raise ConfigurationError(
            "C2C_JSON_ENGINE (ini key c2c.json.engine): orjson is not installed: pip install 'c2c-rest[orjson]'"
        )
    style = Style(settings.json_pretty_print, settings.json_sort_keys, settings.json_nan == "error")
    adapting = (orjson_writer(style), standard_writer(style))
    fast_style = replace(style, unknown=_UNKNOWN, odd=_ODD)
    fast = {"ujson": ujson_writer, "orjson": orjson_writer, "stdlib": standard_writer}[settings.json_engine](fast_style)
    renderers = config.registry.setdefault(_ADAPTED, (JsonRenderer(*adapting), CorniceJsonRenderer(*adapting)))
    config.add_renderer("json", renderers[0])
    config.add_renderer("cornice_json", renderers[1])
    config.add_renderer("fast_json", FastRenderer(fast, adapting[1]))
    config.add_renderer("cornice_fast_json", CorniceFastRenderer(fast, adapting[1]))


def add_json_adapter(config: Configurator, type_or_iface: Any, adapter: Callable[[Any, Any], Any]) -> None:
    """Write objects of a type as JSON, with ``json`` and ``cornice_json``: ``adapter(object, request)`` tells how.

    Two for one type are a conflict that stops the start-up.
    """

    def register() -> None:
        for renderer in config.registry[_ADAPTED]:
            renderer.add_adapter(type_or_iface, adapter)

    introspectable = config.introspectable("c2c JSON adapters", type_or_iface, repr(type_or_iface), "JSON adapter")
    introspectable["adapter"] = adapter
    config.action(("c2c JSON adapter", type_or_iface), register, introspectables=(introspectable,))
