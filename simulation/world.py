"""One world: everything put together, the story carried out, the checkers called."""
# long: one world, whose parts and acts share everything

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from random import Random

from canary.errors import NotificationError, ProcessError, RouterError
from canary.policy.routers.slots import Slot
from canary.rollout.entries import Advanced, Entry, Held, Promoted, Resumed, RollbackDecided
from canary.rollout.state import TERMINAL, UNFINISHED, Rollout, State
from canary.testing.clock import VirtualClock
from canary.testing.journal import Table
from canary.testing.loop import Machine, VirtualLoop
from canary.testing.process import MemoryProcess
from canary.testing.routers import MemoryRouter
from canary.testing.servers import MemoryDeployment
from canary.testing.targets import MemoryTargets
from simulation.checks.checks import Checks
from simulation.faults import Faults
from simulation.hosts import Host, Surroundings
from simulation.lead import Lock
from simulation.life import LIFE, Life
from simulation.network import Network
from simulation.plans import Planners, broken
from simulation.stories.losses import LOSS
from simulation.stories.story import CANARY, SERVICE, STABLE, STRESS_SECONDS, Story
from simulation.stories.watchers import WATCH
from simulation.surroundings.fleet import Fleet
from simulation.surroundings.monitoring import Monitoring
from simulation.surroundings.operators import Operators
from simulation.surroundings.shop import Shop
from simulation.truth import Truth
from simulation.watching import Watching

# After the last fault: a new lead, a look at everything, repetitions of what was lost.
_HEAL_SECONDS = 50.0
# The longest that a rollout may need in a healthy world from wherever it stands: three phases of 20 s, each with a
# scrape, an evaluation, a group interval, a repetition, and one takeover's worth of marks that were lost.
_FINISH_SECONDS = 240.0
# As above with all that the faults have left: a hold that must be lifted first, silences and freezes that must end.
_OVER_SECONDS = 420.0
# A rollout that begins in the healthy world, with a phase that may be a long one.
_FRESH_SECONDS = 300.0
# After the end people are notified within a minute, the longest pause of the outbox; a receiver that has just taken the
# lead looks for missing reports after five.
_TELL_SECONDS = 75.0
_REPORT_SECONDS = 400.0
# A message that is sent a second time is sent at the outbox' next looks.
_TWICE_SECONDS = 10.0

# Of one line of the story: an entry with all its fields fits.
_PRINTABLE = 400


@dataclass
class Outcome:
    """What came of one world.

    Attributes:
        broken: the promises that were broken, in words.
        told: the story as it went, a line an event.
        faults: which kinds of fault struck.
        met: which events came upon which states of the rollout.
    """

    story: Story
    broken: list[str]
    told: list[str]
    faults: Counter[str]
    met: Counter[tuple[str, str]]
    rollouts: int = 0
    steps: int = 0


def simulate(story: Story) -> Outcome:
    """Live one world to its end, or to the first broken promise."""
    # What a killed machine leaves is collected at moments of the interpreter's own; then its `finally` would run.
    collecting = gc.isenabled()
    gc.disable()
    loop = VirtualLoop(Random(f"loop {story.seed}"))
    world = World(story)
    try:
        with _worker_faults(world.worker_broke):
            asyncio.set_event_loop(loop)
            loop.run_until_complete(world.live())
            world.checks.broken.extend(f"no task breaks: {what}" for what in loop.broken)
    finally:
        asyncio.set_event_loop(None)
        loop.finish()
        if collecting:
            gc.enable()
            gc.collect()
    return Outcome(
        story,
        world.checks.broken,
        world.told,
        world.faults.struck,
        world.met,
        rollouts=len(world.truth.rollouts),
        steps=loop.steps,
    )


class World:
    """Everything, and what happens in it."""

    def __init__(self, story: Story) -> None:  # long: everything is put together here, in order
        self.story = story
        self.told: list[str] = []
        self.met: Counter[tuple[str, str]] = Counter()
        self.truth = Truth(wrong=dict(story.versions) | {"last": story.last, "v9.0": ""})
        random = Random(f"world {story.seed}")
        network = Network(random)
        self.table = Table()
        self.table.appended = self._appended
        # One as fine as HAProxy, one as coarse as nginx.
        slots = story.policy.slots
        self.routers = [MemoryRouter("edge1", slots=slots), MemoryRouter("edge2", finest_ratio=0.01, slots=slots)]
        # Without slots the canary's servers are always those of slot b.
        self.processes: dict[Slot, MemoryProcess] = {"b": MemoryProcess()}
        if slots:
            self.processes["a"] = MemoryProcess()
        self.fleet = Fleet(stable_host=lambda: CANARY if self.truth.stable_slot == "b" else STABLE)
        self.targets = MemoryTargets("chat#1", "chat#2")
        lock = Lock()
        self._over = asyncio.Event()
        self.checks = Checks(
            story.policy,
            self.truth,
            self.routers,
            self.processes,
            self.fleet,
            self.targets,
            lock,
            self._over.set,
        )
        self.checks.blind = self._blind
        self.shop = Shop(self.truth, self.routers)
        self.reports: set[str] = set()
        around = Surroundings(
            story.policy,
            self.table,
            lock,
            network,
            self.routers,
            self.processes,
            MemoryDeployment(configured=bool(story.policy.process.deploy_stable), deploys=self.fleet.deploy),
            self.targets,
            {},
            self.reports,
            self._heard,
        )
        self.hosts = [
            Host(name, VirtualClock(f"boot-{name}", skew_seconds=skew, rate=rate), around)
            for name, skew, rate in list(zip("ab", story.skews, story.rates, strict=True))[: story.receivers]
        ]
        self.monitoring = Monitoring(self.truth, self.shop, self.hosts, network, story.policy)
        around.servers |= {
            "prometheus": self.monitoring.answer,
            STABLE: partial(self.fleet.answer, STABLE),
            CANARY: partial(self.fleet.answer, CANARY),
            "alertmanager": self.monitoring.alertmanagers["am1"].answer,
        }
        self.operators = Operators(self.truth, self.hosts, self.routers, self.fleet, random)
        self._around = around
        self.planners = Planners(self.hosts, around, self.operators, Random(f"planners {story.seed}"))
        self.life = Life(
            self.truth, self.checks, self.hosts, self.monitoring, self.operators, Random(f"lives {story.seed}")
        )
        self.watching = Watching(
            self.truth, self.checks, self.monitoring, self.operators, Random(f"watching {story.seed}")
        )
        self.monitoring.policies = any(event.kind == WATCH for event in story.events)
        self.faults = Faults(self, network)
        self._wire(network)

    def _wire(self, network: Network) -> None:
        for router in self.routers:
            router.before, router.after = network.hooks(router.name, _router_error, 2.0, "set")
            router.changed = partial(self._routed, router)
        process_before, process_after = network.hooks("process", _process_error, 5.0, "stop")

        async def before(slot: Slot, operation: str) -> None:
            if operation == "stop":
                self.checks.stopping(slot)
            await process_before(operation)

        for slot, process in self.processes.items():
            process.before, process.after = partial(before, slot), process_after
        self.targets.before, self.targets.after = network.hooks("chat", NotificationError, 2.0)
        network.sprung = lambda machine: self.faults.trapped(machine.name)

    # What is told while it happens.

    def tell(self, what: str) -> None:
        """One line of the story as it went."""
        self.told.append(f"{asyncio.get_running_loop().time():8.2f}s  {what[:_PRINTABLE]}")

    def _appended(self, service: str, entry: Entry) -> None:
        if service != SERVICE:
            return
        before = self.truth.newest
        self.checks.written(entry, before)
        self.life.written(entry, before)
        self.watching.written(entry)
        for promise, what in broken(entry, before, self._around.policy):
            self.checks.fail(promise, what)
        if entry.decides and not isinstance(entry, Held | RollbackDecided):
            self.checks.obeyed.clear()
        self._count_down(entry)
        self.truth.take(entry)
        if entry.request in self.truth.typed and isinstance(entry, Advanced | Promoted | Resumed):
            self.truth.overridden.add(entry.rollout)
            if self.faults.struck[LOSS]:  # what the machine knew was a hold by hand since then, for people to end
                self.truth.acted.discard(entry.rollout)
        if isinstance(entry, RollbackDecided):
            self.truth.acted.discard(entry.rollout)
        if entry.decides or entry.label in ("step_done", "notified"):
            self.tell(
                f"journal #{entry.seq} {entry.label} {entry.rollout} by {entry.actor}: {entry.reason} {_more(entry)}"
            )
        self._meet(f"entry {entry.label}", before)

    def _blind(self) -> set[tuple[str, str]]:
        """The receivers that must roll back what nobody watches: those that lead, or cannot know who does."""
        found = set()
        for host in self.hosts:
            receiver = host.receiver
            if receiver is None or not host.machine.alive or host.machine.paused:
                continue
            rollout, leader = receiver.store.rollout, receiver.leader
            if rollout is None or not (leader.leading or leader.unknown):
                continue
            if receiver.watchdog.verdict(rollout) == "rollback":
                found.add((host.name, rollout.id))
        return found

    def _count_down(self, entry: Entry) -> None:
        """A countdown begins when it is in the journal, or when a receiver acts upon it before."""
        if isinstance(entry, Held) and entry.rollback_at is not None:
            self.truth.counting.setdefault(entry.rollout, asyncio.get_running_loop().time())
        elif isinstance(entry, Held | Resumed | Advanced):
            self.truth.counting.pop(entry.rollout, None)

    def _heard(self, machine: Machine, entry: Entry) -> None:
        if not entry.seq:
            self._count_down(entry)
        if not entry.seq and isinstance(entry, Held):
            self.truth.held.add(entry.rollout)
        if not entry.seq and isinstance(entry, RollbackDecided):
            self.checks.acted(entry, machine)
            self.truth.acted.add(entry.rollout)
            self.tell(f"{machine.name} rolls back {entry.rollout} without the journal")

    def _routed(self, router: MemoryRouter, before: object) -> None:
        self.tell(f"{router.name} has {router.split.weight_ratio:.0%} of {router.split.rollout}")
        self.checks.routed(router, before)  # type: ignore[arg-type]  # a partial of two arguments

    def worker_broke(self, what: str) -> None:
        """A worker ended by an error that nobody expected."""
        self.checks.fail("no worker breaks", what)

    def _meet(self, event: str, rollout: Rollout | None) -> None:
        self.met[event, "idle" if rollout is None else rollout.state.value] += 1

    # Its life.

    async def live(self) -> None:
        """Begin, suffer, heal, go on, end."""
        everybody = [
            asyncio.create_task(work)
            for work in (self.monitoring.watch(), self.monitoring.deliver(), self._tick(), self._story())
        ]
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait({everybody[-1], over}, return_when=asyncio.FIRST_COMPLETED)
            if everybody[-1].done():
                everybody[-1].result()
        finally:
            over.cancel()
            self.operators.stop()
            for task in everybody:
                task.cancel()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.shop.step_seconds)
            self.shop.pass_time(asyncio.get_running_loop().time())
            self.checks.look()
            self.life.look()
            self.watching.look()
            while self.operators.told:
                self.tell(self.operators.told.pop(0))

    async def _story(self) -> None:
        for host in self.hosts:
            host.start()
        versions = tuple(version for version, _ in self.story.versions)
        rolling = asyncio.create_task(self.operators.roll_out(versions))
        for event in self.story.events:
            await asyncio.sleep(max(0.0, event.at - asyncio.get_running_loop().time()))
            self._meet(event.kind, self.truth.newest)
            self.faults.strike(event)
        await asyncio.sleep(max(0.0, STRESS_SECONDS - asyncio.get_running_loop().time()))
        rolling.cancel()
        self.faults.heal()
        self.tell("everything is healthy from here on")
        duty = asyncio.create_task(self.operators.on_duty())
        thaw = asyncio.create_task(self.life.lift_all())
        await asyncio.sleep(_HEAL_SECONDS)
        await self._is_over(_OVER_SECONDS)
        await self._last()
        duty.cancel()
        thaw.cancel()
        await self._until(lambda: not self.checks.open(self.reports), _REPORT_SECONDS)
        await self._until(lambda: not self.checks.untold(), _TELL_SECONDS)
        # What arrives twice arrives soon.
        await asyncio.sleep(_TWICE_SECONDS)
        self.life.answered()
        self.checks.told(self.reports)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until something holds; False when it does not in time."""
        for _ in range(int(seconds)):
            if condition():
                return True
            await asyncio.sleep(1)
        return condition()

    async def _is_over(self, seconds: float) -> Rollout | None:
        def over() -> bool:
            rollout = self.truth.newest
            return rollout is None or rollout.state in TERMINAL

        ended = await self._until(over, seconds)
        rollout = self.truth.newest
        if not ended and rollout is not None:
            self.checks.fail("what has begun ends in time", f"{rollout.id} is {rollout.state.value}")
        return rollout

    async def _last(self) -> None:
        """One more rollout, undisturbed."""
        rollout = self.truth.newest
        if rollout is not None and rollout.state is State.PROMOTED:
            self.checks.ended(rollout, self.truth.wrong.get(rollout.canary, ""), undisturbed=False)
        self.tell(f"the last rollout begins ({self.story.last or 'healthy'})")
        if not await self._finished():
            return
        if any(event.kind == LIFE for event in self.story.events):
            await self.life.silence("people", _FRESH_SECONDS)
        begun = len(self.truth.rollouts)
        until = asyncio.get_running_loop().time() + 30.0
        while len(self.truth.rollouts) == begun and asyncio.get_running_loop().time() < until:
            await self.operators.give("start", "ann", canary="last")
            await asyncio.sleep(1.5)
        if len(self.truth.rollouts) == begun:
            self.checks.fail("a rollout can be started", "the last was refused for 30s")
            return
        seconds = _FRESH_SECONDS
        self.checks.ended(await self._is_over(seconds), self.story.last, undisturbed=True)
        await self._finished()

    async def _finished(self) -> bool:
        """What is promoted is finished, in a healthy world, in its time."""

        def promoted() -> bool:
            rollout = self.truth.newest
            return rollout is not None and rollout.state in UNFINISHED

        until = asyncio.get_running_loop().time() + _FINISH_SECONDS
        while promoted() and not self.checks.broken and asyncio.get_running_loop().time() < until:
            await self.operators.finish()
            await asyncio.sleep(1.5)
        if promoted() and self.truth.newest is not None:
            self.checks.fail("a promoted release is finished in time", f"{self.truth.newest.id} is not")
        return not promoted()


def _more(entry: Entry) -> str:
    data = {name: value for name, value in entry.data().items() if name not in ("boot", "uptime_seconds", "request")}
    return " ".join(f"{name}={value}" for name, value in data.items() if name not in ("traffic", "durations_seconds"))


def _router_error(what: str) -> RouterError:
    return RouterError(what, place="router")


def _process_error(what: str) -> ProcessError:
    return ProcessError(what, place="process canary")


class _Listening(logging.Handler):
    """Hears of workers that broke, which the supervisor only writes into the log."""

    def __init__(self, broke: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._broke = broke

    def emit(self, record: logging.LogRecord) -> None:
        if "worker" in record.getMessage():
            self._broke(f"{record.getMessage()} {record.__dict__} {self.format(record)}"[:1500])


@contextmanager
def _worker_faults(broke: Callable[[str], None]) -> Iterator[None]:
    logger = logging.getLogger("canary")
    handler, level, passes = _Listening(broke), logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = passes
