"""What a service adds to the index page: HTML, in these lists, made with these functions or otherwise.

Of what is given to the functions labels, names, values and URLs are escaped; content is HTML already.
"""

from html import escape

from pyramid.config import Configurator

from c2c_broadcast import Section
from c2c_compat._include import including

additional_title: str | None = None
"""HTML above the rest, for everybody."""
additional_auth: list[str] = []
"""HTML for operators."""
additional_noauth: list[str] = []
"""HTML for everybody."""

init = includeme = including("c2c_meta")


def section(title: str, *content: str, sep: bool = True) -> str:
    """Return a section with a heading; ``sep`` draws a line above it."""
    line = "<hr>" if sep else ""
    return f"{line}<section><h3>{escape(title)}</h3>{''.join(content)}</section>"


def paragraph(*content: str, title: str | None = None) -> str:
    """Return a paragraph, with a title in front."""
    front = f"<strong>{escape(title)}</strong> " if title else ""
    return f"<p>{front}{''.join(content)}</p>"


def link(url: str | None, label: str, cssclass: str = "btn", target: str = "_blank") -> str:
    """Return a link; nothing where there is no URL."""
    if url is None:
        return ""
    attributes = _attributes(href=url, target=target, rel="noopener", **{"class": cssclass})
    return f"<a{attributes}>{escape(label)}</a>"


def form(url: str | None, *content: str, method: str = "get", target: str = "_blank") -> str:
    """Return a form; nothing where there is no URL."""
    if url is None:
        return ""
    return f"<form{_attributes(action=url, method=method, target=target)}>{''.join(content)}</form>"


def input_(name: str, label: str | None = None, type_: str | None = None, value: str | float = "") -> str:
    """Return a field of a form with its label, by default made of the name."""
    kind = type_ or ("number" if isinstance(value, int | float) else "text")
    field = f"<input{_attributes(type=kind, name=name, value=str(value))}>"
    if kind == "hidden":
        return field
    return f"<label>{escape(label or name.replace('_', ' ').capitalize())} {field}</label>"


def button(label: str) -> str:
    """Return the button that sends a form."""
    return f'<button type="submit">{escape(label)}</button>'


def _attributes(**values: str) -> str:
    return "".join(f' {name}="{escape(value)}"' for name, value in values.items() if value or name == "value")


class _Html:
    """HTML that a service wrote, read and joined at each display of the page."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __html__(self) -> str:
        value = globals()[self._name]  # a service may have given it another one
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
        shown = Section(name=name, title=title, order=order, operators_only=operators_only, html=_Html(name))
        config.add_section(shown)
