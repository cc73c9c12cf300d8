"""The stories: a bad canary is rolled back, a healthy one is promoted, and in an outage of both nobody is moved.

A story only does what an operator does (`canary start`) and what the world does (a fault); everything else must happen
by itself. Afterwards it is judged by what the customers met, not by what the stack says: a demo that ends well although
somebody was still on the canary would be an advertisement.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from canary.errors import RemoteError
from canary.rollout.entries import Advanced, Entry, Promoted, RollbackDecided
from canary.rollout.state import Rollout, State
from canary.timing.clock import Clock
from canary.units import format_ratio
from demo import timeline
from demo.customers import Customers, Memory
from demo.screen import Screen, Side, Situation
from demo.shop.faults import PATTERNS
from demo.shop.flags import EXPRESS
from demo.stack.stack import Stack
from demo.timeline import Moment

# Stable needs some orders before anything can be compared with it.
WARM_UP_SECONDS = 6.0
# Long enough to see that nobody comes to the canary any more.
AFTERMATH_SECONDS = 3.0
# A message may be attempted twice.
MESSAGE_PATIENCE_SECONDS = 20.0
# How often the picture changes: a person can follow it.
LOOK_SECONDS = 0.5
# What "now" means in the picture; shorter, and the payments in it are too few to be a rate.
RECENT_SECONDS = 10.0

# In the strategy's own time: the fault appears seven and a half minutes into the rollout, with 25 % of the customers.
FAULT_AFTER_SECONDS = 450.0

# Requests under way when something was decided may still end as they began, and clocks are read a moment later.
UNDER_WAY = timedelta(seconds=1)

# What a rollout may take beyond its phases before the demo gives up on it.
ROLLBACK_PATIENCE_SECONDS = 90.0
PROMOTION_PATIENCE_SECONDS = 120.0
# How long the outage is watched: a bad canary alone is rolled back within a third of it.
OUTAGE_SECONDS = 45.0


@dataclass(frozen=True)
class Outcome:
    """How a story ended; *problems* is empty when everything happened as it should."""

    moments: Sequence[Moment]
    started_at: datetime
    problems: Sequence[str]
    summary: Sequence[str]
    success: str


class Story:
    """One rollout on the running stack, watched from its start to its end."""

    def __init__(self, stack: Stack, customers: Customers, clock: Clock, screen: Screen) -> None:
        self._stack = stack
        self._customers = customers
        self._clock = clock
        self._screen = screen
        self._fault_at: datetime | None = None
        self._everywhere = False
        self._versions = self._stable, self._canary = stack.stable_version, stack.canary_version

    async def bad(self) -> Outcome:
        """The canary begins to misbehave; everybody must be back on stable soon after."""
        fault_after = FAULT_AFTER_SECONDS / self._stack.settings.speed
        rollout = await self._run(State.ROLLED_BACK, ROLLBACK_PATIENCE_SECONDS, fault_after=fault_after)
        return await self._bad_outcome(rollout)

    async def healthy(self) -> Outcome:
        """Nothing is wrong with the canary; it must reach all customers, phase by phase."""
        rollout = await self._run(State.PROMOTED, PROMOTION_PATIENCE_SECONDS)
        return await self._healthy_outcome(rollout)

    async def provider_outage(self) -> Outcome:
        """The payment provider fails for both versions: the rollout is held where it is, and nobody is moved."""
        self._everywhere = True
        fault_after = FAULT_AFTER_SECONDS / self._stack.settings.speed
        rollout = await self._run(State.ROLLED_BACK, OUTAGE_SECONDS, fault_after=fault_after)
        return await self._outage_outcome(rollout)

    async def _run(self, wanted: State, patience: float, fault_after: float | None = None) -> Rollout:
        """Let customers in, start the rollout, watch it until it ends or patience does, and look at the aftermath."""
        with self._screen.step(
            f"customers come in, {self._customers.rate_per_second:g} a second, all served by {self._stable}"
        ):
            await self._clock.sleep(WARM_UP_SECONDS)
            await self._stack.seen()
        with self._screen.step(f"canary start --canary {self._canary} --stable {self._stable}"):
            await self._stack.canary("start", "--canary", self._canary, "--stable", self._stable)
        deadline = self._clock.monotonic() + patience + self._usual_seconds(fault_after)
        with self._screen.watching():
            rollout = await self._look()
            while rollout.state not in (wanted, State.ROLLED_BACK, State.PROMOTED, State.FAILED):
                if self._clock.monotonic() > deadline:
                    break
                if fault_after is not None and self._fault_at is None and self._age(rollout) >= fault_after:
                    fault = "payments" if self._everywhere else self._stack.settings.fault
                    await self._stack.set_faults(everywhere=self._everywhere, **PATTERNS[fault])
                    self._fault_at = self._clock.now()
                await self._clock.sleep(LOOK_SECONDS)
                rollout = await self._look()
            await self._aftermath(rollout)
        return rollout

    def _usual_seconds(self, fault_after: float | None) -> float:
        phases = sum(phase.duration for phase in self._stack.policy.phases)
        return phases if fault_after is None else fault_after

    def _age(self, rollout: Rollout) -> float:
        return (self._clock.now() - rollout.started_at).total_seconds()

    async def _aftermath(self, rollout: Rollout) -> None:
        """Watch what customers meet afterwards, at least until the team has been notified."""
        began = self._clock.monotonic()
        messages = self._stack.team.messages
        decided_at = rollout.weights[-1].since
        if rollout.state is State.PROMOTED and rollout.ended_at is not None:
            decided_at = rollout.ended_at
        while (passed := self._clock.monotonic() - began) < AFTERMATH_SECONDS or (
            passed < MESSAGE_PATIENCE_SECONDS and not any(message.at >= decided_at for message in messages)
        ):
            await self._clock.sleep(LOOK_SECONDS)
            await self._look()

    async def _look(self) -> Rollout:
        self._stack.check()
        rollout = await self._stack.journal.current()
        assert rollout is not None
        alerts: dict[str, str] = {}
        with suppress(RemoteError):  # a picture without alerts is better than none
            alerts = await self._stack.questions.firing()
        observation = await self._stack.router.read()
        memory = self._customers.memory
        lasted = (rollout.ended_at or self._clock.now()) - rollout.phase_started_at
        self._screen.show(
            Situation(
                state=rollout.state.value,
                phase=rollout.phase,
                traffic=rollout.traffic,
                elapsed_ratio=lasted.total_seconds() / rollout.duration_seconds,
                weight_ratio=observation.weight_ratio,
                sides=[self._side(memory, version) for version in self._versions],
                alerts={name: action for name, action in alerts.items() if name != "CanaryWatchdog"},
                customers=len(memory.users()),
                headline=f"{self._canary} against {self._stable}",
            )
        )
        return rollout

    def _side(self, memory: Memory, version: str) -> Side:
        since = self._clock.now() - timedelta(seconds=RECENT_SECONDS)
        recent = [e for e in memory.since(since) if e.version == version]
        settled = [e for e in recent if e.step == "settlement"]
        requests = sum(e.request for e in recent)
        return Side(version, requests / RECENT_SECONDS, len(settled), sum(e.failed for e in settled))

    async def _bad_outcome(self, rollout: Rollout) -> Outcome:
        entries = await self._stack.journal.entries(rollout.id)
        memory = self._customers.memory
        fault_at = self._fault_at or rollout.started_at
        moments = await timeline.of_rollback(
            entries,
            memory,
            self._stack.team.messages,
            self._stack.questions,
            self._stack.engine,
            fault_at,
            self._stack.settings.fault,
        )
        harmed, met = memory.harmed(self._canary, fault_at), memory.users(self._canary)
        everybody = memory.users()
        rollbacks = _rollbacks(entries)
        express = memory.took(EXPRESS, rollbacks[0].at + UNDER_WAY) if rollbacks else set()
        problems = [
            *self._ended(rollout, State.ROLLED_BACK),
            *self._rollback_problems(rollbacks),
            *await self._weight_problems(0.0),
            *self._late_requests(rollout, self._canary),
            *([f"{len(express)} customers had the express checkout after the rollback"] if express else []),
            *(["the canary's process still runs"] if self._stack.canary_runs() else []),
            *self._team_problems(rollbacks),
            *(f"{m.what}: did not happen" for m in moments if m.at is None),
        ]
        summary = [
            f"{len(harmed)} customers were harmed, of {len(met)} who met {self._canary} and {len(everybody)} in all.",
            *self._express(rollbacks, "rollback"),
            memory.left_unanswered(),
        ]
        success = f"the bad canary was rolled back by itself: {rollout.reason}"
        return Outcome(moments, rollout.started_at, problems, summary, success)

    async def _healthy_outcome(self, rollout: Rollout) -> Outcome:
        entries = await self._stack.journal.entries(rollout.id)
        memory = self._customers.memory
        moments = timeline.of_promotion(entries, self._stack.team.messages)
        advances = [entry.phase for entry in entries if isinstance(entry, Advanced)]
        expected = list(range(1, len(rollout.traffic)))
        promotions = [entry for entry in entries if isinstance(entry, Promoted)]
        problems = [
            *self._ended(rollout, State.PROMOTED),
            *([f"expected the phases {expected}, found {advances}"] if advances != expected else []),
            *(["a healthy canary was rolled back"] if _rollbacks(entries) else []),
            *await self._weight_problems(1.0),
            *self._late_requests(rollout, self._stable),
            *self._team_problems(promotions),
        ]
        summary = [
            f"{len(memory.users(self._canary))} customers met {self._canary}, of {len(memory.users())}.",
            *self._express(promotions, "promotion"),
            memory.left_unanswered(),
        ]
        return Outcome(moments, rollout.started_at, problems, summary, "the healthy canary was promoted by itself")

    async def _outage_outcome(self, rollout: Rollout) -> Outcome:
        entries = await self._stack.journal.entries(rollout.id)
        memory = self._customers.memory
        fault_at = self._fault_at or rollout.started_at
        wanted = rollout.weight
        problems = [
            *self._ended(rollout, State.HOLDING),
            *(["the canary was rolled back for what hit both versions"] if _rollbacks(entries) else []),
            *await self._weight_problems(wanted),
            *([] if self._stack.canary_runs() else ["the canary's process was stopped"]),
        ]
        failed = [len(memory.harmed(version, fault_at)) for version in self._versions]
        summary = [
            f"Payments failed for {failed[0]} customers of {self._stable} and {failed[1]} of {self._canary}.",
            memory.left_unanswered(),
        ]
        success = f"the rollout is held at {format_ratio(wanted)} and not rolled back: {rollout.reason}"
        return Outcome(timeline.of_outage(entries, fault_at), rollout.started_at, problems, summary, success)

    def _express(self, decisions: Sequence[Entry], what: str) -> list[str]:
        """What became of the shop's feature flag, which follows the rollout."""
        memory = self._customers.memory
        line = f"{len(memory.took(EXPRESS))} customers had the express checkout (a feature flag)"
        if not decisions:
            return [f"{line}."]
        since = decisions[0].at + UNDER_WAY
        have, came = len(memory.took(EXPRESS, since)), len(memory.took("checkout", since))
        share = "none of the" if not have else "all" if have == came else f"{have} of the"
        return [f"{line}, {share} {came} at the checkout since the {what}."]

    def _ended(self, rollout: Rollout, wanted: State) -> list[str]:
        if rollout.state is wanted:
            return []
        return [f"expected the rollout to end {wanted.value}, found it {rollout.state.value} ({rollout.reason})"]

    def _rollback_problems(self, rollbacks: Sequence[Entry]) -> list[str]:
        if not rollbacks:
            return ["the journal has no rollback"]
        entry = rollbacks[0]
        if self._fault_at is None or entry.at < self._fault_at:
            return [f"the canary was rolled back before anything was wrong: {entry.reason}"]
        return []

    async def _weight_problems(self, wanted: float) -> list[str]:
        observation = await self._stack.router.read()
        if observation.weight_ratio == wanted:
            return []
        return [f"expected the router to give the canary {format_ratio(wanted)}, found {observation.detail}"]

    def _late_requests(self, rollout: Rollout, version: str) -> list[str]:
        if rollout.ended_at is None:
            return []
        since = rollout.ended_at + UNDER_WAY
        late = [e for e in self._customers.memory.at(version) if e.request and e.at > since]
        return [f"{len(late)} requests reached {version} after the rollout had ended"] if late else []

    def _team_problems(self, decisions: Sequence[Entry]) -> list[str]:
        messages = self._stack.team.messages
        if decisions and any(message.at >= decisions[0].at for message in messages):
            return []
        return ["the team was not notified of how it ended"]


def _rollbacks(entries: Sequence[Entry]) -> list[RollbackDecided]:
    return [entry for entry in entries if isinstance(entry, RollbackDecided)]
