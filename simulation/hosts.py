"""The receivers: the product's own, wired as `open_receiver` wires them, on stand-ins for what they meet."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
from prometheus_client import CollectorRegistry

from alertmanager.receiver.act.confirmations import Confirmations
from alertmanager.receiver.act.effects import Effects
from alertmanager.receiver.act.telling.reportfiles import ReportFiles
from alertmanager.receiver.act.telling.rollbacklog import RollbackLog
from alertmanager.receiver.decide.commands import Request
from alertmanager.receiver.decide.experiments import Experiments
from alertmanager.receiver.decide.parts import Base, Outside
from alertmanager.receiver.http.webhook import parse
from alertmanager.receiver.receiver import Receiver
from alertmanager.receiver.supervisor import working
from canary.errors import CanaryError, JournalError
from canary.notify import Notifier
from canary.policy.model import Policy
from canary.policy.routers.slots import Slot
from canary.report.facts import Report
from canary.report.past import PastReport
from canary.rollout import experiments
from canary.rollout.entries import Entry
from canary.rollout.store.marker import Marker
from canary.rollout.store.store import RolloutStore
from canary.testing.clock import VirtualClock
from canary.testing.http import MemoryHttp, Server
from canary.testing.journal import MemoryJournal, Table
from canary.testing.loop import Machine
from canary.testing.process import MemoryProcess
from canary.testing.routers import MemoryRouter
from canary.testing.servers import MemoryDeployment
from canary.testing.sidefile import Disk, MemorySideFile
from canary.testing.targets import MemoryTargets
from canary.threads import InlineThreads
from simulation.lead import Lock, SimulatedLeader
from simulation.network import Network

# A journal that does not answer is given up on as PostgreSQL's statements are; for a peer that hangs everybody's own
# time limit, always shorter than a minute, comes first.
_JOURNAL_PATIENCE_SECONDS = 2.0
_FOREVER_SECONDS = 60.0

# A program that cannot begin, because its journal is away, is started again by systemd.
_RESTART_SECONDS = 2.0


@dataclass
class Surroundings:
    """What all receivers share."""

    policy: Policy
    table: Table
    lock: Lock
    network: Network
    routers: Sequence[MemoryRouter]
    processes: Mapping[Slot, MemoryProcess]
    deployment: MemoryDeployment
    targets: MemoryTargets
    servers: dict[str, Server]
    reports: set[str]
    heard: Callable[[Machine, Entry], None]


class Host:
    """A machine on which a receiver runs, dies and runs again."""

    def __init__(self, name: str, clock: VirtualClock, around: Surroundings) -> None:
        self.name = name
        self.clock = clock
        self.receiver: Receiver | None = None
        self.machine = Machine(name)
        self.starts = 0
        self.disk = Disk()
        self._around = around
        self.machine.alive = False

    def start(self) -> None:
        """Restart, unless it runs: a new process, which knows nothing."""
        if self.machine.alive:
            return
        self.starts += 1
        self.receiver = None
        paused = self.machine.paused
        self.machine = Machine(self.name)
        if paused:
            self.machine.pause()
        self.machine.spawn(self._run())

    async def notify(self, body: dict[str, Any]) -> bool:
        """A webhook arrives; False when it is to be repeated.

        Raises:
            ConnectionError: nobody listens, or the receiver died.
        """
        return await self.machine.call(self._notify(json.dumps(body).encode()))

    async def submit(self, request: Request) -> Entry:
        """A person's command arrives.

        Raises:
            ConnectionError: nobody listens, or the receiver died.
            CanaryError: it was refused, or could not be written.
        """
        return await self.machine.call(self._submit(request))

    async def ask(self, work: Callable[[Receiver], Any]) -> None:
        """Somebody has the receiver do something else.

        Raises:
            ConnectionError: nobody listens, or the receiver died.
            CanaryError: it was refused, or could not be written.
        """

        async def asked() -> None:
            await work(self._listening())

        await self.machine.call(asked())

    async def _notify(self, body: bytes) -> bool:
        return await self._listening().notify(parse(body))

    async def _submit(self, request: Request) -> Entry:
        return await self._listening().submit(request)

    def _listening(self) -> Receiver:
        if self.receiver is None:
            raise ConnectionError(f"{self.name} does not listen yet")
        return self.receiver

    async def _run(self) -> None:
        while True:
            try:
                await self._serve()
            except CanaryError:
                await self.clock.sleep(_RESTART_SECONDS)

    async def _serve(self) -> None:
        around, policy = self._around, self._around.policy
        before, after = around.network.hooks("journal", _journal_error, _JOURNAL_PATIENCE_SECONDS, "append")
        journal = MemoryJournal(around.table, policy.service, before=before, after=after)
        chain = MemoryJournal(around.table, policy.service, experiments.CHAIN, before=before, after=after)
        lock_before, lock_after = around.network.hooks("journal", OSError, _JOURNAL_PATIENCE_SECONDS, "lock")
        leader = SimulatedLeader(around.lock, self.machine, self.clock, lock_before, lock_after)
        trials = Experiments(policy, chain, self.clock)
        with suppress(JournalError):
            await trials.begin()
        marker = Marker(MemorySideFile(self.disk, "lowered"))
        confirmations = await Confirmations.open(MemorySideFile(self.disk, "routers"))
        store = RolloutStore(journal, self.clock, marker)
        effects = Effects(
            store,
            leader,
            routers=around.routers,
            process=around.processes["b"],
            slot_processes=around.processes if policy.slots else {},
            deployment=around.deployment,
            notifier=cast("Notifier", around.targets),
            rollback_log=RollbackLog(None, InlineThreads()),
            report_files=_Reports(around.reports),
        )
        session = cast("aiohttp.ClientSession", self._session())
        base = Base(store, leader, self.clock)
        outside = Outside.of(policy, session)
        receiver = Receiver(policy, base, effects, outside, trials, CollectorRegistry(), confirmations)
        store.listen(receiver.reconciler.heard)
        machine = self.machine
        store.listen(lambda entry: around.heard(machine, entry))
        with suppress(JournalError):
            await store.refresh()
        await store.recall()
        async with working(receiver.workers(), self.clock):
            self.receiver = receiver
            await self.clock.sleep(float("1e9"))

    def _session(self) -> MemoryHttp:
        network = self._around.network
        ways = {
            host: network.hooks(host, aiohttp.ClientConnectionError, _FOREVER_SECONDS) for host in self._around.servers
        }

        async def before(host: str) -> None:
            await ways[host][0]("ask")

        async def after(host: str) -> None:
            await ways[host][1]("ask")

        return MemoryHttp(self._around.servers, before=before, after=after)


class _Reports(ReportFiles):
    """Reports that are only remembered by their rollout: drawing them has tests of its own."""

    def __init__(self, written: set[str]) -> None:
        self._written = written

    async def are_there(self, rollout: str) -> bool:
        return rollout in self._written

    async def past(self, service: str) -> Sequence[PastReport]:  # noqa: ARG002  # none can be read again
        return ()

    async def write(self, report: Report) -> None:
        self._written.add(report.rollout.id)

    def close(self) -> None:
        """Nothing to end."""


def _journal_error(what: str) -> JournalError:
    return JournalError(what, place="journal")
