"""Answers of several processes in one list, where those that did not answer have their place too."""

from typing import Any

from c2c_broadcast.broadcast import Answers


def silent(answers: Answers) -> list[dict[str, Any]]:
    """Return an entry for each process that failed or did not answer.

    ``{"hostname", "pid", "error"}`` or ``{"hostname", "pid", "missing": true, "last_seen"}``; with ``"late": true`` it
    is still at work. Where Redis could not be asked, ``{"missing": true, "error": ...}`` stands for all other
    processes.
    """
    found: list[dict[str, Any]] = [
        {"hostname": one.hostname, "pid": one.pid, "error": f"{one.type}: {one.message}"} for one in answers.failed
    ]
    for late, members in ((False, answers.missing), (True, answers.late)):
        for one in members:
            entry = {"hostname": one.hostname, "pid": one.pid, "missing": True, "last_seen": one.last_seen}
            found.append({**entry, "late": True} if late else entry)
    if not answers.complete and not answers.missing and not answers.late:
        found.append({"missing": True, "error": "Redis is away: the other processes are not known"})
    return found
