"""The JSON renderer of operator views where no other package brings ``fast_json``."""

from typing import Any

from pyramid.config import PHASE3_CONFIG, Configurator
from pyramid.interfaces import IRendererFactory
from pyramid.renderers import JSON

NAME = "fast_json"


def add_fallback_renderer(config: Configurator) -> None:
    """Register ``fast_json`` once all other packages had their say, unless one of them did."""
    registry: Any = config.registry

    def register() -> None:
        if registry.queryUtility(IRendererFactory, name=NAME) is None:
            registry.registerUtility(JSON(indent=2, sort_keys=True, ensure_ascii=False), IRendererFactory, name=NAME)

    config.action(("c2c_broadcast", "fast_json"), register, order=PHASE3_CONFIG + 100)
