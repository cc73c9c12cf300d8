"""The deployment of the stable servers that a release's finish begins with, where the policy has a program for it.

Level-triggered as all acting is: while a release is finished, nobody has returned yet, and no deployment is written
down as done, the program runs. One that fails is not run again and again: the finish is frozen, people are notified,
and `canary resume` tries anew.
"""

from alertmanager.receiver.act.effects import Effects
from canary.errors import ProcessError
from canary.rollout.commands.commands import Hold
from canary.rollout.commands.records import CompleteStep
from canary.rollout.commands.seen import Seen
from canary.rollout.kinds import Cause, Step
from canary.rollout.state import Rollout
from canary.rollout.store.store import RolloutStore


def to_be_deployed(rollout: Rollout | None) -> bool:
    """Whether the stable servers are to get the new version now."""
    finishing = rollout.finishing if rollout is not None else None
    if rollout is None or finishing is None or finishing.frozen:
        return False
    return finishing.step < 0 and Step.DEPLOY not in rollout.steps


class Deployment:
    """Deploys to the stable servers, once for each finish that is begun."""

    def __init__(self, store: RolloutStore, effects: Effects) -> None:
        self._store = store
        self._effects = effects

    async def step(self) -> None:
        """Deploy what is to be deployed.

        Raises:
            ProcessError: the program failed; the finish is frozen.
            RefusedError: another receiver leads, or the finish is over; nothing was done.
            JournalError: the journal cannot be read or written.
        """
        rollout = self._store.rollout
        if rollout is None or not self._effects.deploys_stable or not to_be_deployed(rollout):
            return
        if not await self._effects.leads():
            return
        try:
            await self._effects.deploy_stable(rollout, still=to_be_deployed)
        except ProcessError as error:
            hold = Hold(actor="receiver", reason=f"{error}; `canary resume` tries again", cause=Cause.SERVERS)
            await self._store.propose(Seen.of(rollout), hold)
            raise
        done = CompleteStep(rollout=rollout.id, step=Step.DEPLOY, decision=rollout.decision)
        await self._store.propose(None, done)
