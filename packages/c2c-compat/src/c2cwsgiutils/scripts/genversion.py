"""What wrote ``versions.json``."""

import re

_LINE = re.compile(r"\A(?:# Editable install with no version control )?\(?([A-Za-z0-9._-]+)===?([^ )]+)\)?")


def _get_package_version(text: str) -> tuple[str, str] | tuple[None, None]:
    found = _LINE.fullmatch(text.strip())
    return (found[1], found[2]) if found else (None, None)
