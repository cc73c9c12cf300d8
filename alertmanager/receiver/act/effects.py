"""The one place that acts: routers, the canary's process, messages, the log of rollbacks and the reports.

Nobody else holds a router, a process manager, a notifier or a file that people read, so that nobody can forget to ask
`act.permission` first. The exception is the direction that protects customers: traffic is lowered without asking
anybody, for the lead may be lost and the journal's disk be full, and still nobody is to stay on a canary that is being
rolled back. What keeps that from turning against a leader who knows more is said at
`alertmanager.receiver.act.routercontroller`.
"""

# long: every effect stands here once, and nowhere else

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Self

from alertmanager.receiver.act.permission import Permission, Still
from alertmanager.receiver.act.telling.reportfiles import ReportFiles
from alertmanager.receiver.act.telling.rollbacklog import Line, RollbackLog
from alertmanager.receiver.lead.leader import Leader
from canary.errors import JournalError, RefusedError, RouterError
from canary.finding import Finding
from canary.notify import Delivery, Message, Notifier
from canary.policy.model import Policy
from canary.policy.routers.slots import BOTH, Slot, other
from canary.process.deploy import Deploys, StableDeployment
from canary.process.manager import ENDED, ProcessManager, ProcessState, in_slot, process_of
from canary.report.facts import Report
from canary.report.past import PastReport
from canary.rollout.entries import Entry
from canary.rollout.kinds import REPORT_RENEWED, Step
from canary.rollout.state import Rollout
from canary.rollout.store.store import RolloutStore
from canary.routers import FINEST_RATIO, Observation, Router, Split, routers_of
from canary.routers.asking import AskingRouter, Question
from canary.threads import OwnThread, Threads
from canary.units import format_ratio

# A controller that waits for a journal that hangs, to raise, must be free again when a rollback is decided meanwhile.
# One that answers at all does so within milliseconds, and a raise that is late is tried again.
_RAISING_SECONDS = 0.5

_BACK = "the journal has just come back, and others may not have written yet what they lowered without it"


class Effects:
    """Everything that this receiver can do to the world, each behind the two questions.

    Args:
        store: the journal's rollouts.
        leader: who may act.
        routers: what divides the traffic; lowered all the same when nobody leads.
        process: the canary's process.
        slot_processes: the process of each slot instead; with `router.slots` they are two.
        deployment: what brings the new version to the stable servers.
        notifier: the people's targets.
        rollback_log: the file with two lines per rollback.
        report_files: the folder of reports.
    """

    def __init__(
        self,
        store: RolloutStore,
        leader: Leader,
        *,
        routers: Sequence[Router],
        process: ProcessManager,
        slot_processes: Mapping[Slot, ProcessManager] | None = None,
        deployment: Deploys,
        notifier: Notifier,
        rollback_log: RollbackLog,
        report_files: ReportFiles,
    ) -> None:
        self._store = store
        self._permission = Permission(store, leader)
        self._routers: Mapping[str, Router] = {router.name: router for router in routers}
        self._asking = {router.name: router for router in routers if isinstance(router, AskingRouter)}
        for asking in self._asking.values():
            asking.opened()
        self._process = process
        self._slot_processes = slot_processes or {}
        # What a router that was read last has recorded; without a journal nobody else knows.
        self._recorded_slot: Slot | None = None
        self._deployment = deployment
        # Starting and stopping take seconds, and one must not begin in the middle of the other.
        self._process_lock = asyncio.Lock()
        self._notifier = notifier
        self._rollback_log = rollback_log
        self._report_files = report_files

    @classmethod
    def of(
        cls, policy: Policy, store: RolloutStore, leader: Leader, thread: Callable[[str], Threads] = OwnThread
    ) -> Self:
        """The effects that a policy describes.

        Args:
            thread: makes a thread for a disk that may hang by itself, given a name.

        Raises:
            CanaryError: a router's or the process's section, or the secret of `notify`, is faulty.
        """
        return cls(
            store,
            leader,
            routers=routers_of(policy, thread),
            process=process_of(policy.process),
            # Without `router.slots` nothing in the section names a slot: both are the one process.
            slot_processes={slot: process_of(in_slot(policy.process, slot)) for slot in BOTH},
            deployment=StableDeployment(policy.process),
            notifier=Notifier.of(policy),
            rollback_log=RollbackLog.of(policy, thread("rollback log")),
            report_files=ReportFiles.of(policy, thread("reports")),
        )

    def close(self) -> None:
        """Wait for nothing more."""
        self._notifier.close()
        self._rollback_log.close()
        self._report_files.close()

    async def leads(self) -> bool:
        """Whether this receiver leads now: for looks and journal entries that only the leader needs to make."""
        return await self._permission.leads()

    @property
    def leading(self) -> bool:
        """Whether this receiver led when it last made sure; nothing is done on the strength of this."""
        return self._permission.leading

    # Routers.

    @property
    def router_names(self) -> tuple[str, ...]:
        """The routers, in the policy's order."""
        return tuple(self._routers)

    @property
    def finest_ratio(self) -> float:
        """The smallest difference between two weights that every router can have in force."""
        return max((router.finest_ratio for router in self._routers.values()), default=FINEST_RATIO)

    async def read_router(self, name: str) -> Observation:
        """What a router has in force; which slot is the canary's, the journal says.

        Raises:
            RouterError: it cannot be read at all.
        """
        observation = await self._routers[name].read()
        recorded = (one.stable_slot for one in observation.readings if one.stable_slot is not None)
        self._recorded_slot = next(recorded, self._recorded_slot)
        return observation.seen_from(self._journal_slot)

    @property
    def stable_slot(self) -> Slot | None:
        """With `router.slots`, the one that is stable: by the journal, else as a router has it recorded."""
        return self._journal_slot or self._recorded_slot

    @property
    def _journal_slot(self) -> Slot | None:
        rollout = self._store.rollout
        return rollout.stable_slot if rollout is not None else None

    async def answer_router(self, name: str, question: Question) -> Mapping[str, Any] | None:
        """What an instance of a router that asks is to have in force; None when it has that.

        Raises:
            RefusedError: this receiver stands by.
            RouterError: there is no such router or instance, or its driver failed.
        """
        asking = self._asking.get(name)
        if asking is None:
            raise RouterError(
                f"none that asks is called {name[:64]!a}", place="router", remedy="generate its files anew"
            )
        return await asking.answer(question, self.leads)

    async def check_router(self, name: str) -> list[Finding]:
        """What would keep a router from being switched; moves no traffic."""
        return await self._routers[name].check()

    async def unhealthy_servers(self, name: str) -> Mapping[str, str]:
        """By address, what a router's own checks say against a stable server.

        Raises:
            RouterError: it is unreachable.
        """
        return await self._routers[name].unhealthy()

    async def sessions(self, name: str, lasting_seconds: float) -> int | None:
        """What is still on the canary's servers by a router's count; None where it cannot tell.

        Raises:
            RouterError: it is unreachable.
        """
        return await self._routers[name].sessions(lasting_seconds)

    async def lower(self, name: str, split: Split) -> None:
        """Lower a router to what was decided; asks nobody. Only controllers may call it, see there.

        Raises:
            RouterError: the router does not follow.
        """
        await self._routers[name].set_weight(split)

    async def set_weight(self, name: str, split: Split, *, still: Callable[[], bool], lowers: bool = False) -> None:
        """Bring a router to a split.

        Args:
            still: whether it is still wanted.
            lowers: nobody gets onto the canary by it; then the lead is enough, and the journal is not waited for.

        Raises:
            RefusedError: this receiver does not lead, or the split is no longer wanted; nothing was done.
            JournalError: the journal cannot be read, or holds what is not understood; nothing was done.
            RouterError: the router does not follow.
        """
        place = f"router {name}"

        def require() -> None:
            if not still():
                raise RefusedError(f"{format_ratio(split.weight_ratio)} is no longer wanted", place=place)
            if self._store.unread and not lowers:
                raise JournalError(self._store.unread, place=place, remedy="its weight stays as it is")
            if self._store.settling and not lowers:
                raise JournalError(_BACK, place=place, remedy="its weight is raised in some seconds")

        if lowers:
            await self._permission.require_lead(place)
            require()
        else:
            await self._permission.ask(place, require, within_seconds=_RAISING_SECONDS)
        await self._routers[name].set_weight(split)

    # The canary's process.

    @property
    def process_managed(self) -> bool:
        """Whether the policy names a process at all."""
        return self._process.managed

    @property
    def process_starts(self) -> bool:
        """Whether starting the process starts anything, or only looks."""
        return self._process.starts

    async def process_state(self) -> ProcessState:
        """What the process is now.

        Raises:
            ProcessError: its manager is unreachable.
        """
        return await self._process_of(self.stable_slot).state()

    def _process_of(self, stable: Slot | None) -> ProcessManager:
        """The canary's process, where this slot is the stable one."""
        return self._slot_processes.get(other(stable or "a"), self._process)

    async def start_process(self, require: Callable[[], None], stable: Slot | None = None) -> ProcessState:
        """Start the canary's process for a rollout that is about to begin.

        Args:
            stable: with `router.slots`, the slot that is stable in it.
            require: raises RefusedError when the rollout may no longer begin.

        Raises:
            RefusedError: this receiver does not lead, or the rollout may no longer begin; nothing was done.
            JournalError: the journal cannot be read; nothing was done.
            ProcessError: it does not run.
        """
        process = self._process_of(stable)
        if not process.starts:
            return await process.state()
        async with self._process_lock:
            await self._permission.ask("start of the canary's process", require)
            return await process.start()

    async def stop_process(self, rollout_id: str) -> ProcessState:
        """Stop the process of a rollout that nobody is on any more, as long as no other rollout has begun.

        Raises:
            RefusedError: this receiver does not lead, or it is to be stopped no more; nothing was done.
            JournalError: the journal cannot be read, or has not yet taken the decision; nothing was done.
            ProcessError: it runs on.
        """

        def still(rollout: Rollout) -> bool:
            newest = self._store.rollout
            return rollout.leaving and newest is not None and newest.id == rollout.id

        async with self._process_lock:
            process = self._process_of(self.stable_slot)
            # The look comes before the questions, so that nothing comes between them and the stop.
            state = await process.state()
            if state in ENDED:
                return state
            return await self._permission.run(rollout_id, Step.PROCESS, process.stop, still=still)

    # The stable servers.

    @property
    def deploys_stable(self) -> bool:
        """Whether the policy has a program that deploys to the stable servers."""
        return self._deployment.configured

    async def deploy_stable(self, rollout: Rollout, *, still: Still) -> None:
        """Bring the new version to the stable servers.

        Raises:
            RefusedError: this receiver does not lead, or it is no longer wanted; nothing was done.
            JournalError: the journal cannot be read; nothing was done.
            ProcessError: the program failed.
        """
        await self._permission.run(rollout.id, Step.DEPLOY, partial(self._deployment.run, rollout), still=still)

    # People, and the files that they read.

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of those who are notified, in the policy's order."""
        return self._notifier.targets

    async def send(
        self, entry: Entry, message: Message, targets: Collection[str], *, still: Still
    ) -> tuple[Delivery, ...]:
        """Try once to tell *targets* about an entry.

        Raises:
            RefusedError: this receiver does not lead, or they have been notified; nothing was done.
            JournalError: the journal cannot be read; nothing was done.
        """
        send = partial(self._notifier.send, message, targets)
        if not entry.seq:
            # It is not in the journal yet: no other receiver knows of it, so nobody else will tell people.
            return await send()
        return await self._permission.run(entry.rollout, Step.NOTIFY, send, still=still)

    async def write_log(self, rollout: Rollout, line: Line) -> None:
        """Write a line about a rollback.

        Raises:
            RefusedError: this receiver does not lead, or all lines are written; nothing was done.
            JournalError: the journal cannot be read, or the file not be written.
        """
        write = partial(self._rollback_log.write, rollout, line)
        await self._permission.run(rollout.id, Step.LOG, write, still=lambda now: Step.LOG not in now.steps)

    async def report_is_there(self, rollout_id: str) -> bool:
        """Whether all files of a rollout's report exist."""
        return await self._report_files.are_there(rollout_id)

    async def past_reports(self, service: str) -> Sequence[PastReport]:
        """The reports of a service that were written before, oldest first."""
        return await self._report_files.past(service)

    async def write_report(self, report: Report) -> None:
        """Write a report's files.

        Raises:
            RefusedError: this receiver does not lead, or the report is written; nothing was done.
            JournalError: the journal cannot be read, or the folder not be written to.
        """
        write = partial(self._report_files.write, report)
        await self._permission.run(
            report.rollout.id,
            Step.REPORT,
            write,
            still=lambda now: Step.REPORT not in now.steps or REPORT_RENEWED not in now.recorded,
        )
