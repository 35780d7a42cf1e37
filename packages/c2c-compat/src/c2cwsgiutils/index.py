"""What a service adds to the index page: HTML, in these lists, made with these functions or otherwise."""

from c2c_compat._html import button, form, input_, link, paragraph, section

__all__ = [
    "additional_auth",
    "additional_noauth",
    "additional_title",
    "button",
    "form",
    "input_",
    "link",
    "paragraph",
    "section",
]

additional_title: str | None = None
"""HTML above the rest, for everybody."""
additional_auth: list[str] = []
"""HTML for operators."""
additional_noauth: list[str] = []
"""HTML for everybody."""
