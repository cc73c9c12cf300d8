"""What must always hold, and what must hold in the end: each promise of the product, looked at from outside.

Safety is looked at whenever something happens: a router changes, an entry is written, a process is told to stop.
What must happen in time is looked at once a second, while the world has been healthy for long enough, and at the end.
The tolerances say what nobody can promise: between a question and its answer there is the network, and a machine that
was paused between an answer and its effect acts on what was true before. Whatever comes of that must be put right.
"""
# long: one list of promises, each with its check

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from alertmanager.receiver.act.messages import occasion
from alertmanager.receiver.act.outbox import early_key
from canary import names
from canary.policy.model import Policy
from canary.process.manager import ProcessState
from canary.rollout.entries import (
    Advanced,
    Entry,
    Held,
    Promoted,
    Resumed,
    RollbackDecided,
    RolledBack,
)
from canary.rollout.kinds import Cause, Step
from canary.rollout.state import TERMINAL, UNFINISHED, Rollout, State
from canary.routers.base import Split
from canary.testing.loop import MACHINE, Machine
from canary.testing.process import MemoryProcess
from canary.testing.routers import MemoryRouter
from canary.testing.targets import MemoryTargets
from simulation.fleet import Fleet
from simulation.lead import Lock
from simulation.truth import Truth, wanted_of

# Between the question whether a split is still wanted and its arrival at the router: a slow network both ways, and the
# lead's own question.
_IN_FLIGHT_SECONDS = 6.0
# How old Alertmanager's word may be: `receiver.repeat`, what repetitions may come late, and the clock's rate.
_KEY_SECONDS = 20.0 + 15.0 + 3.0
# How old Prometheus' word may be: five seconds, until the entry has arrived in a slow journal.
_ANSWER_SECONDS = 5.0 + 5.0 + 4.0
_RATE = 0.985
# A hold ends after three looks, five seconds apart, that show nothing wrong.
_CLEAR_SECONDS = 8.0
# From the moment when a receiver hears of a rollback until the routers have it, a hanging journal notwithstanding: a
# quarter of a second of patience, and the way to the router. The look comes once a second.
_LOWERED_SECONDS = 4.0
# From the end of the last fault until everything is as the journal wants it: a leader is found, a look is taken.
_HEALS_SECONDS = 40.0


def _now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Checks:
    """Holds the promises against what happens.

    Attributes:
        broken: what was found, in words; the first ends the world.
        healthy_since: since when no fault is in force; None while one is.
        rough_since: when something last kept a receiver from the routers, or still does (then it is in the future).
        disturbed_at: when something last happened that may make a message arrive twice.
    """

    policy: Policy
    truth: Truth
    routers: Sequence[MemoryRouter]
    process: MemoryProcess
    fleet: Fleet
    targets: MemoryTargets
    lock: Lock
    stop: Callable[[], None]
    broken: list[str] = field(default_factory=list)
    healthy_since: float | None = 0.0
    disturbed_at: float = float("-inf")
    restored: bool = False
    rough_since: float = float("-inf")

    def fail(self, promise: str, what: str) -> None:
        """A promise is broken."""
        self.broken.append(f"{promise}: {what}")
        self.stop()

    # Whenever a router changes.

    def routed(self, router: MemoryRouter, before: Split) -> None:
        """A receiver has changed a router; None of them may have put customers onto a canary on its own."""
        machine, now = MACHINE.get(), router.split
        if machine is None:
            return
        if now.weight_ratio < before.weight_ratio and not _just_woken(machine):
            self._returned(router, before)
        if now.weight_ratio == 0:
            return
        if now.rollout == before.rollout and now.weight_ratio <= before.weight_ratio:
            return
        if _just_woken(machine):
            return
        moved = f"from {before.weight_ratio:.0%} to {now.weight_ratio:.0%} of {now.rollout}"
        what = f"{machine.name} set {router.name} {moved}"
        if (now.rollout, now.weight_ratio) not in self.truth.wanted_within(_IN_FLIGHT_SECONDS):
            self.fail("nobody raises what the journal does not want", what)
        elif not self.lock.lately(machine, _IN_FLIGHT_SECONDS):
            self.fail("at most one receiver raises", f"{what}, and did not lead")
        elif now.rollout in self.truth.acted:
            self.fail("nothing lowered is raised by a restart", what)

    def _returned(self, router: MemoryRouter, before: Split) -> None:
        """A receiver has moved customers to the stable servers: do these run what the customers are to have?"""
        rollout = self.truth.rollouts.get(before.rollout)
        if rollout is None or rollout is not self.truth.newest or self.restored:
            return  # an older journal does not know what was deployed since
        finishing = rollout.state in (State.FINISHING, State.FINISHED)
        version = rollout.canary if finishing else rollout.stable
        if self.fleet.stable != version:
            self.fail(
                "traffic never moves to servers of another version than the one that it is to get",
                f"{router.name} has {router.split.weight_ratio:.0%} of {rollout.id}, which is {rollout.state.value}; "
                f"the stable servers run {self.fleet.stable}",
            )

    def stopping(self) -> None:
        """A receiver tells the canary's process to stop."""
        machine, rollout = MACHINE.get(), self.truth.newest
        if machine is None or rollout is None or _just_woken(machine):
            return
        if rollout.running or (rollout.state in UNFINISHED and not rollout.leaving):
            self.fail(
                "no process of a new canary is stopped by an old rollout", f"{machine.name} stops it in {rollout.id}"
            )

    # Whenever an entry is written.

    def written(self, entry: Entry, before: Rollout | None) -> None:
        """An entry has been appended to what was *before*."""
        machine = MACHINE.get()
        if machine is None or _just_woken(machine):
            return
        self._seen(entry, before)
        match entry:
            case Advanced() | Promoted() if entry.actor == "alertmanager":
                self._confirmed(entry, before, machine)
            case RollbackDecided() if entry.actor == "receiver" and entry.cause != Cause.WATCHDOG:
                self._counted_down(entry)
            case RollbackDecided() if entry.actor in ("alertmanager", "prometheus", "receiver"):
                self._justified(entry, entry.cause, machine, then_seconds=self.policy.receiver.watchdog.then)
            case Held() if entry.actor in ("alertmanager", "prometheus", "receiver"):
                self._justified(entry, entry.cause, machine, then_seconds=0.0)
            case Resumed() if entry.actor == "receiver":
                self._beating(entry, before, machine)
            case Resumed() if entry.actor == "prometheus":
                self._cleared(entry, before)
            case Advanced() | Promoted() if entry.request in self.truth.typed:
                self._evaluated(entry)
            case RolledBack():
                self._complete(entry)
            case _:
                pass

    def _seen(self, entry: Entry, before: Rollout | None) -> None:
        saw = self.truth.typed.get(entry.request)
        if saw is None:
            return
        rollout, _, decision = saw.partition("/")
        lowers = isinstance(entry, Held | RollbackDecided)
        now = ("none", 0) if before is None else (before.id, before.decision)
        same = rollout == now[0] and (lowers or int(decision) == now[1])
        if not same:
            self.fail(
                "a command is about what its author saw",
                f"{entry.label} by {entry.actor}, who saw {saw}, came upon {now[0]}/{now[1]}",
            )

    def _confirmed(self, entry: Entry, before: Rollout | None, machine: Machine) -> None:
        promise = "the weight rises only with both confirmations, and in its time"
        if before is None:
            self.fail(promise, f"{entry.label} without a rollout")
            return
        about, now = (before.id, before.phase), _now()
        heard = self.truth.confirmed.get((machine.name, *about))
        shown = self.truth.complete_at.get(about)
        lasted = now - self.truth.phase_since.get(about, now)
        what = f"phase {before.phase + 1} of {before.id} ended"
        if heard is None or now - heard > _KEY_SECONDS:
            self.fail(promise, f"{what}, and {machine.name} had no word of Alertmanager")
        elif shown is None or now - shown > _ANSWER_SECONDS:
            self.fail(promise, f"{what}, and Prometheus did not show it complete")
        elif lasted < before.duration_seconds * _RATE:
            self.fail(promise, f"{what} after {lasted:.1f}s")

    def _justified(self, entry: Entry, cause: str, machine: Machine, *, then_seconds: float) -> None:
        now = _now()
        if cause == Cause.WATCHDOG:
            silence = now - self.truth.heard.get(machine.name, float("-inf"))
            limit = (self.policy.receiver.watchdog.timeout + then_seconds) * _RATE
            if silence < limit:
                self.fail("only silence is silence", f"{entry.label} after {silence:.1f}s without a heartbeat")
        elif cause == Cause.BY_HAND:
            if not self.truth.lowered_by_hand:
                self.fail("by hand means by hand", f"{entry.rollout} is held, and nobody has touched a router")
        elif cause not in (Cause.MAX_DURATION, Cause.SERVERS):
            about = (cause, entry.rollout)
            if about not in self.truth.fired and about not in self.truth.forged:
                self.fail(
                    "facts of one rollout never decide another",
                    f"{entry.label} of {entry.rollout} for {cause}, which never fired for it",
                )

    def _counted_down(self, entry: Entry) -> None:
        began = self.truth.counting.get(entry.rollout, _now())
        lasted = _now() - began
        if lasted < self.policy.rollback.countdown * _RATE - 0.5:
            self.fail(
                "a countdown leaves people their time", f"{entry.rollout} is rolled back {lasted:.1f}s after it began"
            )

    def _beating(self, entry: Entry, before: Rollout | None, machine: Machine) -> None:
        if before is not None and before.cause == Cause.SERVERS:
            return
        silence = _now() - self.truth.heard.get(machine.name, float("-inf"))
        if silence > self.policy.receiver.watchdog.timeout / _RATE + _IN_FLIGHT_SECONDS:
            self.fail("only a heartbeat ends a hold for its absence", f"{entry.label} after {silence:.1f}s")

    def _cleared(self, entry: Entry, before: Rollout | None) -> None:
        self._evaluated(entry)
        cause = "" if before is None else before.cause
        fired = self.truth.fired.get((cause, entry.rollout), float("-inf"))
        if _now() - fired < _CLEAR_SECONDS and (cause, entry.rollout) not in self.truth.forged:
            self.fail(
                "a hold ends when its cause is gone",
                f"{entry.rollout} goes on, {cause} fired {_now() - fired:.1f}s ago",
            )

    def _evaluated(self, entry: Entry) -> None:
        beat = _now() - self.truth.fired.get((names.WATCHDOG, ""), float("-inf"))
        if beat > _ANSWER_SECONDS:
            self.fail(
                "an empty answer says nothing",
                f"{entry.label} of {entry.rollout}, {beat:.1f}s after the rules were evaluated",
            )

    def _complete(self, entry: Entry) -> None:
        customers = [router.name for router in self.routers if router.split.weight_ratio > 0 and router.claims is None]
        if customers and self.healthy_since is not None and _now() - self.healthy_since > _IN_FLIGHT_SECONDS:
            self.fail(
                "a rollback is complete when it is",
                f"{entry.rollout} is called complete, {', '.join(customers)} not at 0%",
            )

    # While the world is healthy.

    def look(self) -> None:
        """Once a second: does the world follow, and is what is bad gone?"""
        self._lowered()
        if self.healthy_since is None or _now() - self.healthy_since < _HEALS_SECONDS:
            return
        wanted, since = wanted_of(self.truth.newest), _now() - _HEALS_SECONDS
        if len(self.truth.wanted_within(_now() - since)) > 1:
            return
        for router in self.routers:
            has = router.split.weight_ratio
            follows = has == wanted[1] and (has == 0 or router.split.rollout == wanted[0])
            if not follows:
                self.fail(
                    "the routers follow the journal",
                    f"{router.name} has {has:.0%} of {router.split.rollout}, {wanted[1]:.0%} of {wanted[0]} is wanted",
                )

    def _lowered(self) -> None:
        """Nothing that can hang stands between a rollback that was asked for and the routers."""
        now, rollback = _now(), self.policy.rollback
        for (host, rollout), since in list(self.truth.asked.items()):
            if now - since < _LOWERED_SECONDS:
                continue
            del self.truth.asked[host, rollout]
            known = self.truth.rollouts.get(rollout)
            may = rollback.automatic and not rollback.dry_run and not rollback.countdown
            if not may or known is None or self.rough_since > since or rollout in self.truth.overridden:
                continue
            for router in self.routers:
                if (
                    router.split.rollout == rollout
                    and router.split.weight_ratio > 0
                    and known.state is not State.PROMOTED
                ):
                    self.fail(
                        "traffic first",
                        f"{router.name} has customers {now - since:.1f}s after {host} was asked to roll back {rollout}",
                    )

    # In the end.

    def ended(self, rollout: Rollout | None, wrong: str, *, undisturbed: bool) -> None:
        """The last rollout is over: as it should be?"""
        if rollout is None:
            self.fail("a rollout can be started", "none was")
            return
        bad = bool(wrong) and not self.policy.rollback.dry_run
        if bad and rollout.state is State.PROMOTED and rollout.id not in self.truth.overridden:
            self.fail("a harmful canary is gone in time", f"{rollout.id} is {rollout.state.value}")
        elif not wrong and undisturbed and rollout.state is not State.PROMOTED:
            self.fail(
                "a healthy canary in a healthy world is promoted in time",
                f"{rollout.id} is {rollout.state.value}: {rollout.reason}",
            )
        elif rollout.state is State.ROLLED_BACK and self.process.now is not ProcessState.STOPPED:
            self.fail("a rollback stops the canary's process", f"it is {self.process.now.value}")

    def told(self, reports: set[str]) -> None:
        """Everybody has been told of everything, once; every report and line is written."""
        for what in self.untold():
            self.fail("everybody is told of every decision", what)
        for rollout, missing in self.open(reports):
            self.fail("what is open of an older rollout is done", f"{rollout} lacks its {missing}")
        if self.restored:
            # An older journal does not know who has been told, and gives its numbers a second time.
            return
        for at, target, entry, times, _ in self._messages():
            if times > 1 and self.disturbed_at < at:
                self.fail("everybody is told once", f"{target}: {entry.label} #{entry.seq}, told {times} times")
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


def _just_woken(machine: Machine) -> bool:
    """Whether it was paused so lately that it may act on what it learned before."""
    return _now() - machine.resumed_at <= _IN_FLIGHT_SECONDS
