"""The rest of a release's life: freezes, notes, silences, pipelines that wait, a second attempt right after a rollback.

These stories are the ordinary ones with such people put on top, drawn from random numbers of their own, as in
`plans`: each fault of a seed then meets a freeze that runs, a silence that is in force, a waiting pipeline.

What is promised of them is looked at from outside: in the journal, at the Alertmanagers, in what a pipeline is told.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

from alertmanager.receiver.receiver import Receiver
from alertmanager.receiver.status import entry_data
from canary import names
from canary.errors import CanaryError, RemoteError
from canary.rollout.commands.freezing import FreezeLifted, Frozen
from canary.rollout.entries import Advanced, Entry, Note, Promoted, RollbackDecided, Started
from canary.rollout.state import TERMINAL, Rollout, State
from canary.testing.clock import VirtualClock
from canary.testing.loop import MACHINE
from canaryctl.cli.rollout.wait import Outcome, Waiting
from simulation.checks.checks import Checks
from simulation.checks.promises import IN_FLIGHT_SECONDS, just_woken, moment
from simulation.hosts import Host
from simulation.stories.story import STRESS_SECONDS, Event, Story
from simulation.surroundings.monitoring import Monitoring
from simulation.surroundings.operators import Operators
from simulation.truth import Truth

LIFE = "life"
"""The kind of all these events; the place says what is done."""

PLACES = (
    "freeze", "lift", "note", "note on an old one", "silence rollback", "silence hold", "silence people",
    "wait promoted", "wait finished", "start again",
)  # fmt: skip

# Enough people that most worlds have each kind of them, few enough that rollouts still get somewhere between.
_MOST = 9
_MORE_VERSIONS = 4
# Longer than a phase, so that a freeze and a silence are met by decisions; much shorter than the stress.
_FREEZE_SECONDS = 50.0
_SILENCE_SECONDS = 20.0
# As long as a rollout may need in a healthy world (`world._FINISH_SECONDS`).
_WAIT_SECONDS = 240.0
# What pages: silenced by name, as whoever is paged does it.
_FOR_PEOPLE = ({"alertname": "CanaryHighErrorRate"}, {"alertname": "CanaryConversionDegraded"})
# A command line gives up on a receiver that does not answer for this long.
_ASKS_SECONDS = 10.0
# Whoever is on duty looks at the page every few seconds, out of step with the receivers' own five.
_DUTY_SECONDS = 7.0

# Somebody who starts a version again right after its rollback, or silences what the next rollout may bring, looks this
# often whether it is time.
_LOOKS = 100
_LOOK_SECONDS = 0.5

# A receiver reads the journal every five seconds at the latest; then an advance that it had begun is on its way.
_HEARS_SECONDS = 5.0 + IN_FLIGHT_SECONDS
# An alert that fires acts at the next look, five seconds later at most, with the network between.
_ACTS_SECONDS = 15.0
# What has not been shown for two evaluations is over.
_OVER_SECONDS = 12.0
# After any fault: a new lead, its first looks, and repetitions of what was lost.
_SETTLES_SECONDS = 40.0


def with_life(story: Story) -> Story:
    """The story with such people in it."""
    random = Random(f"life {story.seed}")
    events = [
        Event(round(random.uniform(1, STRESS_SECONDS), 3), LIFE, random.choice(PLACES), 0, round(random.random(), 3))
        for _ in range(random.randrange(2, _MOST))
    ]
    # What is silenced matters where something is wrong; and what is wrong is soon over.
    more = ((f"v{number}.1", "errors") for number in range(_MORE_VERSIONS))
    versions = tuple(one for pair in zip(story.versions, more, strict=True) for one in pair)
    return replace(story, versions=versions, events=tuple(sorted([*story.events, *events], key=lambda event: event.at)))


class Life:
    """Those people, and what they were promised.

    Attributes:
        frozen: the freeze in force by the journal, with the moment at which it was written.
        waits: how many pipelines wait.
        ended: how the others ended.
    """

    def __init__(
        self,
        truth: Truth,
        checks: Checks,
        hosts: Sequence[Host],
        monitoring: Monitoring,
        operators: Operators,
        random: Random,
    ) -> None:
        self.frozen: tuple[Frozen, float] | None = None
        self.waits = 0
        self.ended: list[Outcome] = []
        self._truth = truth
        self._checks = checks
        self._hosts = hosts
        self._monitoring = monitoring
        self._operators = operators
        self._random = random
        self._firing: dict[tuple[str, str], float] = {}
        self._pipelines: set[asyncio.Task[None]] = set()

    # What they do.

    async def do(self, event: Event) -> None:  # long: what each of them does
        """What the event says; a receiver that is not there, or refuses, is an answer too."""
        host, newest = self._random.choice(self._hosts), self._truth.newest
        key = f"life{event.at}"
        match event.place.partition(" ")[0]:
            case "freeze":
                lasts = timedelta(seconds=5 + _FREEZE_SECONDS * event.amount)
                await self._ask(
                    host,
                    lambda one: one.freezes.begin(one.store.clock.now() + lasts, actor="ann", reason="sale", key=key),
                )
            case "lift":
                await self._ask(host, lambda one: one.freezes.lift(actor="bob", reason="", key=key))
            case "note":
                about = next(iter(self._truth.rollouts), "") if event.place != "note" else ""
                await self._ask(host, lambda one: one.note(about, "slow", actor="ann", category=None, key=key))
            case "silence":
                await self.silence(event.place.partition(" ")[2], _SILENCE_SECONDS * (1 + event.amount))
            case "wait" if newest is not None:
                task = asyncio.get_running_loop().create_task(self._wait(host, event.place.partition(" ")[2]))
                self._pipelines.add(task)
                task.add_done_callback(self._pipelines.discard)
            case "start":
                await self._start_again()

    async def silence(self, what: str, seconds: float) -> None:
        """Before the next rollout begins; or in the middle of one that goes on and on."""
        for _ in range(_LOOKS):
            if self._truth.newest is None or self._truth.newest.state in TERMINAL:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        for matchers in _FOR_PEOPLE if what == "people" else ({names.ACTION: what},):
            self._truth.silenced[what].append((moment(), moment() + seconds))
            for alertmanager in self._monitoring.alertmanagers.values():  # a cluster has them in common
                alertmanager.silence(matchers, seconds)

    async def _start_again(self) -> None:
        """The very version that was rolled back, at once."""
        for _ in range(_LOOKS):
            newest = self._truth.newest
            if newest is not None and newest.state is State.ROLLED_BACK:
                await self._operators.give("start", "bob", canary=newest.canary)
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _wait(self, host: Host, wanted: str) -> None:
        newest = self._truth.newest
        assert newest is not None  # or nobody would wait
        self.waits += 1
        began = moment()
        waiting = Waiting(_Api(host), VirtualClock("pipeline"), wanted, newest.id, lambda _: None)
        try:
            outcome = (await waiting.until(_WAIT_SECONDS)).outcome
        except CanaryError:
            return  # the journal was replaced by one that does not have it
        finally:
            self.waits -= 1
        self.ended.append(outcome)
        self._told(outcome, newest.id, wanted, moment() - began)

    async def lift_all(self) -> None:
        """For ever: whoever is on duty lifts what clocks that were set have made endless."""
        while True:
            await asyncio.sleep(_DUTY_SECONDS)
            for host in self._hosts:
                if host.receiver is not None and host.machine.alive and host.receiver.freezes.active:
                    await self._ask(host, lambda one: one.freezes.lift(actor="duty", reason="it is over"))

    @staticmethod
    async def _ask(host: Host, work: Callable[[Receiver], Any]) -> None:
        with suppress(CanaryError, ConnectionError, TimeoutError):
            async with asyncio.timeout(_ASKS_SECONDS):
                await host.ask(work)

    # What they were promised.

    def written(self, entry: Entry, before: Rollout | None) -> None:
        """An entry has been appended to what was *before*."""
        if isinstance(entry, Frozen | FreezeLifted):
            self.frozen = (entry, moment()) if isinstance(entry, Frozen) else None
            return
        machine = MACHINE.get()
        if machine is None or just_woken(machine) or self._checks.restored:
            return
        if isinstance(entry, Note) and entry.decides:
            self._checks.fail("a note decides nothing", f"#{entry.seq} {entry.reason}")
        raises = isinstance(entry, Advanced | Promoted) and entry.actor == "alertmanager"
        if raises or isinstance(entry, Started):
            self._thawed(entry, machine.name)
        if isinstance(entry, RollbackDecided) and entry.actor in ("alertmanager", "prometheus"):
            self._audible(entry, before)

    def _thawed(self, entry: Entry, machine: str) -> None:
        """Nothing begins or goes on in a freeze, by the clock of the machine that decides."""
        host = next(one for one in self._hosts if one.name == machine)
        if self.frozen is None or moment() - self.frozen[1] < _HEARS_SECONDS:
            return
        if host.clock.now() < self.frozen[0].until:
            early = self.frozen[0].until - host.clock.now()
            self._checks.fail(
                "nothing is started or advanced in a change freeze",
                f"{entry.label} of {entry.rollout} at {machine}, {early} before its end",
            )

    def _audible(self, entry: RollbackDecided, before: Rollout | None) -> None:
        """What a silence names by its action does not act while Alertmanager can be asked."""
        if before is None or not before.running or not self._calm(_ACTS_SECONDS):
            return
        if any(since + IN_FLIGHT_SECONDS < moment() < until for since, until in self._truth.silenced["rollback"]):
            self._checks.fail("a silence that names the action is obeyed", f"{entry.rollout} by {entry.actor}")

    def look(self) -> None:
        """Once a second: does what fires, and is silenced for people only, act all the same?"""
        rollout, policy, now = self._truth.newest, self._checks.policy, moment()
        self._firing = {
            about: self._firing.get(about, at) for about, at in self._truth.fired.items() if now - at < _OVER_SECONDS
        }
        acts = policy.rollback.automatic and not policy.rollback.dry_run and not policy.rollback.countdown
        if rollout is None or rollout.state not in (State.PHASE, State.BAKING) or not acts:
            return
        since = self._firing.get(("CanaryHighErrorRate", rollout.id), now)
        silent = [until for _, until in self._truth.silenced["rollback"]]
        since = max([since, *silent])
        if now - since > _ACTS_SECONDS and self._calm(_SETTLES_SECONDS) and rollout.id not in self._truth.overridden:
            self._checks.fail(
                "a silence for people keeps no rollback away",
                f"errors of {rollout.canary} fire for {now - since:.0f}s, and {rollout.id} is {rollout.state.value}",
            )

    def _calm(self, seconds: float) -> bool:
        since = self._checks.healthy_since
        return since is not None and moment() - since > seconds

    def _told(self, outcome: Outcome, rollout: str, wanted: str, lasted: float) -> None:
        """What a pipeline was told is so."""
        if self._checks.restored:
            return
        truth = self._truth
        known, kinds = truth.rollouts.get(rollout), {one.label for _, one in truth.entries if one.rollout == rollout}
        so = {
            Outcome.REACHED: "promoted" in kinds if wanted == "promoted" else "finished" in kinds,
            Outcome.ROLLED_BACK: "rollback" in kinds or rollout in truth.acted,
            # A hand that was obeyed may not be in the journal yet.
            Outcome.HELD: bool(kinds & {"held", "adopted"} or rollout in truth.held or truth.lowered_by_hand),
            Outcome.REPLACED: truth.newest is not None and truth.newest.id != rollout,
            Outcome.TIMED_OUT: lasted >= _WAIT_SECONDS,
        }
        if not so.get(outcome, True):
            state = known.state.value if known else "unknown"
            self._checks.fail(
                "a pipeline is told what is so",
                f"{outcome.name} after {lasted:.0f}s of waiting for {wanted}; {rollout} is {state}",
            )

    def answered(self) -> None:
        """In the end nobody waits for ever."""
        rollout = self._truth.newest
        if self.waits and rollout is not None and rollout.state in TERMINAL and not self._checks.restored:
            self._checks.fail("a pipeline is told what is so", f"{self.waits} wait, and {rollout.id} is over")


class _Api:
    """The API of one receiver, as a pipeline asks it."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def get(self, path: str, **params: str) -> Any:
        """What it answers."""
        answer: list[Any] = []

        async def asked(receiver: Receiver) -> None:
            if path == "status":
                answer.append(await receiver.status())
            else:
                answer.append([entry_data(entry) for entry in await receiver.history(params["rollout"])])

        try:
            async with asyncio.timeout(_ASKS_SECONDS):
                await self._host.ask(asked)
        except (ConnectionError, TimeoutError) as error:
            raise RemoteError(str(error) or "no answer in time", place="receiver") from error
        return answer[0]
