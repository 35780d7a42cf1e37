"""The hooks of pytest that a composition lives with; they are there as long as it is."""

from collections.abc import Generator
from typing import Any

import pytest

from c2c_testing.composition._journal import ContainerDiedError, Journal


class Reporter:
    """Fail the tests that use a composition when one of its containers died, and show what was logged meanwhile."""

    def __init__(self, name: str, journal: Journal, fixture: str | None) -> None:
        self._name = name
        self._journal = journal
        self._fixture = fixture
        self._mark = 0  # the first test shows the start

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Fail a test at once where a container is already dead."""
        self._mark = self._journal.mark()
        self._check(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Fail a test during which a container died, though it did not notice."""
        result = yield
        self._check(item)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Show the log of a failed test's time."""
        report = yield
        if report.failed and self._uses(item):
            report.sections.append((f"Log of {self._name}", "\n".join(self._journal.since(self._mark))))
        return report

    def _uses(self, item: pytest.Item) -> bool:
        return self._fixture is None or self._fixture in getattr(item, "fixturenames", ())

    def _check(self, item: pytest.Item) -> None:
        if self._uses(item):
            try:
                self._journal.check()
            except ContainerDiedError as error:
                pytest.fail(str(error), pytrace=False)
