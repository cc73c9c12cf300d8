"""Whose turn it is: in a large shop, KPIs that roll nothing back are looked at every few seconds.

What one look costs is how late the next one comes (`schedule`), and seven KPIs cost several times as much as the two
that roll back. Harm that rolls back is known at once; what holds or warns is known some seconds later.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor

from exporter.evidence.parameters import KpiParameters
from exporter.evidence.results import KpiEvidence
from exporter.evidence.verdict import Action

_TURN_SECONDS = 5.0
"""A person sees no difference, and no phase is shorter than many times that in a shop of this size."""


@dataclass(slots=True)
class Turns:
    """Which KPIs wait, and what was said of them last."""

    kpis: Sequence[KpiParameters]
    _said: dict[str, KpiEvidence] = field(init=False, default_factory=dict)
    _turns: dict[str, int] = field(init=False, default_factory=dict)
    _changes: int = field(init=False, default=0)
    """How often the weight had changed by then: a new phase is looked at anew."""

    def waiting(self, as_of: float, changes: int, blind: Container[str]) -> dict[str, KpiEvidence]:
        """The KPIs whose turn it is not, with what was said of them last.

        Args:
            as_of: the moment of the look, seconds since the epoch.
            changes: how often the canary's traffic weight has changed.
            blind: KPIs that must not be relied on; it is said at once that they are, and that they are no more.
        """
        if changes != self._changes:
            self._changes = changes
            self._turns.clear()
        return {
            kpi.name: said
            for position, kpi in enumerate(self.kpis)
            if (said := self._said.get(kpi.name)) is not None
            and kpi.action is not Action.ROLLBACK
            and self._turns.get(kpi.name) == self._turn(position, as_of)
            and kpi.name not in blind
            and said.blind_reason is None
        }

    def took(self, as_of: float, said: Mapping[str, KpiEvidence], waiting: Container[str]) -> None:
        """Remember what a look has said of the KPIs that did not wait."""
        self._said = dict(said)
        for position, kpi in enumerate(self.kpis):
            if kpi.name not in waiting:
                self._turns[kpi.name] = self._turn(position, as_of)

    def _turn(self, position: int, as_of: float) -> int:
        """A number that changes every few seconds, for each KPI at another moment, so that looks cost the same."""
        return floor(as_of / _TURN_SECONDS + position / len(self.kpis))
