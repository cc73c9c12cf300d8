"""What the last releases add up to, kept for the metrics: read anew whenever the reports may have changed.

The reports in `state.reports` are the only memory of a release's bands that outlives Prometheus' own, and they are
people's: one that is deleted or corrected counts as it is now. So nothing is kept in the journal. Where several
receivers have folders of their own, each knows the releases whose reports it has written; a folder that they share
makes them agree.
"""

from collections.abc import Awaitable, Callable, Sequence

from alertmanager.receiver.wakeup import WakeUp
from canary.report.drift import Drift, drifts
from canary.report.past import PastReport
from canary.rollout.entries import Entry, StepDone
from canary.rollout.kinds import Step
from canary.rollout.plan.plans import Plans
from canary.rollout.store.store import RolloutStore
from canary.timing.clock import Clock

# A report is seen as soon as it is written; this look is for those that people, or another receiver, have changed.
_INTERVAL_SECONDS = 300.0


class DriftWatch:
    """Reads the reports at the start, after each new one, and now and then.

    Args:
        past: gives the reports of a service, oldest first.
    """

    def __init__(
        self, plans: Plans, store: RolloutStore, past: Callable[[str], Awaitable[Sequence[PastReport]]], clock: Clock
    ) -> None:
        self.found: Sequence[Drift] = ()
        self._plans = plans
        self._past = past
        self._wake_up = WakeUp(clock)
        store.listen(self._heard)

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            await self.step()
            await self._wake_up.wait(_INTERVAL_SECONDS)

    async def step(self) -> None:
        """Read all of them once."""
        policy = self._plans.file
        self.found = drifts(policy, await self._past(policy.service))

    def _heard(self, entry: Entry) -> None:
        if isinstance(entry, StepDone) and entry.step is Step.REPORT:
            self._wake_up.set()
