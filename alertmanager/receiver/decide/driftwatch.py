"""What the last releases add up to, kept for the metrics: read anew whenever the reports may have changed.

The reports in `state.reports` are the only memory of a release's bands that outlives Prometheus' own, and they are
people's: one that is deleted or corrected counts as it is now. So nothing is kept in the journal. A report has some
hundred kilobytes, and a shop that releases daily has hundreds of them: they are read only when a file has changed, for
their reading takes seconds of computing from everything else. Where several receivers have folders of their own, each
knows the releases whose reports it has written; a folder that they share makes them agree.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from alertmanager.receiver.wakeup import WakeUp
from canary.report.drift import Drift, drifts
from canary.report.past import PastReport, folder_of, past_reports
from canary.rollout.entries import Entry, StepDone
from canary.rollout.kinds import Step
from canary.rollout.plan.plans import Plans
from canary.rollout.store.store import RolloutStore
from canary.timing.clock import Clock

# A report is seen as soon as it is written; this look is for those that people, or another receiver, have changed.
_INTERVAL_SECONDS = 300.0

_Marks = frozenset[tuple[Path, int, int]]
"""By which a change of a folder is told: each report with its size and the time when it was written."""


class DriftWatch:
    """Reads the reports at the start, after each new one, and now and then."""

    def __init__(self, plans: Plans, store: RolloutStore, clock: Clock) -> None:
        self.found: Sequence[Drift] = ()
        self._plans = plans
        self._marks: _Marks = frozenset()
        self._past: Sequence[PastReport] = ()
        self._wake_up = WakeUp(clock)
        store.listen(self._heard)

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            await self.step()
            await self._wake_up.wait(_INTERVAL_SECONDS)

    async def step(self) -> None:
        """Read all of them once, if one has changed since the last time; the policy may have changed in any case."""
        policy = self._plans.file
        folder = folder_of(policy)
        marks = await asyncio.to_thread(_marks_of, folder)
        if marks != self._marks:
            past = await asyncio.to_thread(past_reports, folder, policy.service)
            self._past, self._marks = list(past.reports.values()), marks
        self.found = drifts(policy, self._past)

    def _heard(self, entry: Entry) -> None:
        if isinstance(entry, StepDone) and entry.step is Step.REPORT:
            self._wake_up.set()


def _marks_of(folder: Path) -> _Marks:
    marks = set()
    for path in folder.glob("*.json"):
        try:
            found = path.stat()
        except OSError:  # deleted meanwhile
            continue
        marks.add((path, found.st_size, found.st_mtime_ns))
    return frozenset(marks)
