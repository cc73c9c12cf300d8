"""What is promised of those who watch: testers, the heartbeat, the exporter's policy.

Looked at from outside, like everything here: what the routers let in, what is written into the journal. That a person
ends a phase which only testers see is promised of every manual gate (`plans`).
"""

from dataclasses import dataclass
from random import Random

from canary import names
from canary.rollout.entries import Advanced, Entry, Held, Promoted, RollbackDecided, Started
from canary.rollout.kinds import Cause
from canary.rollout.state import Rollout, State
from simulation.checks.checks import Checks
from simulation.checks.promises import IN_FLIGHT_SECONDS, moment
from simulation.stories.story import SERVICE, Event
from simulation.surroundings.monitoring import INTERVAL_SECONDS, MISMATCH_SECONDS, Monitoring
from simulation.surroundings.operators import Operators
from simulation.truth import Truth

# What silences a heartbeat: everything of the service, as for a deployment, or the alert that seems to be noise.
_SILENCES = ({names.SERVICE: SERVICE}, {"alertname": names.WATCHDOG})
# From a decision until every router has it, in a healthy world: the next look, and the way there; and what is not
# raised right after the journal was away.
_FOLLOWS_SECONDS = 30.0
# Until Prometheus has scraped the old digest, and until it has evaluated for long enough that the alert fires.
_SHOWN_SECONDS = 2 * INTERVAL_SECONDS
_FIRES_SECONDS = MISMATCH_SECONDS + 2 * INTERVAL_SECONDS + IN_FLIGHT_SECONDS


@dataclass
class Watching:
    """Those who watch, and what they were promised.

    Attributes:
        silenced_until: when the heartbeat's silence ends.
        old_since: since when the exporter goes by an old policy; None while it does not.
        let_in_since: since when testers alone are to reach the newest canary; None while they are not.
        tested: phases of 0 % that were looked at while testers were in them.
    """

    truth: Truth
    checks: Checks
    monitoring: Monitoring
    operators: Operators
    random: Random
    silenced_until: float = 0.0
    old_since: float | None = None
    let_in_since: float | None = None
    tested: int = 0

    async def do(self, event: Event) -> None:
        """The event's beginning."""
        match event.place:
            case "heartbeat":
                self.silenced_until = moment() + event.seconds
                for alertmanager in self.monitoring.alertmanagers.values():  # a cluster has them in common
                    alertmanager.silence(_SILENCES[round(event.amount)], event.seconds)
            case "exporter":
                self.old_since, self.monitoring.old_policy = moment(), True
            case _:
                await self._pass()

    def end(self) -> None:
        """The exporter has been reloaded."""
        self.old_since, self.monitoring.old_policy = None, False

    async def _pass(self) -> None:
        """Whoever tested lets it go on; customers are for others to judge."""
        rollout = self.truth.newest
        if rollout is not None and rollout.state is State.PHASE and _only_testers(rollout):
            await self.operators.give("advance", "ann")

    def written(self, entry: Entry) -> None:
        """An entry has been appended."""
        if self.checks.restored:
            return
        silence = isinstance(entry, Held | RollbackDecided) and entry.cause == Cause.WATCHDOG
        # Until it has been calm for as long as the time-out lasts, something else may have kept it away.
        if silence and moment() < self.silenced_until and self._calm(self.checks.policy.receiver.watchdog.timeout):
            self.checks.fail("a heartbeat that is silenced for people is not missing", f"{entry.label} {entry.rollout}")
        if isinstance(entry, Started) and self._old(_SHOWN_SECONDS):
            self.checks.fail("nothing begins that would be judged by another policy", entry.rollout)
        raises = isinstance(entry, Advanced | Promoted) and entry.actor == "alertmanager"
        if raises and self._old(_FIRES_SECONDS):
            self.checks.fail("nothing goes on while it is judged by another policy", f"{entry.label} {entry.rollout}")

    def look(self) -> None:
        """Once a second: in a phase of 0 % testers reach the canary, and nobody else."""
        rollout = self.truth.newest
        if rollout is None or rollout.state is not State.PHASE or not _only_testers(rollout) or rollout.weight:
            self.let_in_since = None  # a hold may have closed it to them too
            return
        if self.let_in_since is None:
            self.let_in_since = moment()
        if moment() - self.let_in_since < _FOLLOWS_SECONDS or not self._calm(_FOLLOWS_SECONDS):
            return
        self.tested += 1
        closed = [router.name for router in self.checks.routers if not router.split.testers_alone]
        if closed:
            self.checks.fail("testers reach a canary at 0 %", f"{', '.join(closed)} let nobody in to {rollout.id}")

    def _old(self, seconds: float) -> bool:
        return self.old_since is not None and moment() - self.old_since > seconds and self._calm(seconds)

    def _calm(self, seconds: float) -> bool:
        since = self.checks.healthy_since
        return since is not None and moment() - since > seconds


def _only_testers(rollout: Rollout) -> bool:
    return rollout.traffic[rollout.phase] == 0
