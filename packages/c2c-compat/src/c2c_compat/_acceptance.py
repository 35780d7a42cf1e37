"""Checks of acceptance tests under their old names."""

from typing import Any

from c2c_testing.connection import CacheExpected


def check_response(response: Any, expected_status: int = 200, cache_expected: CacheExpected = CacheExpected.NO) -> None:
    """Fail unless the response has the status and says of caching what is expected.

    Raises:
        AssertionError: It has not.
    """
    assert response.status_code == expected_status, f"{response.status_code}: {response.text[:5000]}"
    control = response.headers.get("Cache-Control", "")
    if cache_expected is CacheExpected.NO:
        assert "no-cache" in control or "no-store" in control, f"Cache-Control is {control!r}"
    elif cache_expected is CacheExpected.YES:
        assert "max-age" in control and "no-" not in control, f"Cache-Control is {control!r}"  # noqa: PT018 # one thing
