"""What a service adds to the index page: HTML, in these lists, made with these functions or otherwise."""

from c2c_compat._html import button, form, input_, link, paragraph, section
from c2c_compat._include import including

__all__ = [
    "additional_auth",
    "additional_noauth",
    "additional_title",
    "button",
    "form",
    "includeme",
    "init",
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

init = includeme = including("c2c_meta")
