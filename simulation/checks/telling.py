"""What people are notified and given to read, in the end: everything, and once."""

from collections.abc import Iterator

from alertmanager.receiver.act.outbox import early_key
from alertmanager.receiver.act.telling.messages import occasion
from canary.rollout.entries import (
    Entry,
)
from canary.rollout.kinds import Step
from canary.rollout.state import TERMINAL, State
from simulation.checks.promises import Promises


class Telling(Promises):
    """What people are notified and given to read, in the end: everything, and once."""

    def told(self, reports: set[str]) -> None:
        """Everybody has been told of everything, once; every report and line is written."""
        for what in self.untold():
            self.fail("everybody is notified of every decision", what)
        for rollout, missing in self.open(reports):
            self.fail("what is open of an older rollout is done", f"{rollout} lacks its {missing}")
        if self.restored:
            # An older journal does not know who has been told, and gives its numbers a second time.
            return
        for at, target, entry, times, _ in self._messages():
            if times > 1 and self.disturbed_at < at:
                self.fail("everybody is notified once", f"{target}: {entry.label} #{entry.seq}, told {times} times")
        for key, decisions in self._decisions().items():
            if len(decisions) > 1:
                self.fail("a key is about one decision", f"{key} is of {' and of '.join(sorted(decisions))}")

    def untold(self) -> list[str]:
        """Who does not know what, in words."""
        return [
            f"{target}: {entry.label} #{entry.seq} of {entry.rollout}, decided at {at:.0f}s"
            for at, target, entry, times, early in self._messages()
            if not (times or early)
        ]

    def _messages(self) -> Iterator[tuple[float, str, Entry, int, bool]]:
        """Of each decision that people should hear of, and each target: how often it was told, and whether early.

        What is told before the journal has it does not name its position.
        """
        bodies = {target: [body for to, body in self._bodies() if to == target] for target in self.targets.targets}
        for at, entry in self.truth.entries:
            if occasion(entry) not in self.policy.notify.on:
                continue
            key, early = (f"[shop/{entry.rollout}/{last}]" for last in (entry.seq, early_key(entry)))
            for target, told in bodies.items():
                times = sum(body.endswith(key) for body in told)
                yield at, target, entry, times, any(body.endswith(early) for body in told)

    def _decisions(self) -> dict[str, set[str]]:
        """By key: when and by whom what is told under it was decided."""
        found: dict[str, set[str]] = {}
        for _, body in self._bodies():
            decided = body.partition("Decided ")[2].partition(" UTC by ")
            found.setdefault(body[body.rindex("[") :], set()).add(f"{decided[0]} by {decided[2].partition('.')[0]}")
        return found

    def _bodies(self) -> Iterator[tuple[str, str]]:
        return ((target, message.body) for target, message in self.targets.taken)

    def open(self, reports: set[str]) -> list[tuple[str, str]]:
        """What is still to be written about rollouts that are over."""
        # What was going on when somebody adopted something else never ends; what was adopted as over has no report.
        ended = [one for one in self.truth.rollouts.values() if one.state in TERMINAL or not self.restored]
        written = reports | {one.id for one in ended if self.restored}
        rolled_back = (State.ROLLED_BACK, State.FAILED)
        return [
            *((one.id, "report") for one in ended if Step.REPORT not in one.steps or one.id not in written),
            *((one.id, "line of the log") for one in ended if one.state in rolled_back and Step.LOG not in one.steps),
        ]
