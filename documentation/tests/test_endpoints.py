"""The recorded answers of the endpoint reference are those of today's service."""

from typing import Any

import pytest

from acceptance_tests import demo as start
from documentation.record import PAGE, answers, changes, recorded
from documentation.reference import written


def test_the_page_is_what_is_recorded() -> None:
    """docs/reference/endpoints.md is written from documentation/answers.json."""
    assert PAGE.read_text(encoding="utf-8") == written(recorded()), "mend by: make record-docs"


def test_todays_answers_have_the_recorded_shape(running: start.Demo) -> None:
    """Each documented endpoint, asked now, answers with the recorded status, type, keys and types."""
    before = recorded()
    wrong = _wrong(before, dict(answers(running)))
    if wrong:
        # On a busy machine a process may be late for an answer of all: what is wrong twice is wrong.
        again = _wrong(before, dict(answers(running)))
        wrong = {key: found for key, found in wrong.items() if key in again}
    assert not wrong, f"if that is meant: make record-docs, and tell users.\n{wrong}"


def _wrong(before: dict[str, Any], now: dict[str, Any]) -> dict[str, list[str]]:
    assert now.keys() == before.keys(), "mend by: make record-docs"
    return {key: found for key, answer in now.items() if (found := changes(before[key], answer))}


@pytest.mark.parametrize(
    "word", ["/acceptance_tests/app", "_acceptance_tests_app", "127.0.0.1:", "/tmp/pytest", "documented-secret"]
)
def test_nothing_of_the_machine_is_recorded(word: str) -> None:
    """No folder, address or secret of the machine that recorded is shown."""
    assert word not in PAGE.read_text(encoding="utf-8")
