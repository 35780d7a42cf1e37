"""The recorded answers of the endpoint reference are those of today's service."""

import pytest

from documentation.record import PAGE, answers, changes, demo, recorded
from documentation.reference import written


def test_the_page_is_what_is_recorded() -> None:
    """docs/reference/endpoints.md is written from documentation/answers.json."""
    assert PAGE.read_text(encoding="utf-8") == written(recorded()), "mend by: make record-docs"


def test_todays_answers_have_the_recorded_shape() -> None:
    """Each documented endpoint, asked now, answers with the recorded status, type, keys and types."""
    before = recorded()
    with demo() as running:
        now = dict(answers(running))
    assert now.keys() == before.keys(), "mend by: make record-docs"
    wrong = {key: found for key, answer in now.items() if (found := changes(before[key], answer))}
    assert not wrong, f"if that is meant: make record-docs, and tell users.\n{wrong}"


@pytest.mark.parametrize("word", ["/work/", "127.0.0.1:", "/tmp/pytest", "documented-secret"])
def test_nothing_of_the_machine_is_recorded(word: str) -> None:
    """No folder, address or secret of the machine that recorded is shown."""
    assert word not in PAGE.read_text(encoding="utf-8")
