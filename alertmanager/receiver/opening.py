"""Opening a receiver: what has to be closed again is opened here, in the one order that works, and closed in the other.

Nothing of it waits for the journal: a receiver whose database is away starts, says so, and lowers traffic when told. It
reads the journal as soon as that answers. What an earlier process had lowered and could not write is taken up before
the workers run, for the first of them would raise it again.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import aiohttp
from prometheus_client import CollectorRegistry

from alertmanager.receiver.act.confirmations import Confirmations
from alertmanager.receiver.act.effects import Effects
from alertmanager.receiver.act.trust import require_slots
from alertmanager.receiver.decide.experiments import Experiments
from alertmanager.receiver.decide.parts import Base, Outside
from alertmanager.receiver.lead.leader import leader_of
from alertmanager.receiver.receiver import Receiver
from alertmanager.receiver.supervisor import working
from canary.errors import JournalError
from canary.policy.model import Policy
from canary.rollout import experiments
from canary.rollout.journal.journal import Journal
from canary.rollout.store.marker import Marker
from canary.rollout.store.sidefile import SideFile, beside, formerly
from canary.rollout.store.store import RolloutStore
from canary.threads import OwnThread
from canary.timing.clock import Clock, SystemClock


@asynccontextmanager
async def open_receiver(
    policy: Policy, registry: CollectorRegistry, clock: Clock | None = None
) -> AsyncIterator[Receiver]:
    """The receiver with its journal read and its workers running.

    Raises:
        CanaryError: the journal's address, a secret or a router's section is faulty, or the policy has lost the
            slots that the journal needs.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(Journal.open(policy, patient=True))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        leader = leader_of(policy, clock)
        stack.push_async_callback(leader.close)
        chain = await stack.enter_async_context(Journal.open(policy, experiments.CHAIN, patient=True))
        trials = Experiments(policy, chain, clock)
        with suppress(JournalError):
            # Its loop goes on trying.
            await trials.begin()
        marker = Marker(_side_file(policy, "lowered"))
        stack.push_async_callback(marker.close)
        confirmations = await Confirmations.open(_side_file(policy, "routers"))
        stack.push_async_callback(confirmations.close)
        base = Base(RolloutStore(journal, clock, marker), leader, clock)
        stack.push_async_callback(base.store.close)
        effects = Effects.of(policy, base.store, leader)
        stack.callback(effects.close)
        receiver = Receiver(policy, base, effects, Outside.of(policy, session), trials, registry, confirmations)
        stack.push_async_callback(receiver.drills.close)
        with suppress(JournalError):
            # The worker goes on trying; until it is read, the doubt about it is what the status says.
            await receiver.store.refresh()
        require_slots(policy, receiver.store.rollout)
        receiver.store.listen(receiver.reconciler.heard)
        await receiver.store.recall()
        await stack.enter_async_context(working(receiver.workers(), clock))
        yield receiver


def _side_file(policy: Policy, name: str) -> SideFile:
    return SideFile(beside(policy, f".{name}"), OwnThread(name), formerly(policy, f".{name}"))
