"""Finishing a release: step by step the stable servers, which run the new version by now, get their traffic back.

Both groups run one version, so there is nothing to compare and no verdict. What can go wrong is a *server*: one that
was not deployed to, does not start, or answers with errors. The canary's servers have served everybody through the
bake; they are the proven side. So a step is only taken while all of this holds, asked at that moment:

* every stable server says that it runs the new version, and no router's own check speaks against one;
* Prometheus answers, and shows no alert that asks for a hold (errors and response times by server among them);
* the heartbeat comes, the routers follow the step before, and that step has lasted its time.

A server in trouble after the first step freezes the finish where it is and tells people; customers stay on servers that
are mostly well, and a person chooses between waiting, `canary finish --back` and `--now`. A freeze for a server ends by
itself when the server has been well for several looks. While the stable servers are still being deployed to, a server
that is down or old is what is expected, and is only waited for.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Protocol

from alertmanager.receiver.decide.finish.servers import Servers
from alertmanager.receiver.decide.promotion.waiting import Reason, Waiting, held
from alertmanager.receiver.lead.leader import Leader
from alertmanager.receiver.wakeup import WakeUp
from canary.errors import CanaryError, RefusedError, RouterError
from canary.logs import Log
from canary.rollout.ages import Ages
from canary.rollout.commands.commands import Hold, Resume
from canary.rollout.commands.finishing import FinishStep
from canary.rollout.commands.records import CompleteStep
from canary.rollout.commands.seen import Seen
from canary.rollout.kinds import Cause, Step
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Finishing, Rollout, State
from canary.rollout.store.store import RolloutStore
from canary.timing.clock import Clock
from canary.units import format_ratio

# Decisions wake it; this only bounds how long a wake-up that was missed could go unnoticed.
_IDLE_SECONDS = 60.0

# A server that is found unwell is looked at once more before people are called: one lost packet is no outage.
_TROUBLE_LOOKS = 2

# How old what was asked may be when the step is written: a process that was paused in between asks again.
_FRESH_SECONDS = 30.0

# As for holds: one good look may be a pause between two bad ones.
_CLEAR_LOOKS = 3


class Inspected(Protocol):
    """Who asks the servers."""

    async def stable(self) -> Servers:
        """What the stable servers run."""
        ...

    async def unhealthy(self) -> Mapping[str, str]:
        """By address, what the routers' own checks say against a stable server."""
        ...


class Finisher:
    """Takes the steps of a finish, and freezes it.

    Args:
        objection: what Prometheus, asked now, lets it wait for; None when it lets it go on.
        settled: whether every router has in force what is wanted.
        blind: whether the heartbeat has been away too long.

    Attributes:
        waiting: what the next step waits for; None when nothing is being finished.
        unwell: by address, what speaks against a stable server.
    """

    def __init__(
        self,
        plans: Plans,
        store: RolloutStore,
        leader: Leader,
        clock: Clock,
        inspector: Inspected,
        *,
        objection: Callable[[Rollout], Awaitable[Waiting | None]],
        settled: Callable[[], bool],
        blind: Callable[[], bool],
    ) -> None:
        self.waiting: Waiting | None = None
        self.unwell: dict[str, str] = {}
        self._plans = plans
        self._store = store
        self._leader = leader
        self._clock = clock
        self._ages = Ages(clock)
        self._inspector = inspector
        self._objection = objection
        self._settled = settled
        self._blind = blind
        self._seen: Seen | None = None
        self._bad_looks = self._clear_looks = 0
        self._wake_up = WakeUp(clock)
        self._log = Log("finish")
        store.listen(lambda _: self._wake_up.set())

    async def run(self) -> None:
        """Finish whatever is to be finished, until cancelled."""
        while True:
            await self._wake_up.wait(await self.step())

    async def step(self) -> float:
        """Look once, and do what is due; gives the seconds after which to look again."""
        rollout = self._store.rollout
        if rollout is None or rollout.finishing is None or rollout.state is not State.FINISHING:
            self.waiting, self.unwell, self._seen = None, {}, None
            return _IDLE_SECONDS
        try:
            if await self._leader.may_act():
                return await self._look(rollout, rollout.finishing)
            self.waiting = None  # what was true at its last look as the leader is for another to say by now
        except RefusedError as error:
            self._log.debug("the finish has moved on", error=error)
        except CanaryError as error:
            self._log.error("cannot go on finishing", exception=error)
        return self._plans.file.receiver.poll

    async def _look(self, rollout: Rollout, finishing: Finishing) -> float:
        poll_seconds = self._plans.file.receiver.poll
        if Step.TRAFFIC in rollout.steps:
            self.waiting = Waiting(Reason.PROCESS, "the canary's process to stop")
            return poll_seconds
        asked_at = self._clock.monotonic()
        await self._inspect(rollout, finishing)
        if finishing.step >= 0:
            await self._judge(rollout, finishing)
        if finishing.frozen:
            self.waiting = held(rollout)
            return poll_seconds
        self.waiting, pause_seconds = await self._reason(rollout, finishing)
        if not self.waiting:
            await self._go_on(rollout, finishing, asked_at)
            return 0.0
        return min(pause_seconds, poll_seconds)

    async def _inspect(self, rollout: Rollout, finishing: Finishing) -> None:
        """Ask every stable server, and the routers about it."""
        servers = await self._inspector.stable()
        self.unwell = {
            address: f"runs {one.version}, not {rollout.canary}" if one.version is not None else one.fault
            for address, one in servers.served.items()
            if one.version != rollout.canary and not (one.version is None and finishing.unverified and not one.silent)
        }
        if not servers.served and not finishing.unverified:
            self.unwell[""] = servers.unknown
        try:
            self.unwell |= await self._inspector.unhealthy()
        except RouterError as error:
            self._log.debug("a router tells nothing about its servers", error=error)
        if self._seen != Seen.of(rollout):
            # Looks at one step say nothing about the next.
            self._seen, self._bad_looks, self._clear_looks = Seen.of(rollout), 0, 0
        self._bad_looks = self._bad_looks + 1 if self.unwell else 0
        self._clear_looks = 0 if self.unwell else self._clear_looks + 1

    async def _judge(self, rollout: Rollout, finishing: Finishing) -> None:
        """Freeze for a server in trouble; go on once it has been well for a while."""
        if self.unwell and not finishing.frozen and self._bad_looks >= _TROUBLE_LOOKS:
            back = format_ratio(1 - rollout.weight)
            reason = f"{self._told()}; {back} of the traffic is back on the stable servers, and stays there"
            hold = Hold(actor="receiver", reason=reason, cause=Cause.SERVERS, lifts=True)
            await self._store.propose(Seen.of(rollout), hold)
            raise RefusedError("it is frozen now")
        lifts = finishing.frozen and rollout.lifts and rollout.cause == Cause.SERVERS
        if lifts and self._clear_looks >= _CLEAR_LOOKS:
            resume = Resume(actor="receiver", reason="every stable server is well again")
            await self._store.propose(Seen.of(rollout), resume)
            raise RefusedError("it goes on now")

    def _told(self) -> str:
        return ", ".join(f"{address}: {fault}" if address else fault for address, fault in self.unwell.items())

    async def _reason(self, rollout: Rollout, finishing: Finishing) -> tuple[Waiting | None, float]:
        """Why the next step is not taken yet, and how long that lasts at most."""
        poll_seconds = self._plans.file.receiver.poll
        deploys = bool(self._plans.file.process.deploy_stable)
        if finishing.step < 0 and deploys and Step.DEPLOY not in rollout.steps:
            return Waiting(Reason.SERVERS, "the stable servers to be deployed to"), poll_seconds
        if self.unwell:
            return Waiting(Reason.SERVERS, f"the stable servers to run {rollout.canary}: {self._told()}"), poll_seconds
        remaining = finishing.step_seconds - self._ages.seconds(finishing.began)
        if finishing.step >= 0 and remaining > 0:
            until = self._clock.now() + timedelta(seconds=remaining)
            return Waiting(Reason.TIME, f"the step's time, until {until:%Y-%m-%d %H:%M:%S} UTC"), remaining
        if not self._settled():
            return Waiting(Reason.ROUTERS, "the routers to follow"), poll_seconds
        if self._blind():
            heartbeat = "the heartbeat from Prometheus through Alertmanager"
            return Waiting(Reason.ALERTMANAGER, heartbeat), poll_seconds
        return await self._objection(rollout), poll_seconds

    async def _go_on(self, rollout: Rollout, finishing: Finishing, asked_at: float) -> None:
        await self._store.refresh()
        if self._clock.monotonic() - asked_at > _FRESH_SECONDS:
            raise RefusedError("this receiver was paused; what the servers said is too old")
        if finishing.last:
            done = CompleteStep(rollout=rollout.id, step=Step.TRAFFIC, decision=rollout.decision)
            await self._store.propose(None, done)
            return
        back = 1 - finishing.weights[finishing.step + 1]
        reason = f"every stable server runs {rollout.canary} and is well; they get {format_ratio(back)} of the traffic"
        await self._store.propose(Seen.of(rollout), FinishStep(actor="receiver", reason=reason))
