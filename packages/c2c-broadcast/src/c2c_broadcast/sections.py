"""Sections: what a package adds to the index page, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from c2c_broadcast._errors import ConfigurationError

if TYPE_CHECKING:
    from pyramid.config import Configurator

_KEY = "c2c_broadcast.sections"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link to a route. ``query`` are its parameters, ``help`` says what one finds there."""

    title: str
    route: str
    query: Mapping[str, str] | None = None
    help: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a form: ``type`` is that of HTML's input (or ``select`` with ``choices``)."""

    name: str
    label: str
    type: Literal["text", "number", "search", "hidden", "checkbox", "select"] = "text"
    value: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form sent to a route. One that changes something is a POST."""

    title: str
    route: str
    fields: tuple[Field, ...] = ()
    method: Literal["GET", "POST"] = "GET"
    submit: str = "Show"
    help: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What the page asks of a route and shows in place, ``every`` so many seconds; 0 is when somebody asks for it.

    ``kind`` is how it is shown: ``table`` suits any JSON, other kinds are those that the page knows by name. Without
    JavaScript it is a link, as the section's others.
    """

    title: str
    route: str
    kind: str = "table"
    query: Mapping[str, str] | None = None
    every: float = 0
    help: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the index page. The lowest ``order`` comes first; ``operators_only`` hides it from others.

    ``html`` is for what an application writes itself: an object with ``__html__()``, asked at each display (as
    ``markupsafe.Markup`` is); what is false is not shown.
    """

    name: str
    title: str
    order: int = 100
    operators_only: bool = True
    text: str = ""
    links: tuple[Link, ...] = ()
    forms: tuple[Form, ...] = ()
    live: tuple[Live, ...] = ()
    html: Any = None


def add_section(config: "Configurator", section: Section) -> None:
    """Add a section to the index page. Two of one name are a conflict that stops the start-up.

    Raises:
        ConfigurationError: It is no ``Section``.
    """
    if not isinstance(section, Section):
        raise ConfigurationError(f"config.add_section takes a c2c_broadcast.Section, not {section!r:.100}")
    found: dict[str, Section] = config.registry.setdefault(_KEY, {})
    config.action(("c2c section", section.name), found.update, args=({section.name: section},))


def sections(registry: Any) -> tuple[Section, ...]:
    """Return the application's sections in the order of the page."""
    found: dict[str, Section] = registry.get(_KEY, {})
    return tuple(sorted(found.values(), key=lambda section: (section.order, section.title)))
