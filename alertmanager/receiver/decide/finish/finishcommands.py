"""What people's commands about a release's end are, once the servers have been asked what they run.

Two mistakes cost customers a version that they had left behind: returning traffic to servers that still run the old
version, and rolling back to servers that no longer do. Neither is left to memory: the servers are asked.
"""

from typing import Protocol

from alertmanager.receiver.act.deployment import to_be_deployed
from alertmanager.receiver.decide.finish.servers import Servers
from canary.errors import RefusedError
from canary.rollout.commands.commands import Command
from canary.rollout.commands.finishing import ChangeRoles, Finish, FinishBack, FinishStep
from canary.rollout.commands.refusals import refusal
from canary.rollout.plan.plans import Plans
from canary.rollout.state import UNFINISHED, Rollout, State
from canary.rollout.store.store import RolloutStore


class ServersAsked(Protocol):
    """Who asks the servers."""

    async def stable(self) -> Servers:
        """What the stable servers run."""
        ...

    async def canary(self) -> Servers:
        """What the canary's servers run."""
        ...


class Asked(Protocol):
    """What a person's request to finish says."""

    @property
    def actor(self) -> str:
        """Who asks."""
        ...

    @property
    def reason(self) -> str:
        """Why."""
        ...

    @property
    def now(self) -> bool:
        """Whether the steps between are left out."""
        ...

    @property
    def back(self) -> bool:
        """Whether everybody returns to the canary's servers."""
        ...

    @property
    def force(self) -> bool:
        """Whether the person answers for what nobody can ask."""
        ...


class FinishCommands:
    """Makes the commands that finish a release, or refuses."""

    def __init__(self, plans: Plans, store: RolloutStore, servers: ServersAsked) -> None:
        self._plans = plans
        self._store = store
        self._servers = servers

    async def command(self, asked: Asked) -> Command:
        """What a request to finish is in the present state.

        Raises:
            RefusedError: the stable servers run another version, or nobody knows what they run.
        """
        rollout = self._store.rollout
        if asked.back:
            return FinishBack(actor=asked.actor, reason=asked.reason)
        if rollout is None or rollout.state not in UNFINISHED:
            raise refusal("finish", rollout)
        if rollout.first_stable_slot is not None:
            return await self._change_roles(rollout, asked)
        if rollout.state is State.FINISHING:
            if not asked.now:
                raise refusal("finish", rollout)
            if not rollout.leaving:
                await self._require_new_version(rollout, asked)
            return FinishStep(actor=asked.actor, reason=asked.reason, last=True)
        unverified = False
        if self._plans.file.process.deploy_stable and not asked.now:
            self._require_a_way_to_tell()
        else:
            unverified = await self._require_new_version(rollout, asked)
        finish = self._plans.file.finish
        return Finish(
            actor=asked.actor,
            reason=asked.reason,
            weights=tuple(round(1 - step, 6) for step in finish.steps),
            step_seconds=finish.duration,
            unverified=unverified,
        )

    async def _change_roles(self, rollout: Rollout, asked: Asked) -> Command:
        """With slots the servers that have everybody become the stable ones; they are the ones to be asked."""
        servers = await self._servers.canary()
        wrong = servers.others(rollout.canary) or servers.silent
        if wrong and not asked.force:
            raise RefusedError(
                f"expected {rollout.canary} on every server of the slot that becomes the stable one; {wrong}",
                place="cannot finish",
                remedy="repair it, or look yourself and add --force",
            )
        return ChangeRoles(actor=asked.actor, reason=asked.reason)

    async def require_finished(self, stable: str) -> None:
        """Refuse to begin the next release while customers are on the canary's servers of the last.

        Args:
            stable: what the next release is told that the stable servers run.

        Raises:
            RefusedError: the last release is promoted, and the stable servers are not known to run *stable*; or they
                are, and it is the version that the customers have left behind.
        """
        rollout = self._store.rollout
        if rollout is None or rollout.state is not State.PROMOTED:
            return
        servers = await self._servers.stable()
        if not servers.running(stable):
            known = servers.others(stable) or f"nobody knows what they run ({servers.unknown})"
            moves_back = rollout.first_stable_slot is None
            deploy = f"deploy {rollout.canary} to the stable servers and " if moves_back else ""
            # Also what only matters once it is finished: else the next attempt would be refused for that.
            other = stable != rollout.canary
            wrong = f"; --stable is {stable}, expected {rollout.canary}" if other else ""
            then = f", then start with --stable {rollout.canary}" if other else ""
            raise RefusedError(
                f"rollout {rollout.id} is promoted and not finished: everybody is on the canary's servers, and would "
                f"move to the stable servers; {known}{wrong}",
                place="cannot start",
                remedy=f"{deploy}run `canary finish`{then}, or look yourself and add --force",
            )
        if stable != rollout.canary:
            raise RefusedError(
                f"rollout {rollout.id} is promoted and not finished: everybody is on {rollout.canary}, and would "
                f"return to {stable}",
                place="cannot start",
                remedy=f"run `canary finish`; if {rollout.canary} is to go, `canary rollback --reason TEXT` says so; "
                "--force starts all the same",
            )

    async def require_old_version(self) -> None:
        """Refuse to roll a promoted release back to servers that no longer run the version before it.

        Raises:
            RefusedError: some stable server is known to run another version or is being given it, or the traffic is
                returning already.
        """
        rollout = self._store.rollout
        if rollout is None or rollout.state not in UNFINISHED:
            return
        servers = await self._servers.stable()
        others = servers.others(rollout.stable)
        if self._plans.file.process.deploy_stable and to_be_deployed(rollout):
            # What they say now is of the moment before the program that runs is done with them.
            others = f"all are being given {rollout.canary}"
        returning = rollout.finishing is not None and rollout.finishing.step >= 0
        if others or (returning and not servers.running(rollout.stable)):
            known = others or f"nobody knows what they run ({servers.unknown})"
            first = "`canary finish --back`; then " if returning else ""
            raise RefusedError(
                f"it would not bring {rollout.stable} back: of the stable servers, {known}",
                place="cannot roll back",
                remedy=f"{first}deploy {rollout.stable} to the stable servers, and roll back after that; or go on with "
                "`canary finish`, and release a corrected version",
            )

    async def _require_new_version(self, rollout: Rollout, asked: Asked) -> bool:
        """Whether only a person says that every stable server runs the new version."""
        servers = await self._servers.stable()
        if others := servers.others(rollout.canary):
            raise RefusedError(
                f"expected {rollout.canary} on every stable server; {others}",
                place="cannot finish",
                remedy=f"deploy {rollout.canary} there, and finish after that",
            )
        if servers.silent:
            raise RefusedError(
                f"expected every stable server to say that it runs {rollout.canary}; {servers.silent}",
                place="cannot finish",
                remedy="repair it, or correct `router.probe`",
            )
        finishing = rollout.finishing
        if servers.unknown and not (asked.force or (finishing is not None and finishing.unverified)):
            raise RefusedError(
                f"nobody knows whether the stable servers run {rollout.canary} ({servers.unknown})",
                place="cannot finish",
                remedy="configure `router.upstreams` and `router.probe`, or look yourself and add --force",
            )
        return bool(servers.unknown)

    def _require_a_way_to_tell(self) -> None:
        """After a deployment somebody must be able to say that it has worked."""
        if not any(router.upstreams.stable for router in self._plans.file.router):
            raise RefusedError(
                "nobody could tell whether `process.deploy_stable` has worked: the policy names no stable servers",
                place="cannot finish",
                remedy="configure `router.upstreams` and `router.probe`",
            )
