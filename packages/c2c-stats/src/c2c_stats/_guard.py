"""The cardinality guard: no metric grows without bound, whatever clients send."""

import logging
from collections import Counter

from c2c_stats._identity import Identity, Kind, overflow, overflow_of_names
from c2c_stats._notices import later

_LOG = logging.getLogger(__name__)

MOST_SERIES = 1000
"""Series of one metric."""
MOST_NAMES = 1000
"""Metrics of one kind."""


class Guard:
    """Admit series up to the limits; what comes then shares one overflow series a metric, said once (by ``say``)."""

    def __init__(self) -> None:
        self._metrics: dict[tuple[Kind, tuple[str, ...]], set[Identity]] = {}
        self._names: Counter[Kind] = Counter()
        self._said: set[object] = set()

    def admit(self, identity: Identity) -> Identity:
        """Return the identity to use: the same one, or an overflow."""
        metric = (identity.kind, identity.name)
        known = self._metrics.get(metric)
        if known is None:
            if self._names[identity.kind] >= MOST_NAMES:
                self._say_names(identity)
                return overflow_of_names(identity.kind)
            self._names[identity.kind] += 1
            known = self._metrics[metric] = set()
        if identity in known:
            return identity
        if len(known) >= MOST_SERIES:
            self._say_series(identity, known)
            return overflow(identity)
        known.add(identity)
        return identity

    def _say_names(self, identity: Identity) -> None:
        if identity.kind not in self._said:
            self._said.add(identity.kind)
            later(
                _LOG,
                "More than %s %ss: %r and all later ones are counted as one; put what varies into a tag",
                MOST_NAMES,
                identity.kind,
                ".".join(identity.name)[:100],
            )

    def _say_series(self, identity: Identity, known: set[Identity]) -> None:
        if identity.name in self._said:
            return
        self._said.add(identity.name)
        values: dict[str, set[str]] = {}
        for one in known:
            for name, value in one.labels:
                values.setdefault(name, set()).add(value)
        name, worst = max(values.items(), key=lambda item: len(item[1]), default=("", set()))
        later(
            _LOG,
            "Metric %s has more than %s series because of its tag %r (%s values): later ones are one overflow series",
            ".".join(identity.name)[:100],
            MOST_SERIES,
            name,
            len(worst),
        )
