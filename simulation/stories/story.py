"""What will happen in one world, drawn from its seed alone, before anything runs.

A story is a list of events, so that a failing one can be told, run again, and made shorter by leaving events out. The
latencies and the order within the loop come from other random numbers of the same seed: leaving an event out changes
when things happen, not what.
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from canary.policy.finish import Finish, Probe
from canary.policy.model import Notify, Policy, State
from canary.policy.release import Phase, Process, Receiver, Rollback, Upstreams, Watchdog
from canary.policy.routers.sections import CommandRouter

SERVICE = "shop"

STABLE, CANARY = "stable1", "canary1"
"""The hosts; each stands for its group."""

# Short phases make short rollouts: nothing in the receiver depends on how long they are but its own intervals.
PHASE_SECONDS = 20.0
# One in three phases is longer than the watchdog's timeout and than most faults.
_LONG_PHASE_SECONDS = 80.0
# A step of a finish lasts for one scrape at least.
_STEP_SECONDS = 6.0
# Some rollouts' length: with fewer seconds nothing is ever finished, with more a world costs more than it shows.
STRESS_SECONDS = 200.0
# Longer than a phase, and than the time after which the other receiver takes over.
_LONGEST_FAULT_SECONDS = 45.0
_LONG_PAUSE_SECONDS = (60.0, 140.0)
"""Every second pause lasts longer than the watchdog's times: what was not heard meanwhile is to be no silence."""
# On average one begins every half a minute, so that they overlap and still leave calm stretches between.
_MOST_FAULTS = 14


@dataclass(frozen=True)
class Event:
    """Something that happens to the world.

    Attributes:
        at: when, in seconds from the beginning.
        kind: one of `FAULTS` or `ACTS`.
        place: to which part; each kind has its own places.
        seconds: for how long.
        amount: how much, 0 to 1; each kind says of what.
    """

    at: float
    kind: str
    place: str
    seconds: float = 0.0
    amount: float = 0.0

    def __str__(self) -> str:
        lasts = f" for {self.seconds:.1f}s" if self.seconds else ""
        much = f" ({self.amount:.2f})" if self.amount else ""
        return f"{self.kind} {self.place}{lasts}{much}"


_HOSTS = ("a", "b")
_PEERS = ("journal", "prometheus", "alertmanager", "edge1", "edge2", "chat", "process")

FAULTS: dict[str, tuple[str, ...]] = {
    "kill": _HOSTS,
    "kill before": tuple(f"{host} {peer}" for host in _HOSTS for peer in ("journal", "edge1", "process", "chat")),
    "kill after": tuple(f"{host} {peer}" for host in _HOSTS for peer in ("journal", "edge1", "process", "chat")),
    "pause": _HOSTS,
    "reboot": _HOSTS,
    "cut": tuple(f"{host} {peer}" for host in _HOSTS for peer in _PEERS),
    "slow": _PEERS,
    "away": _PEERS,
    "lose answers": ("journal", "edge1", "edge2", "chat", "process"),
    "set clock": _HOSTS,
    "journal full": ("journal",),
    "journal refuses": ("journal",),
    "journal restored": ("journal",),
    "router restarts": ("edge1", "edge2"),
    "router forgets": ("edge1", "edge2"),
    "router remembers": ("edge1", "edge2"),
    "router lies": ("edge1", "edge2"),
    "router lowered by hand": ("edge1", "edge2"),
    "router raised by hand": ("edge1", "edge2"),
    "process refuses": ("process",),
    "server down": ("stable1",),
    "chat refuses": ("chat#1", "chat#2"),
    "prometheus restarts": ("prometheus",),
    "prometheus wrong": ("prometheus",),
    "prometheus empty": ("prometheus",),
    "scrape fails": ("a", "b", "exporter", "shop"),
    "alertmanager restarts": ("am1", "am2"),
    "alertmanager drops": ("am1", "am2"),
    "alertmanager delays": ("am1", "am2"),
    "alertmanager repeats": ("am1", "am2"),
    "alertmanager truncates": ("am1", "am2"),
    "silence advance": ("am1",),
    "forged advance": _HOSTS,
    "forged rollback": _HOSTS,
}
"""Kinds of fault, with the places where each may strike. `ann` and `bob` type in `ACTS`."""

ACTS: dict[str, tuple[str, ...]] = {
    "type": ("hold", "resume", "advance", "promote", "rollback", "give up", "start"),
    "type at once": ("advance advance", "promote hold", "advance rollback", "resume resume", "start start"),
    "finish": ("finish", "finish --back", "resume"),
    "type late": ("advance", "promote", "resume", "start", "give up"),
    "give up and start": ("ann",),
}
"""What people do: by one, by two in the same moment, by one who looked long ago, and by one who
gives the next rollback up and starts anew while it still goes on."""


@dataclass(frozen=True)
class Story:
    """One world's course.

    Attributes:
        seed: also of the latencies and the loop's order.
        policy: what the receivers are told to do.
        receivers: how many there are.
        skews, rates: of their clocks.
        versions: what is rolled out, in order: a version, and what is wrong with it (`""`, `errors`, `kpi`).
        events: oldest first.
        last: what is wrong with the version that is rolled out at the end, in a healthy world.
    """

    seed: int
    policy: Policy
    receivers: int
    skews: tuple[float, ...]
    rates: tuple[float, ...]
    versions: tuple[tuple[str, str], ...]
    events: tuple[Event, ...]
    last: str

    def without(self, index: int) -> "Story":
        """The same with one event less."""
        return replace(self, events=self.events[:index] + self.events[index + 1 :])


def draw(seed: int) -> Story:
    """The story of a seed."""
    random = Random(f"story {seed}")
    receivers = random.choice((1, 2, 2, 2))
    faults = [_fault(random, random.choice(tuple(FAULTS))) for _ in range(random.randrange(_MOST_FAULTS))]
    acts = [_act(random) for _ in range(random.choice((0, 0, 1, 2, 4)))]
    harm = [random.choice(("", "", "errors", "kpi")) for _ in range(4)]
    return Story(
        seed=seed,
        policy=_policy(random),
        receivers=receivers,
        skews=tuple(random.choice((0.0, random.uniform(-300, 300))) for _ in _HOSTS),
        rates=tuple(random.uniform(0.995, 1.005) for _ in _HOSTS),
        versions=tuple((f"v{number + 2}.0", wrong) for number, wrong in enumerate(harm)),
        events=tuple(sorted([*faults, *acts], key=lambda event: event.at)),
        last=random.choice(("", "errors", "kpi")),
    )


def _fault(random: Random, kind: str) -> Event:
    seconds = random.choice((random.uniform(0.05, 3), random.uniform(1, 15), random.uniform(5, _LONGEST_FAULT_SECONDS)))
    if kind == "pause" and random.random() < 0.5:
        seconds = random.uniform(*_LONG_PAUSE_SECONDS)
    at = random.uniform(0, STRESS_SECONDS - seconds)
    return Event(round(at, 3), kind, random.choice(FAULTS[kind]), round(seconds, 3), round(random.random(), 3))


def _act(random: Random) -> Event:
    kind = random.choice(tuple(ACTS))
    return Event(
        round(random.uniform(5, STRESS_SECONDS), 3), kind, random.choice(ACTS[kind]), 0, round(random.random(), 3)
    )


def _policy(random: Random) -> Policy:  # long: one policy, key by key
    # A leader marks how long the phase has lasted once a minute: some phases must be long enough for that.
    duration = random.choice((PHASE_SECONDS, PHASE_SECONDS, _LONG_PHASE_SECONDS))
    gates: tuple[Literal["manual"] | None, ...] = (None, None, None, "manual")
    gate = random.choice(gates)
    countdown = random.choice((0, 0, 0, 8))
    return Policy(
        service=SERVICE,
        state=State(url="postgresql://canary@db/canary"),
        phases=(
            Phase(traffic=0.05, duration=PHASE_SECONDS),
            Phase(traffic=0.5, duration=duration, gate=gate),
            Phase(traffic=1, duration=PHASE_SECONDS),
        ),
        rollback=Rollback(
            converge=30,
            countdown=countdown,
            automatic=random.random() < 0.9,
            dry_run=random.random() < 0.05,
        ),
        finish=Finish(steps=(0.5, 1), duration=_STEP_SECONDS),
        # What stands for the routers is given to the receivers; this says only which servers are behind them.
        router=tuple(
            CommandRouter(
                kind="command",
                name=name,
                set=("true",),
                read=("true",),
                upstreams=Upstreams(stable=(STABLE,), canary=(CANARY,)),
                probe=Probe(json="version"),
            )
            for name in ("edge1", "edge2")
        ),
        process=Process(kind="command", stop=("true",), drain=3, deploy_stable=("deploy",)),
        receiver=Receiver(
            prometheus="http://prometheus",
            alertmanager="http://alertmanager",
            poll=5,
            reconcile=random.choice((2, 5, 5)),
            repeat=20,
            watchdog=Watchdog(timeout=60, then=45, up_to=1.0),
        ),
        notify=Notify(expire=1800),
    )
