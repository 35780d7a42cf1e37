"""Requests without what Pyramid does again for each of them, though it is known once the application is made.

Pyramid makes a class a request, as soon as one property was added to requests (``tm`` of pyramid_tm is one), and looks
for the subscribers of its five events, as soon as anything subscribes to any event. That is a third of what a small
request costs. Here properties are on a class made once, and nobody is looked for where nobody subscribed.
What views, tweens and subscribers see is the same. ``C2C_LIGHT_REQUESTS=false`` leaves all of it to Pyramid.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pyramid.config import PHASE3_CONFIG, Configurator
from pyramid.events import BeforeRender, BeforeTraversal, ContextFound, NewRequest, NewResponse
from pyramid.interfaces import IRequestExtensions
from pyramid.registry import Registry
from pyramid.util import InstancePropertyHelper
from zope.interface import implementedBy

from c2c_broadcast._light_routes import lighten_routes

Attributes = Callable[[type[Any]], Mapping[str, Any]]
"""Gives what a class of requests gets: name -> descriptor."""

_CLASSES = "c2c_broadcast.request_classes"
_OFF = "c2c_broadcast.light_requests_off"
# On each request, and on each class made here.
_MARK = "c2c_is_light"
# Applications have one or two; who makes one a request is not followed.
_MOST_CLASSES = 32
# After all properties and methods of the application are there.
_LAST = PHASE3_CONFIG + 200
_EVENTS = {
    event: (implementedBy(event),) for event in (NewRequest, BeforeTraversal, ContextFound, NewResponse, BeforeRender)
}


def add_request_attributes(registry: Any, attributes: Attributes) -> None:
    """Put attributes on the class of an application's requests: properties that cost nothing until they are read.

    The application's own properties of the same name win. Where light requests are switched off, Pyramid makes the
    class, for each request.
    """
    classes = _classes_of(registry)
    if attributes not in classes.attributes:
        classes.attributes.append(attributes)
        classes.forget()


def lighten_requests(config: Configurator, *, enabled: bool) -> None:
    """Make the application's requests light, when all else is configured; or leave them as they are."""
    if enabled:
        config.action(("c2c_broadcast", "light requests"), _lighten, args=(config.registry,), order=_LAST)
    else:
        config.registry[_OFF] = True


def _lighten(registry: Any) -> None:
    _lighten_events(registry)
    lighten_routes(registry)
    extensions = registry.queryUtility(IRequestExtensions)
    if extensions is not None and extensions.descriptors:
        classes = _classes_of(registry)
        classes.properties.update(extensions.descriptors)
        classes.forget()
        extensions.descriptors.clear()


class _Classes:
    """A request method, because Pyramid binds those to each request, whoever made it: sub-requests too."""

    def __init__(self, *, keep: bool) -> None:
        self.attributes: list[Attributes] = []
        self.properties: dict[str, Any] = {}
        self._keep = keep
        self._known: dict[type[Any], type[Any]] = {}

    def forget(self) -> None:
        """Make classes anew: what they have has changed."""
        self._known.clear()

    def __get__(self, request: Any, cls: type[Any]) -> bool:
        known = self._known.get(cls)
        if known is None:
            self._make(request, cls)
        else:
            request.__class__ = known
        return True

    def _make(self, request: Any, cls: type[Any]) -> None:
        found: dict[str, Any] = {_MARK: True}
        for attributes in self.attributes:
            found.update(attributes(cls))
        InstancePropertyHelper.apply_properties(request, found | self.properties)
        # A class on top of one made here is of one request, to which a property was added, and goes with it.
        if self._keep and not hasattr(cls, _MARK) and len(self._known) < _MOST_CLASSES:
            new = type(request)
            # A copy of a request is of its class already.
            self._known[cls] = self._known[new] = new


def _classes_of(registry: Any) -> _Classes:
    classes: _Classes | None = registry.get(_CLASSES)
    if classes is None:
        classes = registry[_CLASSES] = _Classes(keep=not registry.get(_OFF))
        # At once and not as an action: we may be in one, and it is there but once.
        Configurator(registry=registry, autocommit=True, introspection=False).add_request_method(classes, _MARK)
    return classes


def _lighten_events(registry: Any) -> None:
    """Have the events of requests pass by where nobody subscribed; all others are notified as always."""
    if type(registry) is not Registry or "notify" in vars(registry):
        return  # it notifies in a way of its own, or in ours already
    # By this Pyramid decides whether to make its events at all. Whoever subscribes later makes it true again.
    registry.has_listeners = any(registry.adapters.subscriptions(kind, None) for kind in _EVENTS.values())

    def notify(*events: Any) -> None:
        kind = _EVENTS.get(type(events[0])) if len(events) == 1 else None
        # zope.interface keeps what it found until somebody subscribes: this costs a tenth of a notification.
        if kind is None or registry.adapters.subscriptions(kind, None):
            for _ in registry.subscribers(events, None) or ():
                pass

    registry.notify = notify
