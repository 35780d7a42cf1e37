"""What an answer over HTTP must have; what it lacks is an AssertionError that tells how to ask again."""

import enum
import re
from collections.abc import Collection
from typing import Any

import requests

from c2c_testing._curl import curl

_LONGEST_BODY = 5000
JSON = re.compile(r"application/(?:[\w.+-]+\+)?json")
XML = re.compile(r"(?:text|application)/(?:[\w.+-]+\+)?xml")
NO_CONTENT = 204


class CacheExpected(enum.Enum):
    """What ``Cache-Control`` has to say.

    ``NO``: ``no-cache`` or ``no-store``; ``YES``: ``max-age``, not 0, and neither of these; ``DONT_CARE``: anything.
    """

    NO = enum.auto()
    YES = enum.auto()
    DONT_CARE = enum.auto()


def check_cache(response: requests.Response, expected: CacheExpected) -> None:
    """Fail unless ``Cache-Control`` says what is expected."""
    given = response.headers.get("Cache-Control", "")
    parts = (word.strip().lower().partition("=") for word in given.split(","))
    directives = {name: value.strip('"') for name, _, value in parts}
    never = bool({"no-cache", "no-store"} & set(directives))
    if expected is CacheExpected.NO:
        check(never, f"Cache-Control is {given!r}: it lacks no-cache", response)
    elif expected is CacheExpected.YES:
        ages = [directives.get(name, "") for name in ("max-age", "s-maxage")]
        lives = any(age.isdigit() and int(age) for age in ages)
        check(lives and not never, f"Cache-Control is {given!r}: it allows no caching", response)


def check_response(
    response: requests.Response,
    expected_status: int | Collection[int] = 200,
    cache_expected: CacheExpected = CacheExpected.NO,
) -> None:
    """Fail unless the status is (one of) the expected, and ``Cache-Control`` says what is expected."""
    expected = (expected_status,) if isinstance(expected_status, int) else expected_status
    wanted = " or ".join(map(str, expected))
    check(response.status_code in expected, f"Status {response.status_code}, not {wanted}", response)
    check_cache(response, cache_expected)


def has_type(response: requests.Response, kind: re.Pattern[str]) -> bool:
    """Tell whether the content type is of a kind: ``JSON`` or ``XML``."""
    given = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return bool(kind.fullmatch(given))


def text_of(response: requests.Response) -> str | None:
    """Return the text, None without content."""
    return None if response.status_code == NO_CONTENT else response.text


def json_of(response: requests.Response) -> Any:
    """Return what the JSON says, None without content; fail where it is none."""
    if response.status_code == NO_CONTENT:
        return None
    check(has_type(response, JSON), "Content-Type is not that of JSON", response)
    try:
        return response.json()
    except requests.JSONDecodeError as error:
        raise AssertionError(story(f"Not JSON: {error}", response)) from error


def check(good: object, what: str, response: requests.Response) -> None:
    """Fail unless it is good, with the story of the response."""
    if not good:
        raise AssertionError(story(what, response))


def story(what: str, response: requests.Response) -> str:
    """Return what is wrong, the response, and a curl command that asks again."""
    given = response.headers.get("Content-Type", "no Content-Type")
    body = response.text if len(response.content) <= _LONGEST_BODY else response.text[:_LONGEST_BODY] + " ..."
    return f"{what}\n{response.status_code} {response.reason}, {given}\n{body}\n{curl(response.request)}"
