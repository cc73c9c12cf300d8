"""Which policy is in use where, and what has changed in the file: nobody may have to guess by what a release is judged.

The file is compared with the newest one that the journal knows, whenever this receiver reads it or takes the lead, and
each difference is written down in words. What exporter and rules go by is asked of Prometheus, because that is where
the rules are; the status shows the last answer, and does not wait for a new one.
"""

import asyncio
import contextlib

from alertmanager.receiver.lead.leader import Leader
from alertmanager.receiver.wakeup import WakeUp
from canary.errors import CanaryError, RefusedError, RemoteError
from canary.logs import Log
from canary.policy.pinning.changes import changes
from canary.policy.pinning.digest import Data, deciding, digest
from canary.prometheus import Differing, PoliciesInUse, Prometheus, policies_in_use
from canary.rollout.commands.records import RecordPolicy
from canary.rollout.entries import Entry, Started
from canary.rollout.plan.planentries import Amended, PolicyChanged
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout
from canary.rollout.store.store import RolloutStore
from canary.timing.clock import Clock

# Who reads a digest off the status has just reloaded something, and looks again within the minute.
_INTERVAL_SECONDS = 15.0

# What an entry is called that is about no rollout.
_NO_ROLLOUT = "policy"


class PolicyWatch:
    """Looks at the policies in use, and writes down what has changed in the file.

    Attributes:
        found: what Prometheus last said; None while it has not.
        error: why it did not.
    """

    def __init__(self, plans: Plans, store: RolloutStore, leader: Leader, prometheus: Prometheus, clock: Clock) -> None:
        self.found: PoliciesInUse | None = None
        self.error = ""
        self._plans = plans
        self._store = store
        self._leader = leader
        self._prometheus = prometheus
        self._wake_up = WakeUp(clock)
        self._recording = asyncio.Lock()
        self._known: Data | None = None
        self._log = Log("policy")
        store.listen(self._notice)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.step()
            await self._wake_up.wait(_INTERVAL_SECONDS)

    async def step(self) -> None:
        """Look once."""
        await self.record()
        with contextlib.suppress(RemoteError):
            await self.ask()

    async def ask(self) -> PoliciesInUse:
        """By which policies exporter, receiver and rules go now.

        Raises:
            RemoteError: Prometheus does not say.
        """
        try:
            self.found = await policies_in_use(self._prometheus, self._plans.file.service)
        except RemoteError as error:
            self.found, self.error = None, str(error)
            raise
        self.error = ""
        return self.found

    def differing(self, rollout: Rollout | None) -> tuple[Differing, ...]:
        """Every part that, by the last look, goes by another policy than this receiver."""
        return () if self.found is None else tuple(self.found.differing(self._plans.digest(rollout)))

    async def require_one(self) -> None:
        """Refuse to begin a rollout that exporter or rules would judge by another policy than this receiver's.

        What publishes no policy, and a Prometheus that does not answer, refuse nothing: others look at whether they
        are there at all.

        Raises:
            RefusedError: one of them goes by another policy.
        """
        with contextlib.suppress(RemoteError):
            found = await self.ask()
            # Prometheus may not have scraped this receiver since its last reload; what it goes by is known here.
            others = [one for one in found.differing(digest(self._plans.file)) if one.component != "receiver"]
            if others:
                remedies = dict.fromkeys(one.remedy for one in others)
                raise RefusedError(
                    "; ".join(map(str, others)),
                    place="cannot start",
                    remedy=f"{', '.join(remedies)}; --force starts all the same",
                )

    async def record(self) -> None:
        """Write down what differs between the file and the newest policy that the journal knows."""
        # A reload and the look that is always made may come together, and would both write it.
        async with self._recording:
            await self._record()

    async def _record(self) -> None:
        now = deciding(self._plans.file)
        if self._known is None or not await self._leader.may_act():
            return
        differences = changes(self._known, now)
        if not differences:
            return
        rollout = self._store.rollout
        running = rollout is not None and rollout.running
        kept = " (the running rollout keeps its own)" if running else ""
        record = RecordPolicy(
            rollout=rollout.id if rollout is not None and running else _NO_ROLLOUT,
            reason=f"the policy file has changed{kept}: {'; '.join(map(str, differences))}",
            digest=digest(self._plans.file),
            policy=now,
        )
        try:
            await self._store.propose(None, record)
        except CanaryError as error:
            self._log.debug("the change of the policy is not written yet", error=error)

    def _notice(self, entry: Entry) -> None:
        if isinstance(entry, PolicyChanged | Started | Amended) and entry.policy is not None:
            self._known = entry.policy
            self._wake_up.set()
