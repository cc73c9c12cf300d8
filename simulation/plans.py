"""Plans that change while rollouts run: the file is edited and read again, amended, jumped in, agreed to, scheduled.

These stories are the ordinary ones with people who change plans put on top, drawn from random numbers of their own:
what an ordinary seed tells stays the same, and each of its faults meets a changing policy here as well.

Two promises are checked at every entry that raises: no phase ends by itself that waits for people *by the plan that its
rollout runs by*, whatever the file says by then; and where several must agree, several different ones have.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

from alertmanager.receiver.decide.commands import Request
from alertmanager.receiver.receiver import Receiver
from canary.errors import CanaryError
from canary.policy.gates import ApprovalGate, Gate
from canary.policy.model import Policy
from canary.policy.pinning.digest import digest
from canary.policy.release import Phase
from canary.rollout.entries import Advanced, Entry, Promoted
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout
from canary.testing.loop import MACHINE
from simulation.hosts import Host, Surroundings
from simulation.stories.story import PHASE_SECONDS, STRESS_SECONDS, Event, Story
from simulation.surroundings.operators import Operators

PLAN = "plan"
"""The kind of all these events; the place says what is done."""

PLACES = ("edit", "amend", "jump", "agree", "schedule", "unschedule")

_SHARES = (0.05, 0.2, 0.5, 1.0)
# Several edits of one plan in a world, so that they meet each other.
_MOST = 8
_GATES: tuple[Gate | None, ...] = (None, None, "manual", ApprovalGate(approvers=2))


def with_plans(story: Story) -> Story:
    """The story with people in it who change plans."""
    random = Random(f"plans {story.seed}")
    events = [
        Event(round(random.uniform(1, STRESS_SECONDS), 3), PLAN, random.choice(PLACES), 0, round(random.random(), 3))
        for _ in range(random.randrange(2, _MOST))
    ]
    policy = _edited(story.policy, random)
    return replace(story, policy=policy, events=tuple(sorted([*story.events, *events], key=lambda event: event.at)))


def _edited(policy: Policy, random: Random) -> Policy:
    """Another file: phases are inserted or left out, gates come and go."""
    shares = sorted({0.05, 1.0, *random.sample(_SHARES, random.randrange(1, len(_SHARES)))})
    phases = tuple(Phase(traffic=share, duration=PHASE_SECONDS, gate=random.choice(_GATES)) for share in shares)
    return replace(policy, phases=phases)


class Planners:
    """Those who change plans."""

    def __init__(self, hosts: Sequence[Host], around: Surroundings, operators: Operators, random: Random) -> None:
        self._hosts = hosts
        self._around = around
        self._operators = operators
        self._random = random

    async def do(self, event: Event) -> None:
        """What the event says; a receiver that is not there, or refuses, is an answer too."""
        match event.place:
            case "edit":
                self._around.policy = _edited(self._around.policy, self._random)
                for host in self._hosts:
                    if self._random.random() < event.amount:  # the file was copied to this machine, and reloaded there
                        await self._ask(host, lambda one: one.take_over(self._around.policy))
            case "amend":
                await self._operators.give("amend", "ann")
            case "jump":
                await self._operators.give("advance", "ann", to=1.0)
            case "agree":
                for name in ("ann", "ann", "bob"):
                    await self._operators.give("advance", name)
            case "schedule":
                at = timedelta(seconds=5 + 60 * event.amount)
                request = Request("start", "ann", "scheduled", canary="v8.0", stable="v1.0")
                await self._ask(self._random.choice(self._hosts), lambda one: _schedule(one, request, at))
            case _:
                await self._ask(
                    self._random.choice(self._hosts), lambda one: one.scheduler.cancel(actor="bob", reason="not now")
                )

    @staticmethod
    async def _ask(host: Host, work: Callable[[Receiver], object]) -> None:
        try:
            async with asyncio.timeout(PHASE_SECONDS):
                await host.ask(work)
        except (CanaryError, ConnectionError, TimeoutError):
            return


async def _schedule(receiver: Receiver, request: Request, after: timedelta) -> None:
    await receiver.scheduler.schedule(request, receiver.store.clock.now() + after)


def broken(entry: Entry, before: Rollout | None, file: Policy) -> Iterator[tuple[str, str]]:
    """The promises about plans that an entry breaks: the promise, and what happened."""
    if MACHINE.get() is None or before is None or not isinstance(entry, Advanced | Promoted) or not before.running:
        return
    gate = Plans(file).phase(before).gate
    what = f"phase {before.phase + 1} of {before.id}, by policy {before.digest}; the file is {digest(file)}"
    people = gate == "manual" or isinstance(gate, ApprovalGate)
    if people and entry.actor == "alertmanager":
        yield "no phase ends by itself that waits for people by its own plan", what
    if isinstance(gate, ApprovalGate):
        target = entry.phase if isinstance(entry, Advanced) else len(before.traffic)
        agreed = {name for name, wanted in before.approvals if wanted == target} | {entry.actor}
        if len(agreed) < gate.approvers:
            yield "where several people must agree, several have", f"{what}; {', '.join(sorted(agreed))}"
