"""Running many worlds: progress, what was exercised, and of each failure the shortest story that still fails."""

import gc
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from canary import names
from simulation.life import LIFE, with_life
from simulation.plans import PLAN, with_plans
from simulation.stories.losses import LOSS, with_loss
from simulation.stories.outages import with_outage
from simulation.stories.overruled import with_overruling
from simulation.stories.slots import with_slots
from simulation.stories.story import ACTS, FAULTS, Story, draw
from simulation.stories.watchers import WATCH, with_watchers
from simulation.world import Outcome, simulate

# A story of a dozen events is short after some dozen attempts; what is left then is what it takes.
_ATTEMPTS = 80


_OVERLAYS: tuple[Callable[[Story], Story], ...] = (with_plans, with_life)
# No multiple of three, so that shops with slots have each kind of people.
_SLOTS_EVERY = 5
# Neither of three nor of five.
_OUTAGE_EVERY = 16
# Nor any of these.
_LOSS_EVERY = 11
_OVERRULED_EVERY = 13
# Neither of two, nor of three, nor of five: shops of all kinds have them.
_WATCHERS_EVERY = 7


def story_of(seed: int) -> Story:
    """What happens in a seed's world: of three, one is as drawn, two have more people; of five, one has slots."""
    story = draw(seed)
    if seed % _WATCHERS_EVERY == 0:
        story = with_watchers(story)
    elif seed % 3 < len(_OVERLAYS):
        story = _OVERLAYS[seed % 3](story)
    story = story if seed % _SLOTS_EVERY else with_slots(story)
    if seed % _LOSS_EVERY == 0:
        return with_loss(story)
    if seed % _OVERRULED_EVERY == 0:
        return with_overruling(story)
    return story if seed % _OUTAGE_EVERY else with_outage(story)


def run(seed: int) -> Outcome:
    """Live the world of one seed."""
    return simulate(story_of(seed))


def shrink(outcome: Outcome) -> Outcome:
    """Leave out events one by one, from the last, as long as the same promise is broken."""
    promise = _promise(outcome)
    attempts, index = 0, len(outcome.story.events) - 1
    while index >= 0 and attempts < _ATTEMPTS:
        attempts += 1
        shorter = simulate(outcome.story.without(index))
        if shorter.broken and _promise(shorter) == promise:
            outcome = shorter
        index = min(index, len(outcome.story.events)) - 1
    return outcome


def _promise(outcome: Outcome) -> str:
    return outcome.broken[0].partition(":")[0]


@dataclass
class Summary:
    """What many worlds showed."""

    worlds: int = 0
    rollouts: int = 0
    steps: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    met: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """One more world."""
        self.worlds += 1
        self.rollouts += outcome.rollouts
        self.steps += outcome.steps
        self.faults += outcome.faults
        self.met += outcome.met
        if outcome.broken:
            self.failed[outcome.story.seed] = outcome.broken[0]

    def never(self) -> list[str]:
        """Kinds of event that were never drawn: what is not tried is not known."""
        return [kind for kind in (*FAULTS, *ACTS, LIFE, PLAN, WATCH, LOSS) if not self.faults[kind]]

    def lines(self) -> Iterator[str]:
        """For people."""
        rate = self.worlds / self.seconds if self.seconds else 0.0
        much = f"{self.worlds} worlds, {self.rollouts} rollouts, {self.steps} steps"
        yield f"{much} in {self.seconds:.0f}s ({rate:.1f} worlds/s)"
        yield "drawn: " + ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        events = sorted({event for event, _ in self.met})
        width = max(map(len, events), default=0)
        yield " " * width + "  " + " ".join(f"{state[:8]:>8}" for state in names.STATES)
        for event in events:
            yield f"{event:<{width}}  " + " ".join(f"{self.met[event, state] or '-':>8}" for state in names.STATES)
        if missing := self.never():
            yield f"NEVER DRAWN: {', '.join(missing)}"
        for seed, what in sorted(self.failed.items()):
            yield f"FAILED seed {seed}: {what[:300]}"
        yield f"{len(self.failed)} of {self.worlds} worlds failed"


def run_many(
    seeds: Iterable[int],
    *,
    workers: int = 1,
    progress: Callable[[Summary], None] | None = None,
    until_failure: bool = False,
) -> Summary:
    """Live many worlds, in several processes when asked."""
    summary, began = Summary(), time.monotonic()
    for outcome in _outcomes(seeds, workers):
        summary.add(outcome)
        summary.seconds = time.monotonic() - began
        if progress is not None:
            progress(summary)
        if until_failure and summary.failed:
            break
    return summary


def _outcomes(seeds: Iterable[int], workers: int) -> Iterator[Outcome]:
    if workers == 1:
        yield from map(_brief, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(workers, settle) as pool:
        yield from pool.imap_unordered(_brief, seeds, chunksize=4)


def settle() -> None:
    """What is imported stays: each world's rubbish is collected without going over it again."""
    gc.collect()
    gc.freeze()


def _brief(seed: int) -> Outcome:
    """Without what was told: nobody reads it, and it would have to travel between processes."""
    return replace(run(seed), told=[])


def describe(story: Story) -> Iterator[str]:
    """A story before it happens."""
    rollback = story.policy.rollback
    yield (
        f"seed {story.seed}: {story.receivers} receivers, countdown {rollback.countdown:g}s, "
        f"automatic {rollback.automatic}, dry run {rollback.dry_run}, gate {story.policy.phases[1].gate}"
    )
    yield "versions: " + ", ".join(f"{version} {wrong or 'healthy'}" for version, wrong in story.versions)
    for event in story.events:
        yield f"{event.at:8.2f}s  {event}"
