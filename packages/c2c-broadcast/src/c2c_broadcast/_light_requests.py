"""Requests without what Pyramid does again for each of them, though it is known once the application is made.

Pyramid makes a class a request, as soon as one property was added to requests (``tm`` of pyramid_tm is one), and
notifies its five events, as soon as anything subscribes to any event. That is a third of what a small request costs.
Here properties are on a class made once, and the five events are notified where something subscribes to one of them.
What views, tweens and subscribers see is the same.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from pyramid.config import PHASE3_CONFIG, Configurator
from pyramid.events import BeforeRender, BeforeTraversal, ContextFound, NewRequest, NewResponse
from pyramid.interfaces import IRequestExtensions
from zope.interface import implementedBy

from c2c_broadcast._light_routes import lighten_routes

Attributes = Callable[[type[Any]], Mapping[str, Any]]
"""Gives what a class of requests gets: name -> descriptor."""

_ATTRIBUTES = "c2c_broadcast.request_attributes"
_METHOD = "c2c_is_light"
# After all subscribers, properties and methods of the application are there.
_LAST = PHASE3_CONFIG + 200
_OF_REQUESTS = (NewRequest, BeforeTraversal, ContextFound, NewResponse, BeforeRender)


def add_request_attributes(registry: Any, attributes: Attributes) -> None:
    """Put attributes on the class of an application's requests: properties that cost nothing until they are read."""
    known: list[Attributes] = registry.setdefault(_ATTRIBUTES, [])
    if attributes not in known:
        known.append(attributes)


def lighten_requests(config: Configurator) -> None:
    """Make the application's requests light, when all else is configured; once."""
    config.action(("c2c_broadcast", "light requests"), _lighten, args=(config.registry,), order=_LAST)


def _lighten(registry: Any) -> None:
    _lighten_events(registry)
    lighten_routes(registry)
    extensions = registry.queryUtility(IRequestExtensions)
    attributes = registry.get(_ATTRIBUTES, [])
    if extensions is not None and (extensions.descriptors or attributes) and _METHOD not in extensions.methods:
        method = _Switch(dict(extensions.descriptors), attributes)
        extensions.descriptors.clear()
        # The first: methods after it may be asked for on the class.
        extensions.methods = {_METHOD: method, **extensions.methods}


class _Switch:
    """A request method, because Pyramid binds those to each request first, whoever made it: sub-requests too."""

    def __init__(self, properties: dict[str, Any], attributes: list[Attributes]) -> None:
        made: set[type[Any]] = set()

        def make(cls: Any) -> Any:
            if cls in made:  # of a request that was copied
                return cls
            found: dict[str, Any] = {"__module__": cls.__module__}
            for one in attributes:
                found.update(one(cls))
            found.update(properties)
            # As in pyramid.util: the class has no interfaces of its own.
            interfaces = {
                name: getattr(cls, name) for name in ("__implemented__", "__provides__") if hasattr(cls, name)
            }
            new = type(cls.__name__, (cls,), {**found, **interfaces})
            made.add(new)
            return new

        self._class_of = lru_cache(maxsize=64)(make)

    def __get__(self, request: Any, cls: Any) -> bool:
        request.__class__ = self._class_of(cls)
        return True


def _lighten_events(registry: Any) -> None:
    """Have the events of requests notified only where something listens to one of them; all others as always.

    A listener that is added later makes Pyramid notify all again.
    """
    registry.has_listeners = any(
        len(one.required) == 1 and any(implementedBy(event).isOrExtends(one.required[0]) for event in _OF_REQUESTS)
        for one in (*registry.registeredHandlers(), *registry.registeredSubscriptionAdapters())
    )

    def notify(*events: Any) -> None:
        if registry.has_listeners or not isinstance(events[0], _OF_REQUESTS):
            for _ in registry.subscribers(events, None) or ():
                pass

    registry.notify = notify
