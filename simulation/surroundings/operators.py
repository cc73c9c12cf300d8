"""People: one who rolls out version after version, two who type, and one on duty who clears up in the end."""

import asyncio
from collections.abc import Sequence
from itertools import count
from random import Random

from alertmanager.receiver.decide.commands import Request
from canary.errors import CanaryError, JournalError
from canary.rollout.commands.seen import Seen
from canary.rollout.kinds import Cause
from canary.rollout.state import TERMINAL, UNFINISHED, Rollout, State
from canary.testing.routers import MemoryRouter
from simulation.hosts import Host
from simulation.surroundings.fleet import Fleet
from simulation.truth import Truth

_NAMING = ("start", "adopt")
_BEFORE = "before"
# Who rolls out looks about as often as something can have changed, whoever is on duty out of step with that, and both
# give up on a command as somebody at a terminal does.
_LOOKS_SECONDS = 5.0
_DUTY_SECONDS = 7.0
_WAITS_SECONDS = 30.0

# Somebody who watches a rollback looks this often, for a minute and a half, and thinks for some seconds at most.
_LOOK_SECONDS = 0.3
_LOOKS_FOR_ROLLBACK = 300
_LONGEST_PAUSE_SECONDS = 3.0


class Operators:
    """Everybody who gives commands."""

    def __init__(
        self, truth: Truth, hosts: Sequence[Host], routers: Sequence[MemoryRouter], fleet: Fleet, random: Random
    ) -> None:
        self.told: list[str] = []
        self._truth = truth
        self._hosts = hosts
        self._routers = routers
        self._fleet = fleet
        self._adopting: asyncio.Task[None] | None = None
        self._random = random
        self._numbers = count(1)

    async def roll_out(self, versions: Sequence[str]) -> None:
        """Start each version once the one before is over."""
        for version in versions:
            while not await self._start(version):  # noqa: ASYNC110  # people look from time to time
                await asyncio.sleep(_LOOKS_SECONDS)

    async def _start(self, version: str) -> bool:
        rollout = self._truth.newest
        if rollout is not None and rollout.state in UNFINISHED:
            await self.finish()
            return False
        if rollout is not None and rollout.state not in TERMINAL:
            return False
        await self.give("start", "ann", canary=version)
        return any(one.canary == version for one in self._truth.rollouts.values())

    async def finish(self) -> None:
        """Finish what is promoted; let go on what only a person lets go on."""
        rollout = self._truth.newest
        if rollout is None or rollout.state not in UNFINISHED:
            return
        if rollout.state is State.PROMOTED and _is_for_people(rollout):
            await self._roll_back(rollout)
        elif rollout.state is State.PROMOTED:
            answer = await self.give("finish", "ann")
            known = {one.canary for one in self._truth.rollouts.values()}
            if "of the slot" in answer and self._fleet.canary not in known:
                # What has been placed there since is of a rollout that an older journal does not have.
                self._fleet.place(rollout.canary)
        elif rollout.frozen and not rollout.lifts:
            await self.give("resume", "ann")

    async def type(self, verbs: str, *, late_seconds: float = 0.0) -> None:
        """One or two people see the same picture, and type."""
        host = self._random.choice(self._hosts)
        seen = self._seen(host)
        await asyncio.sleep(late_seconds)
        both = [
            self.give(verb, actor, seen=seen, canary="v9.0")
            for verb, actor in zip(verbs.split(), ("ann", "bob"), strict=False)
        ]
        await asyncio.gather(*both)

    async def give_up_and_start(self, amount: float) -> None:
        """While the next rollback is still under way, end it and begin the next rollout."""
        for _ in range(_LOOKS_FOR_ROLLBACK):
            rollout = self._truth.newest
            if rollout is not None and rollout.state is State.ROLLING_BACK:
                await asyncio.sleep(amount * _LONGEST_PAUSE_SECONDS)
                await self.give("give up", "bob")
                await self.give("start", "bob", canary="v9.0")
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def begin_adopting(self) -> None:
        """Somebody hears that the journal is an older one."""
        if self._adopting is None:
            self._adopting = asyncio.get_running_loop().create_task(self._adopt())

    def stop(self) -> None:
        """Nobody looks after anything any more."""
        if self._adopting is not None:
            self._adopting.cancel()

    async def _adopt(self) -> None:
        """Wherever a receiver is in doubt, say what the routers have in force."""
        while True:
            await asyncio.sleep(_DUTY_SECONDS)
            for host in self._hosts:
                receiver = host.receiver
                if receiver is None or not host.machine.alive or not receiver.reconciler.trust.doubt:
                    continue
                split = max((router.split for router in self._routers), key=lambda one: one.weight_ratio)
                version = self._truth.versions.get(split.rollout, "adopted")
                answer = await self.give("adopt", "duty", canary=version, weight=split.weight_ratio, host=host)
                if "disagree about which slot is stable" in answer:
                    self._record_one_slot()

    def _record_one_slot(self) -> None:
        """What the refusal says is done: all routers get what one has that knows its slot."""
        known = next((router.split for router in self._routers if router.split.stable_slot is not None), None)
        for router in self._routers:
            if known is not None and not router.away:
                router.copy_by_hand(known)

    async def on_duty(self) -> None:
        """Until all is over, let go on what waits for a person."""
        while True:
            await asyncio.sleep(_DUTY_SECONDS)
            rollout = self._truth.newest
            if rollout is not None and rollout.state not in TERMINAL:
                await self._look_after(rollout)

    async def _look_after(self, rollout: Rollout) -> None:
        if rollout.state is State.HOLDING and rollout.rollback_at is None:
            await self._let_go(rollout)
        elif rollout.state is State.FINISHING and rollout.frozen and not rollout.lifts:
            # Of a harmful version people see the errors, and nobody but they take the customers back.
            harmful = bool(self._truth.wrong.get(rollout.canary))
            await (self._roll_back(rollout) if harmful else self.give("resume", "duty"))
        elif _is_for_people(rollout):
            # What is not rolled back never completes its phase while the alert fires: that, too, is for people.
            await self._roll_back(rollout)
        elif rollout.state in (State.PHASE, State.BAKING) and f"gate:{rollout.phase}" in rollout.recorded:
            await self.give("advance", "duty")
            if self._truth.newest is not None and self._truth.newest.approvals:
                await self.give("advance", "night")

    async def _let_go(self, rollout: Rollout) -> None:
        if rollout.cause in (Cause.MANUAL, Cause.MAX_DURATION, Cause.BY_HAND):
            answer = await self.give("resume", "duty")
            if "fires for rollout" in answer:
                await self.give("rollback", "duty")
        elif not rollout.lifts:
            # A rollback alert under `automatic: no`: that is for people to do.
            await self.give("rollback", "duty")

    async def _roll_back(self, rollout: Rollout) -> None:
        answer = await self.give("rollback", "duty")
        if "would not bring" in answer:
            # Its finish has put the new version on the stable servers as well: what the refusal says is done.
            await self.give("finish --back", "duty")
            await self._fleet.deploy(rollout.stable)

    async def give(
        self,
        verb: str,
        actor: str,
        *,
        seen: Seen | None = None,
        canary: str = "",
        weight: float = 0.0,
        to: float | None = None,
        host: Host | None = None,
    ) -> str:  # long: what becomes of one command, by its verb
        """Give one command to any receiver, or to one; gives what it answers, in words."""
        host = host or self._random.choice(self._hosts)
        seen = seen or self._seen(host)
        key = f"key{next(self._numbers)}"
        wanted = "rollback" if verb.startswith("give") else verb.partition(" ")[0]
        newest = self._truth.newest
        if verb == "start" and (newest is None or newest.state in TERMINAL - UNFINISHED):
            self._fleet.place(canary)
        if wanted != "adopt":
            # Whoever adopts has seen a doubt, and no decision.
            self._truth.typed[f"{wanted}:{key}"] = str(seen)
        request = Request(
            verb=wanted,
            actor=actor,
            reason="because",
            canary=canary if verb in _NAMING else "",
            stable=self._other_than(canary) if verb in _NAMING else "",
            weight=weight,
            again=verb == "start",
            back=verb == "finish --back",
            give_up=verb.startswith("give"),
            to=to,
            approver=actor,
            seen=seen,
            key=key,
        )
        try:
            async with asyncio.timeout(_WAITS_SECONDS):
                await host.submit(request)
            outcome = "done"
        except JournalError as error:
            outcome = f"not written: {error}"
        except CanaryError as error:
            outcome = f"refused: {error}"
        except (ConnectionError, TimeoutError) as error:
            outcome = f"no answer: {error}"
        self.told.append(f"{verb} by {actor} at {host.name}, who saw {seen}: {outcome[:150]}")
        return outcome

    def _other_than(self, canary: str) -> str:
        """What the stable servers run; in the middle of a finish, which has deployed there already, what they ran."""
        return self._fleet.stable if self._fleet.stable != canary else _BEFORE

    def _seen(self, host: Host) -> Seen:
        receiver = host.receiver
        return Seen.of(receiver.store.rollout if receiver is not None else self._truth.newest)


def _is_for_people(rollout: Rollout) -> bool:
    """Whether an alert that would have rolled it back was left to them."""
    return bool(rollout.overridden) or any(key.startswith("dry_run:") for key in rollout.recorded)
