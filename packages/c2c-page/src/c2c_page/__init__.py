"""The index page: what an operator opens in an incident. ``config.include("c2c_page")``.

It knows no feature. What it shows comes as data: sections (``config.add_section`` of the base), what each process tells
(``config.add_page_fact``) and what operators changed by hand (``config.add_page_state``).
"""

from pyramid.config import Configurator

from c2c_page import history, members, overview, page, problems, settings_view
from c2c_page.history import CheckHistory

__all__ = ["CheckHistory", "includeme"]

_KEY = "c2c_page.included"


def includeme(config: Configurator) -> None:
    """Add the page at the base path, and what it asks: overview, members, settings, problems, history.

    Two directives tell it more:

    ``config.add_page_fact(name, function)``: each process answers ``{name: function()}`` (JSON-able, from memory, at
    once) as part of the overview.
    ``config.add_page_state(what, state)``: the entries of a ``c2c_broadcast.SharedState`` are shown as changed by hand.

    Raises:
        ConfigurationError: a setting of the base can't be read
    """
    config.include("c2c_broadcast")
    if _KEY in config.registry:
        return
    config.registry[_KEY] = True
    config.add_directive("add_page_fact", overview.add_page_fact)
    config.add_directive("add_page_state", overview.add_page_state)
    for one in (history.add, problems.add, overview.add, members.add, settings_view.add, page.add):
        one(config)
