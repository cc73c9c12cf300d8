"""The receiver's acting parts with a world made of memory: several receivers, one journal, one router, one process.

Journal and store are the real ones; routers, process and chats only remember what was done to them, and let a test come
in between wherever an effect has to wait.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from alertmanager.receiver.act.effects import Effects
from alertmanager.receiver.act.outbox import Outbox
from alertmanager.receiver.act.permission import Permission
from alertmanager.receiver.act.reconciler import Reconciler
from alertmanager.receiver.act.routercontroller import RouterController
from alertmanager.receiver.act.telling.messages import Facts
from alertmanager.receiver.act.telling.reportfiles import ReportFiles
from alertmanager.receiver.act.telling.rollbacklog import RollbackLog
from alertmanager.receiver.lead.leader import Leader
from alertmanager.receiver.metrics import Metrics
from canary.errors import JournalError
from canary.notify import Notifier
from canary.policy.model import Policy
from canary.policy.routers.slots import Slot
from canary.process.manager import NoProcess, ProcessManager
from canary.report.facts import Report
from canary.report.files import write
from canary.report.gather import phases
from canary.rollout.commands.commands import Advance, Command, GiveUp, RollBack, Start
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import Entry
from canary.rollout.journal import journal as journals
from canary.rollout.journal.journal import Journal
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout
from canary.rollout.store.store import RolloutStore
from canary.routers import Router, Split
from canary.testing.hooks import Hook
from canary.testing.process import MemoryProcess
from canary.testing.routers import MemoryRouter
from canary.testing.servers import MemoryDeployment
from canary.testing.targets import MemoryTargets
from canary.threads import InlineThreads
from tests.support.clock import FakeClock
from tests.support.receiving.receiver import SERVICE

Work = Callable[[], Awaitable[object]]

Chats = MemoryTargets
"""Targets that take messages, or refuse them."""


async def nothing() -> None:
    """Nothing comes in between."""


def on(operation: str, work: Work) -> Hook:
    """The hook of a stand-in that does *work* around this operation."""

    async def hook(asked: str) -> None:
        if asked == operation:
            await work()

    return hook


class MemoryLead:
    """A lead that the test gives and takes; *asked* is done with each question, before it is answered."""

    def __init__(self, *, leading: bool = True) -> None:
        self.leading = leading
        self.unknown = False
        self.asked: Callable[[], object] = lambda: None

    async def run(self) -> None:
        """Nothing to try."""

    async def may_act(self) -> bool:
        """As the test says."""
        self.asked()
        return self.leading

    async def close(self) -> None:
        """Nothing to give back."""


class FrailJournal(Journal):
    """A journal in memory that a test may break."""

    broken = False

    async def append(self, entry: Entry, *, after: Entry | int | None = None) -> Entry:
        """Write, unless broken."""
        self._require()
        return await super().append(entry, after=after)

    async def entries(self, rollout: str | None = None, *, after: int = 0) -> Sequence[Entry]:
        """Read, unless broken."""
        self._require()
        return await super().entries(rollout, after=after)

    def _require(self) -> None:
        if self.broken:
            raise JournalError("no space left", place="journal")


async def write_inline(report: Report, folder: Path) -> None:
    """Write a report in this process."""
    write(report, folder)


def make_effects(
    store: RolloutStore,
    leader: Leader,
    *,
    routers: Sequence[Router] = (),
    process: ProcessManager | None = None,
    deployment: MemoryDeployment | None = None,
    chats: Chats | None = None,
    folder: Path | None = None,
) -> Effects:
    """Effects on a world of memory, and on the files of a folder."""
    return Effects(
        store,
        leader,
        routers=routers,
        process=process or NoProcess(),
        deployment=deployment or MemoryDeployment(),
        notifier=cast("Notifier", chats or Chats()),
        rollback_log=RollbackLog(folder / "rollbacks.log" if folder else None, InlineThreads()),
        report_files=ReportFiles((folder or Path()) / "reports", InlineThreads(), write_inline),
    )


class Acting:
    """One receiver's acting parts."""

    def __init__(
        self, world: "World", policy: Policy, *, leading: bool, deployment: MemoryDeployment | None = None
    ) -> None:
        self.journal = FrailJournal(world.engine, SERVICE)
        self.clock = world.clock
        self.store = RolloutStore(self.journal, world.clock)
        self.lead = MemoryLead(leading=leading)
        self.metrics = Metrics(CollectorRegistry(), SERVICE)
        self.permission = Permission(self.store, self.lead)
        self.effects = make_effects(
            self.store,
            self.lead,
            routers=[world.router],
            process=world.process,
            deployment=deployment,
            chats=world.chats,
            folder=world.folder,
        )
        self.reconciler = Reconciler(policy, self.store, self.effects, self.metrics, world.clock)
        self.facts = Facts(SERVICE, "canary 0%, stable 100%", {"router edge": "is unreachable"})
        self.outbox = Outbox(Plans(policy), self.store, self.effects, self.metrics, world.clock, lambda: self.facts)
        self.store.listen(self.reconciler.heard)

    @property
    def controller(self) -> RouterController:
        """The controller of the one router."""
        return self.reconciler.controllers[0]

    @property
    def rollout(self) -> Rollout:
        """The newest rollout, as this receiver knows it."""
        assert self.store.rollout is not None
        return self.store.rollout

    async def propose(self, command: Command) -> Entry:
        """A command of somebody who has just looked."""
        return await self.store.propose(Seen.of(self.store.rollout), command)

    async def start(
        self,
        canary: str = "v2.0",
        *,
        stable_slot: Slot | None = None,
        traffic: tuple[float, ...] = (0.05, 0.5, 1.0),
    ) -> Entry:
        """A rollout begins, by default of 5 %, 50 % and 100 %."""
        self.clock.advance(1)
        return await self.propose(
            Start(
                actor="ann",
                rollout=f"{canary}-{self.clock.now():%H%M%S}",
                stable="v1.0",
                canary=canary,
                traffic=traffic,
                durations_seconds=(300.0,) * len(traffic),
                stable_slot=stable_slot,
            )
        )

    async def advance(self) -> Entry:
        """The next phase begins."""
        return await self.propose(Advance(actor="ann"))

    async def roll_back(self) -> Entry:
        """All customers are to leave the canary."""
        self.clock.advance(1)
        return await self.propose(RollBack(actor="ann", reason="bad", cause="manual"))

    async def give_up(self) -> Entry:
        """A person ends the rollback."""
        return await self.propose(GiveUp(actor="ann", reason="done by hand"))

    async def reconcile(self) -> None:
        """Every worker has looked, until nothing more is to be done about a rollback."""
        for _ in range(3):
            await self.controller.step()
            for step in (self.reconciler.confirm_traffic, self.reconciler.stop_process, self.reconciler.write_log):
                await self.reconciler.attempt(step.__name__, step)


@dataclass
class World:
    """What several receivers share."""

    engine: AsyncEngine
    folder: Path
    policy: Policy
    clock: FakeClock = field(default_factory=FakeClock)
    router: MemoryRouter = field(default_factory=MemoryRouter)
    process: MemoryProcess = field(default_factory=MemoryProcess)
    chats: Chats = field(default_factory=Chats)

    def receiver(self, *, leading: bool = True, deployment: MemoryDeployment | None = None, **sections: Any) -> Acting:
        """One more receiver; *sections* of its policy are as given."""
        policy = Policy(service=SERVICE, **sections) if sections else self.policy
        return Acting(self, policy, leading=leading, deployment=deployment)

    @property
    def logged(self) -> list[dict[str, str]]:
        """The lines of the rollback log that are for machines."""
        path = self.folder / "rollbacks.log"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{")]

    async def restarted(self) -> Acting:
        """One that has just begun: what the journal says was decided before it listened."""
        acting = self.receiver()
        acting.store.forget(acting.reconciler.heard)
        await acting.store.refresh()
        acting.store.listen(acting.reconciler.heard)
        return acting

    @classmethod
    @asynccontextmanager
    async def around(cls, folder: Path, **sections: Any) -> AsyncIterator[Self]:
        """A world with an empty journal."""
        engine = create_async_engine("sqlite+aiosqlite:///:memory:")
        async with engine.begin() as connection:
            await connection.run_sync(journals.METADATA.create_all)
        try:
            yield cls(engine, folder, Policy(service=SERVICE, **sections))
        finally:
            await engine.dispose()


def five(leader: Acting) -> Split:
    """5 % of the running rollout."""
    return Split(leader.rollout.id, 0.05)


async def report_of(receiver: Acting) -> Report:
    """A small report of the newest rollout, so far."""
    now = receiver.clock.now()
    entries = await receiver.store.entries()
    return Report(
        service=SERVICE,
        rollout=receiver.rollout,
        until=now,
        made_at=now,
        entries=entries,
        phases=phases(entries, now),
    )


class PausingClock(FakeClock):
    """A clock in whose sleep the test does something: what happens while a receiver waits."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Work = nothing

    async def sleep(self, seconds: float) -> None:
        """Let time pass, and something happen."""
        meanwhile, self.meanwhile = self.meanwhile, nothing
        await meanwhile()
        await super().sleep(seconds)
