"""No order of alerts, commands, restarts and time harms customers: the receiver's deciding parts, driven at random.

Everything that decides is real (store, alert handler, promoter, deadlines, journal in SQLite); only the clock
and what Prometheus says are the test's.
"""

import asyncio
import json
import math
from collections.abc import Awaitable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import create_async_engine

from alertmanager.receiver.act.splits import wanted_split
from alertmanager.receiver.act.trust import Trust
from alertmanager.receiver.decide.alerts.alerthandler import AlertHandler
from alertmanager.receiver.decide.commands import Commands, Request
from alertmanager.receiver.decide.deadlines import Deadlines
from alertmanager.receiver.decide.freezes import Freezes
from alertmanager.receiver.decide.pauses import Pauses
from alertmanager.receiver.decide.promotion.phasetimer import PhaseTimer
from alertmanager.receiver.decide.promotion.promoter import Promoter
from alertmanager.receiver.decide.promotion.waiting import Reason, Waiting, undelivered
from alertmanager.receiver.decide.watchdog import Watchdog
from alertmanager.receiver.http.webhook import parse
from alertmanager.receiver.lead.leader import FileLeader
from alertmanager.receiver.metrics import Metrics
from canary import names
from canary.errors import CanaryError
from canary.policy.gates import UrlGate
from canary.policy.model import Policy
from canary.policy.release import Receiver, Rollback
from canary.policy.release import Watchdog as WatchdogSection
from canary.rollout.commands.records import CompleteRollback
from canary.rollout.commands.seen import Seen
from canary.rollout.journal import journal as journals
from canary.rollout.journal.journal import Journal
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout, State
from canary.rollout.store.store import RolloutStore
from tests.support.clock import FakeClock
from tests.support.receiving.acting import make_effects
from tests.support.receiving.receiver import SERVICE, alert, payload
from tests.support.web.servers import departure

T = TypeVar("T")

POLICIES = [
    Policy(service=SERVICE),
    Policy(service=SERVICE, rollback=Rollback(countdown=30)),
    Policy(service=SERVICE, rollback=Rollback(automatic=False)),
    Policy(service=SERVICE, rollback=Rollback(dry_run=True)),
    Policy(service=SERVICE, receiver=Receiver(watchdog=WatchdogSection(timeout=60, then=60, up_to=1.0))),
]
ROLLING = (State.ROLLING_BACK, State.ROLLED_BACK, State.FAILED)


class WallClock(FakeClock):
    """A clock whose wall time somebody sets."""

    def set_wall(self, seconds: float) -> None:
        """Set it forward or back; no time passes."""
        self._now += timedelta(seconds=seconds)


class Machine(RuleBasedStateMachine):
    """Random lives of a receiver, checked after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = WallClock()
        self.complaint = ""
        self.complete = False
        self.rolled_back: set[str] = set()
        self.rollouts: list[str] = ["v0-never"]
        self.weight = 0.0
        self.raise_allowed = False
        self.phase_since = self.clock.monotonic()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something asynchronous to its end."""
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        """Close everything."""
        self.run(self.engine.dispose())
        self.run(asyncio.sleep(0))
        self.loop.close()

    @initialize(policy=st.sampled_from(POLICIES))
    def begin(self, policy: Policy) -> None:
        """A receiver with an empty journal."""
        self.policy = policy
        self.engine = create_async_engine("sqlite+aiosqlite:///:memory:")

        async def create() -> None:
            async with self.engine.begin() as connection:
                await connection.run_sync(journals.METADATA.create_all)

        self.run(create())
        self.restart()
        self.start()

    @precondition(lambda self: self.rollout is None or not self.rollout.running)
    @rule()
    def start(self) -> None:
        """A rollout begins, unless one is being rolled back."""
        self.clock.advance(1)
        self.raise_allowed = True
        self.attempt(
            self.commands.submit(
                Request("start", "ann", canary="v2.0", stable="v1.0", seen=Seen.of(self.store.rollout))
            )
        )

    @rule()
    def restart(self) -> None:
        """The receiver dies and comes back; only the journal is left."""
        self.store = RolloutStore(Journal(self.engine, SERVICE), self.clock)
        leader = FileLeader(None, self.clock)
        pauses = Pauses(self.store, self.clock, asks_seconds=0, longest_seconds=math.inf)
        self.watchdog = Watchdog(self.policy.receiver.watchdog, self.clock, pauses)
        self.store.listen(self.watchdog.notice)
        timer = PhaseTimer(self.store, leader, self.clock)
        plans = Plans(self.policy)
        freezes = Freezes(Receiver(), self.store, self.clock)
        self.promoter = Promoter(
            plans,
            self.store,
            leader,
            timer,
            self.clock,
            freezes,
            objection=self.objection_with_key,
            gate=self.open_gate,
            undelivered=self.undelivered,
        )
        self.handler = AlertHandler(plans, self.store, on_key=self.promoter.confirm, on_heartbeat=self.heard)
        self.deadlines = Deadlines(plans, self.store, self.watchdog, leader, self.clock, freezes, pauses)
        metrics = Metrics(CollectorRegistry(), SERVICE)
        effects, trust = make_effects(self.store, leader), Trust(self.policy, self.store, dict)
        servers = departure(plans, self.store, effects)
        self.commands = Commands(plans, self.store, effects, metrics, self.objection, trust, freezes, servers)
        self.run(self.store.refresh())

    def heard(self) -> None:
        """The heartbeat has come."""
        self.watchdog.hear()

    async def objection(self, rollout: Rollout) -> str:
        """What Prometheus says to a person's order."""
        return self.complaint

    async def objection_with_key(self, rollout: Rollout) -> Waiting | None:
        """What Prometheus says to Alertmanager's key."""
        text = self.complaint or ("" if self.complete else "Prometheus to show it complete")
        return Waiting(Reason.PROMETHEUS, text) if text else None

    async def undelivered(self, _rollout: Rollout) -> Waiting:
        """Nobody has silenced anything."""
        return undelivered(None, "")

    async def open_gate(self, gate: UrlGate) -> str:
        """A gate that never objects."""
        return ""

    @property
    def rollout(self) -> Rollout | None:
        """The rollout as the receiver has it."""
        return self.store.rollout

    # What Prometheus sees.

    @rule(complaint=st.sampled_from(["", "CanaryHighErrorRate fires", "Prometheus is unreachable"]))
    def prometheus_sees(self, complaint: str) -> None:
        """The canary breaks a limit, or recovers, or Prometheus is away."""
        self.complaint = complaint

    @rule(complete=st.booleans())
    def prometheus_shows(self, complete: bool) -> None:
        """The advance alert fires in Prometheus, or not."""
        self.complete = complete

    # What arrives.

    @rule(
        action=st.sampled_from(["rollback", "hold", "advance", "advance", "none"]),
        status=st.sampled_from(["firing", "resolved"]),
        which=st.sampled_from(["this", "other"]),
        phase=st.sampled_from(["this", "other", "unsaid"]),
        early=st.booleans(),
        truncated=st.sampled_from([0, 0, 0, 5]),
    )
    def webhook(self, action: str, status: str, which: str, phase: str, early: bool, truncated: int) -> None:
        """Any alert, of this or another rollout and phase, firing or not, old or new, whole or cut."""
        rollout = self.rollout
        of = rollout.id if rollout and which == "this" else self.rollouts[0]
        names_of = {"rollback": "CanaryHighErrorRate", "hold": "CanaryBlind", "advance": names.PHASE_COMPLETE}
        at = rollout.phase if rollout else 0
        labels = {} if phase == "unsaid" else {names.PHASE: str(at if phase == "this" else at + 1)}
        starts_at = self.clock.now() if not early else FakeClock().now()
        sent = alert(names_of.get(action, "CanarySlow"), action, of, status=status, starts_at=starts_at, **labels)
        notification = parse(json.dumps(payload(sent, truncatedAlerts=truncated)).encode())
        self.raise_allowed = False
        self.run(self.handler.take(notification.alerts, actor="alertmanager", truncated=truncated > 0))
        foreign = rollout is None or of != rollout.id or status == "resolved" or phase == "other"
        assert not foreign or self.rollout == rollout, "an alert that does not count has changed something"

    @rule(elapsed_ratio=st.sampled_from([0.1, 0.9, 1.1]))
    def phase_nearly_over(self, elapsed_ratio: float) -> None:
        """All goes well in Prometheus and Alertmanager, sooner or later than the phase's time is over."""
        rollout = self.rollout
        self.raise_allowed = False
        if rollout is None:
            return
        self.complaint, self.complete = "", True
        self.clock.advance(elapsed_ratio * rollout.durations_seconds[rollout.phase])
        self.watchdog.hear()
        sent = alert(names.PHASE_COMPLETE, "advance", rollout, starts_at=self.clock.now(), phase=str(rollout.phase))
        notification = parse(json.dumps(payload(sent)).encode())
        self.run(self.handler.take(notification.alerts, actor="alertmanager"))

    @rule()
    def heartbeat(self) -> None:
        """The watchdog is heard."""
        self.heard()

    # What time brings.

    @rule(seconds=st.sampled_from([0.5, 10, 61, 301, 901, 1900]))
    def time_passes(self, seconds: float) -> None:
        """Time passes, and the deadlines look."""
        self.clock.advance(seconds)
        self.raise_allowed = False
        self.run(self.deadlines.step())

    @rule(seconds=st.sampled_from([-3600.0, -30.0, 30.0]))
    def clock_jumps(self, seconds: float) -> None:
        """Somebody sets the machine's clock; no phase becomes shorter or longer by that."""
        self.clock.set_wall(seconds)

    @rule()
    def try_to_advance(self) -> None:
        """The promoter looks; only Prometheus' key, with nothing wrong, may let it raise the share."""
        rollout = self.rollout
        lasted = self.clock.monotonic() - self.phase_since
        over = rollout is not None and lasted >= rollout.durations_seconds[rollout.phase] - 0.001
        self.raise_allowed = self.complete and not self.complaint and over
        self.run(self.promoter.step())

    # What people do.

    @rule(
        verb=st.sampled_from(["start", "hold", "resume", "resume", "resume", "advance", "promote", "rollback"]),
        force=st.booleans(),
        stale=st.booleans(),
    )
    def person(self, verb: str, force: bool, stale: bool) -> None:
        """Any command, fitting or not, from the present picture or an older one."""
        seen = Seen.of(self.rollout)
        if stale and seen.decision:
            seen = Seen(seen.rollout, seen.decision - 1)
        request = Request(verb, "ann", "because", canary="v2.0", stable="v1.0", force=force, seen=seen)
        raising = verb == "start" or (verb in ("advance", "promote") and (force or not self.complaint))
        self.raise_allowed = raising and not stale
        self.clock.advance(1)
        self.attempt(self.commands.submit(request))

    @precondition(lambda self: self.rollout is not None and self.rollout.state is State.ROLLING_BACK)
    @rule(give_up=st.booleans())
    def rollback_ends(self, give_up: bool) -> None:
        """The reconciler has done its work, or a person has given up."""
        self.raise_allowed = False
        rollout = self.rollout
        assert rollout is not None
        if give_up:
            self.attempt(
                self.commands.submit(Request("rollback", "ann", "by hand", give_up=True, seen=Seen.of(rollout)))
            )
            return

        self.run(self.store.propose(None, CompleteRollback(rollout=rollout.id, decision=rollout.decision)))

    def attempt(self, work: Awaitable[object]) -> None:
        """Do it, or be refused."""

        async def attempted() -> None:
            try:
                await work
            except CanaryError:
                self.raise_allowed = False

        self.run(attempted())

    # What must hold.

    @invariant()
    def nobody_on_a_rolled_back_canary(self) -> None:
        """A rollout that was rolled back never gets customers again."""
        rollout = getattr(self, "store", None) and self.rollout
        if not rollout:
            return
        if rollout.id not in self.rollouts:
            self.rollouts.append(rollout.id)
        if rollout.state in ROLLING:
            self.rolled_back.add(rollout.id)
        if rollout.id in self.rolled_back:
            assert wanted_split(rollout).weight_ratio == 0
            assert rollout.state in ROLLING

    @invariant()
    def shares_only_grow_with_all_keys(self) -> None:
        """The share grew only when Prometheus agreed and the time was over, or a person had the right to."""
        weight = wanted_split(self.rollout).weight_ratio if hasattr(self, "store") else 0.0
        if weight > self.weight:
            lasted = self.clock.monotonic() - self.phase_since
            assert self.raise_allowed, f"{self.weight} -> {weight} after {lasted!r} s"
            self.phase_since = self.clock.monotonic()
        self.weight = weight

    @invariant()
    def the_journal_says_the_same(self) -> None:
        """What is acted upon is what is written."""
        if hasattr(self, "store"):
            written = self.run(Journal(self.engine, SERVICE).current())
            assert written == self.rollout


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
