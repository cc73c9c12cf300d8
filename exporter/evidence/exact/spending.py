"""How much of alpha may be spent by when: a function of the plan, never of what was seen.

Alpha is spent over the *planned* rollout, in proportion to what the plan lets be known by then (Lan and DeMets 1983).
The planned clock runs while a phase lasts as long as it was meant to, and stands while a rollout waits: held, at a
gate, until proven, at a weight lowered by hand. A part `rho` is kept for such waiting, of which half is spent each time
the rollout has waited as long as all of it was to last; so a rollout that waits for days is still judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from exporter.evidence.grid import Floats

_KEPT_FOR_WAITING = 0.05
"""Kept for a hold that nobody planned: a twentieth of alpha is what the planned time can spare."""
_KEPT_WHERE_WAITING_IS_PLANNED = 0.2
"""With a gate or `when_proven`, waiting is part of the plan, and more is worth keeping for it."""
_SOONER, _SOONER_RATIO = 0.3, 0.7
"""The power of time by which success ratios spend seven tenths: a plan of 40 minutes has spent 44 % of these after 2.6,
where by the root of the time it would be 25 %. By information alone a checkout that is broken for 20 payments a minute
is found after 4.4 minutes instead of 3.1, and small harm somewhat more often."""
_WHERE_WEIGHTS_FOLLOW_PROOF = 0.8
"""`when_proven` lets the weight follow what the judge saw, which raises the rate of false alarms by up to a quarter."""


@dataclass(frozen=True)
class PlannedPhase:
    """A phase as it was planned: the canary's traffic weight, and for how long."""

    weight: float
    seconds: float

    @property
    def compares(self) -> bool:
        """Whether both versions get customers."""
        return 0.0 < self.weight < 1.0


@dataclass(frozen=True)
class Plan:
    """The rollout as it was planned when it started.

    Attributes:
        phases: in their order.
        when_proven: some phase ends once the KPIs are proven well, so that weights follow the judge.
        gated: some phase ends when people, or a check of the shop, say so.
    """

    phases: tuple[PlannedPhase, ...]
    when_proven: bool = False
    gated: bool = False

    @property
    def seconds(self) -> float:
        """How long the versions were to be compared."""
        return float(self._ends[-1])

    @property
    def kept_for_waiting(self) -> float:
        """The part of alpha that is spent only while the rollout waits."""
        return _KEPT_WHERE_WAITING_IS_PLANNED if self.when_proven or self.gated else _KEPT_FOR_WAITING

    def alpha(self, alpha: float) -> float:
        """What of *alpha* the exact half may spend under this plan."""
        return alpha * _WHERE_WEIGHTS_FOLLOW_PROOF if self.when_proven else alpha

    def spent(self, planned: Floats, waited: Floats, *, by_information: bool) -> Floats:
        """The part of alpha that may be spent once *planned* seconds of the plan and *waited* more have passed.

        With *by_information* in proportion to the variance of the difference that the plan brings by then: for
        conversions and means, whose harm is small against chance. Success ratios spend most of it sooner, by a power of
        the time: a broken checkout fails half of the payments, and should be found in its first minutes.
        """
        if self.seconds <= 0.0:
            return np.zeros(len(planned))
        known = np.interp(planned, self._ends, self._information) / self._information[-1]
        if not by_information:
            sooner = np.minimum(planned / self.seconds, 1.0) ** _SOONER
            known = _SOONER_RATIO * sooner + (1.0 - _SOONER_RATIO) * known
        kept = self.kept_for_waiting
        spent: Floats = (1.0 - kept) * known + kept * (1.0 - 2.0 ** (-waited / self.seconds))
        return spent

    def clock(self, weights: Sequence[tuple[float, float]], moments: Floats) -> tuple[Floats, Floats]:
        """Seconds of the plan that are over at each moment, and seconds for which the rollout has waited by then.

        *weights* is the history of `(time, the canary's share from then on)`. A phase that is left before its time
        counts as over; what was left out of it is not spent twice.
        """
        over, waiting = np.zeros(len(moments)), np.zeros(len(moments))
        phase, ran, waited = -1, 0.0, 0.0
        for (since, weight), until in zip(weights, [*(time for time, _ in weights[1:]), np.inf], strict=True):
            later = [number for number in range(phase + 1, len(self.phases)) if self.phases[number].weight == weight]
            if later:
                phase, ran = later[0], 0.0
            left, before = 0.0, float(self._ends[max(phase, 0)]) + ran
            if phase >= 0 and weight == self.phases[phase].weight and self.phases[phase].compares:
                left = self.phases[phase].seconds - ran
            reached = moments >= since
            lasted = np.minimum(moments[reached], until) - since
            planned = np.minimum(lasted, left)
            over[reached], waiting[reached] = before + planned, waited + (lasted - planned)
            ran, waited = ran + min(until - since, left), waited + max(0.0, until - since - left)
        return over, waiting

    @cached_property
    def _ends(self) -> Floats:
        """When each phase is over on the planned clock, and 0 before the first."""
        lasting = [phase.seconds if phase.compares else 0.0 for phase in self.phases]
        return np.concatenate([[0.0], np.cumsum(lasting)])

    @cached_property
    def _information(self) -> Floats:
        """The plan's integral of w(1-w) at those moments."""
        known = [
            phase.seconds * phase.weight * (1.0 - phase.weight) if phase.compares else 0.0 for phase in self.phases
        ]
        return np.concatenate([[0.0], np.cumsum(known)])
