"""Attributes of requests that cost a request nothing: ``config.add_request_attribute(name, descriptor)``.

Pyramid makes a class for each request as soon as one property was added by ``add_request_method``: a seventh of what a
small request costs. Here all attributes are on one class, made once and given to ``config.set_request_factory``.
"""

from typing import Any

from pyramid.config import PHASE3_CONFIG, Configurator
from pyramid.interfaces import IRequestFactory
from pyramid.request import Request

_ATTRIBUTES = "c2c_broadcast.request_attributes"
_CLASS = "c2c_broadcast.request_class"
# After the application's own factory.
_LATE = PHASE3_CONFIG + 200


def add_request_attribute(config: Configurator, name: str, descriptor: Any) -> None:
    """Put a descriptor (a property, ``reify``, a function, a constant) on the application's requests.

    It goes on one class for all requests: a subclass of the application's own request factory. Where that is a
    function, it is given to Pyramid's ``add_request_method``. The application's own attribute of that name wins.
    """
    attributes: dict[str, Any] = config.registry.setdefault(_ATTRIBUTES, {})
    attributes[name] = descriptor
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
        return
    for name in list(attributes):
        _add_method(late, name, attributes.pop(name))


def _add_method(config: Configurator, name: str, descriptor: Any) -> None:
    if hasattr(descriptor, "__get__") and not hasattr(descriptor, "__call__"):  # noqa: B004 # a descriptor that is no function
        config.add_request_method(lambda request: descriptor.__get__(request, type(request)), name, property=True)
    elif callable(descriptor):
        config.add_request_method(descriptor, name)
    else:
        config.add_request_method(lambda _request: descriptor, name, property=True)
