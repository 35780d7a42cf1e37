"""The processes that serve this application, on all hosts: ``GET {base}/members``."""

from dataclasses import asdict
from typing import Any

from pyramid.config import Configurator

from c2c_broadcast import Link, Live, Section, broadcast
from c2c_meta._process import facts

CHANNEL = "c2c_meta_members"
_TIMEOUT = 3.0


def add(config: Configurator) -> None:
    """Add the view, and what each process answers to it."""
    broadcast.subscribe(CHANNEL, facts)
    config.add_operator_view(_view, name="members", path="/members")
    config.add_section(
        Section(
            name="members",
            title="Members",
            order=80,
            links=(Link(title="Processes", route="c2c_members", help="who serves, on which host, since when"),),
            live=(Live(title="Processes", kind="members", route="c2c_members", every=10.0),),
        )
    )


def _view(_request: Any) -> dict[str, Any]:
    answers = broadcast.ask(CHANNEL, timeout=_TIMEOUT)
    return {
        "members": sorted(answers.answers, key=lambda answer: (answer["hostname"], answer["pid"])),
        "failed": [asdict(failure) for failure in answers.failed],
        "missing": [asdict(missing) for missing in answers.missing],
        "complete": answers.complete,
    }
