"""Attributes of requests that cost a request nothing: ``config.add_request_attribute(name, descriptor)``.

Pyramid makes a class for each request as soon as one property was added by ``add_request_method``: a seventh of what a
small request costs. Here all attributes are on one class, made once and given to ``config.set_request_factory``; so are
those of a library that is included by ``include_light``.
"""

from collections.abc import Callable
from typing import Any

from pyramid.config import PHASE3_CONFIG, Configurator
from pyramid.decorator import reify
from pyramid.interfaces import IRequestFactory
from pyramid.request import Request

_ATTRIBUTES = "c2c_broadcast.request_attributes"
_CLASS = "c2c_broadcast.request_class"
_GIVEN = "c2c_attributes"
# After the application's own factory.
_LATE = PHASE3_CONFIG + 200


def add_request_attribute(config: Configurator, name: str, descriptor: Any) -> None:
    """Put a descriptor (a property, ``reify``, a function, a constant) on the application's requests.

    It goes on one class for all requests: a subclass of the application's own request factory. Where that is a
    function, it is given to Pyramid's ``add_request_method``. The application's own attribute of that name wins.
    A request that was made otherwise (``Request.blank`` for a sub-request) gets them as Pyramid gives its own.
    """
    attributes: dict[str, Any] = config.registry.setdefault(_ATTRIBUTES, {})
    attributes[name] = descriptor if hasattr(descriptor, "__get__") else property(lambda _request: descriptor)
    config.action(None, _set_factory, args=(config.registry,), order=_LATE)


def _set_factory(registry: Any) -> None:
    """Have the application's requests made with the attributes, those that came late too."""
    attributes: dict[str, Any] = registry[_ATTRIBUTES]
    made = registry.get(_CLASS)
    factory = registry.queryUtility(IRequestFactory, default=Request)
    if made is not None and factory is made:
        for name in attributes.keys() - vars(made).keys():
            if not hasattr(made, name):
                setattr(made, name, attributes[name])
        return
    # Not as actions: these are being executed.
    late = Configurator(registry=registry, autocommit=True, introspection=False)
    if isinstance(factory, type):
        own = {name: one for name, one in attributes.items() if not hasattr(factory, name)}
        registry[_CLASS] = type(factory.__name__, (factory,), {**own, "__module__": factory.__module__})
        late.set_request_factory(registry[_CLASS])
        late.add_request_method(_Given(registry), _GIVEN)
        return
    for name in list(attributes):
        late.add_request_method(_getter(attributes.pop(name)), name, property=True)


def _getter(descriptor: Any) -> Callable[[Any], Any]:
    return lambda request: descriptor.__get__(request, type(request))


class _Given:
    """A request method that Pyramid binds to each request, also to those that were not made by our class.

    Binding is all it does: a request of another class is given the attributes then.
    """

    def __init__(self, registry: Any) -> None:
        self._registry = registry

    def __get__(self, request: Any, owner: Any = None) -> Any:
        if not isinstance(request, self._registry[_CLASS]):
            for name, descriptor in self._registry[_ATTRIBUTES].items():
                if not hasattr(type(request), name) and name not in vars(request):
                    request.set_property(_getter(descriptor), name)
        return self


def include_light(config: Configurator, library: str, without: tuple[Any, ...] = ()) -> None:
    """Include a library of others, the properties that it adds to requests as attributes that cost nothing.

    ``without`` are those of its subscribers that the caller has another way for. Where the application has included it
    already, nothing happens; where it does so later, this was it.
    """
    light = type("_Light", (_Light,), {"without": without})(
        registry=config.registry,
        package=config.package,
        root_package=config.root_package,
        autocommit=config.autocommit,
        route_prefix=config.route_prefix,
        introspection=config.introspection,
    )
    light.includepath = config.includepath
    light.include(library)


class _Light(Configurator):
    """What a library is included by: Pyramid hands on a configurator of the same class."""

    without: tuple[Any, ...] = ()

    def add_subscriber(self, subscriber: Any, *args: Any, **kwargs: Any) -> None:
        """Leave out what its includer does otherwise."""
        if subscriber not in self.without:
            super().add_subscriber(subscriber, *args, **kwargs)

    def add_request_method(self, function: Any = None, name: Any = None, **kwargs: Any) -> None:
        """Give the property to our class; methods stay Pyramid's."""
        if function is None or not kwargs.get("reify"):
            super().add_request_method(function, name, **kwargs)
            return
        function = self.maybe_dotted(function)
        name = name or function.__name__

        def once(request: Any) -> Any:
            return function(request)

        once.__name__ = name  # under which reify keeps it
        once.__doc__ = function.__doc__
        add_request_attribute(self, name, reify(once))
