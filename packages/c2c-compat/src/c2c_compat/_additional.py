"""What a service adds to the index page: HTML in the lists of ``c2cwsgiutils.index``, read at each display."""

import sys

from pyramid.config import Configurator

from c2c_broadcast import Section

_MODULE = "c2cwsgiutils.index"


class Html:
    """HTML that a service wrote, joined when the page is shown."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __html__(self) -> str:
        # The names of the module may be given other values, which only the module knows.
        value = getattr(sys.modules.get(_MODULE), self._name, None)
        return value if isinstance(value, str) else "\n".join(value or ())

    def __bool__(self) -> bool:
        return bool(self.__html__())


def add_sections(config: Configurator) -> None:
    """Add the sections; one that is empty is not shown."""
    for name, title, order, operators_only in (
        ("additional_title", "Service", 0, False),
        ("additional_auth", "Service: operators", 900, True),
        ("additional_noauth", "Service: more", 901, False),
    ):
        shown = Section(name=name, title=title, order=order, operators_only=operators_only, html=Html(name))
        config.add_section(shown)
