"""The ``Server-Timing`` response header (W3C Server Timing, section 3)."""

_NAME = "Server-Timing"
_LONGEST = 100


def described(route: str) -> tuple[str, str]:
    """Return what the header of a route's requests is made from: for ``value``, without and with rendering.

    ``route;desc="name"``, with the name as a quoted-string of RFC 9110, section 5.6.4.
    """
    text = "".join(char if " " <= char <= "~" else "_" for char in route[:_LONGEST])
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    total = f'route;desc="{quoted}", total;dur=%.3f'
    return total, f"{total}, render;dur=%.3f"


def value(forms: tuple[str, str], total: float, render: float | None, statements: float, sql: float) -> str:
    """Return the header's value; ``forms`` is as ``described`` gave it, durations are in seconds."""
    # The operator: an f-string takes a fifth more.
    text = forms[0] % (total * 1000) if render is None else forms[1] % (total * 1000, render * 1000)
    if statements:
        text += f', db;dur={sql * 1000:.3f};desc="{statements:.0f} {"query" if statements == 1 else "queries"}"'
    return text


def put(headers: list[tuple[str, str]], text: str) -> None:
    """Add the header; in place of ours, where the application gives out one response object again and again."""
    for index, header in enumerate(headers):
        if header[0] == _NAME and header[1].startswith("route;desc="):
            headers[index] = (_NAME, text)
            return
    headers.append((_NAME, text))
