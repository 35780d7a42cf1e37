"""HTML in which every text is escaped, because it is made of elements and not of texts."""

from html import escape


class Html(str):
    """Markup; any other text is escaped before it gets in."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: str | float | bool | None) -> Html:
    """Return an element. An attribute that is False or None is left out, ``class_`` and ``for_`` are as in HTML."""
    words = [name]
    for attribute, value in attributes.items():
        if value is None or value is False:
            continue
        key = attribute.rstrip("_").replace("_", "-")
        words.append(key if value is True else f'{key}="{escape(str(value))}"')
    start = f"<{' '.join(words)}>"
    return Html(start) if name in _VOID else Html(f"{start}{join(*children)}</{name}>")


def join(*children: str | None) -> Html:
    """Return texts, escaped, and markup, one after the other."""
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children if child is not None))


_VOID = frozenset({"input", "link", "meta", "br"})
