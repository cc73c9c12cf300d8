"""What really is: the journal as it stands in the table, and what each part of the world has really done."""

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field

from canary.policy.routers.slots import Slot
from canary.rollout.entries import Entry, Held
from canary.rollout.folding import fold, newest
from canary.rollout.plan.planentries import Amended
from canary.rollout.state import Rollout

Wanted = tuple[str, float]
"""A rollout and the share that it should have."""

# More changes than any question looks back over (`wanted_within`).
_KEPT = 200


def wanted_of(rollout: Rollout | None) -> Wanted:
    """What a rollout asks of the routers, said anew here, so that the receiver's own idea of it is checked too."""
    return ("none", 0.0) if rollout is None else (rollout.id, rollout.weight)


@dataclass
class Truth:
    """Kept up to date by the world.

    Attributes:
        wrong: by version, what is wrong with it.
        rollouts: the journal, folded.
        versions: the version of each rollout that ever was.
        heard: by machine, when a heartbeat last arrived there.
        confirmed: by machine, rollout and phase, when Alertmanager's word for the advance last arrived there.
        complete_at: by rollout and phase, when Prometheus last showed the phase complete and nothing against it.
        fired: alerts that fired, by name and rollout, with the last moment.
        forged: alerts that a stranger sent, as fired.
        typed: by request key, what its author saw.
        acted: rollouts that a receiver rolls back although the journal has not taken it.
        held: rollouts that a receiver holds although the journal has not taken it.
        overridden: rollouts about which people took the decision away from the machine.
        exposed: by rollout, for how many seconds it had customers.
        counting: by rollout, when a receiver first knew of its present countdown.
        asked: rollbacks asked for at a receiver that knew the rollout, by both, with the moment.
        silenced: by what a silence is about (`rollback`, `hold`, or people only), from when until when.
        lowered_by_hand: routers that somebody lowered, or that once claimed to have less than they had.
        phase_since: by rollout and phase, when it began.
    """

    wrong: dict[str, str] = field(default_factory=dict)
    rollouts: dict[str, Rollout] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    entries: list[tuple[float, Entry]] = field(default_factory=list)
    heard: dict[str, float] = field(default_factory=dict)
    confirmed: dict[tuple[str, str, int], float] = field(default_factory=dict)
    complete_at: dict[tuple[str, int], float] = field(default_factory=dict)
    fired: dict[tuple[str, str], float] = field(default_factory=dict)
    forged: dict[tuple[str, str], float] = field(default_factory=dict)
    typed: dict[str, str] = field(default_factory=dict)
    acted: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    overridden: set[str] = field(default_factory=set)
    exposed: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    counting: dict[str, float] = field(default_factory=dict)
    asked: dict[tuple[str, str], float] = field(default_factory=dict)
    silenced: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    lowered_by_hand: set[str] = field(default_factory=set)
    phase_since: dict[tuple[str, int], float] = field(default_factory=dict)
    _wanted: deque[tuple[float, Wanted]] = field(default_factory=lambda: deque([(0.0, ("none", 0.0))], _KEPT))

    @property
    def newest(self) -> Rollout | None:
        """The rollout that began last."""
        return newest(self.rollouts)

    @property
    def stable_slot(self) -> Slot | None:
        """With `router.slots`, the one that is stable by the journal; None without, and before the first rollout."""
        return None if self.newest is None else self.newest.stable_slot

    def take(self, entry: Entry) -> None:
        """An entry has become part of the journal."""
        now = asyncio.get_running_loop().time()
        self.entries.append((now, entry))
        before = self.rollouts.get(entry.rollout)
        self.rollouts = fold([entry], self.rollouts)
        if isinstance(entry, Amended) and before is not None:
            # The present phase may have another place in the new plan, and has begun when it began.
            began = self.phase_since.get((before.id, before.phase), now)
            self.phase_since = {key: at for key, at in self.phase_since.items() if key[0] != before.id}
            self.phase_since[before.id, self.rollouts[before.id].phase] = began
        rollout = self.rollouts.get(entry.rollout)
        if rollout is not None:
            self.versions[rollout.id] = rollout.canary
            self.phase_since.setdefault((rollout.id, rollout.phase), now)
        self._note(now)

    def reread(self, entries: list[Entry]) -> None:
        """The table is another one."""
        kept = {entry.seq for entry in entries}
        self.entries = [(at, entry) for at, entry in self.entries if entry.seq in kept]
        self.rollouts = fold(entries)
        # A countdown that was ended since goes on as if nobody had ended it.
        counting = {one.id for one in self.rollouts.values() if one.rollback_at is not None}
        self.counting = {
            entry.rollout: at
            for at, entry in self.entries
            if entry.rollout in counting and isinstance(entry, Held) and entry.rollback_at is not None
        }
        self._note(asyncio.get_running_loop().time())

    def _note(self, now: float) -> None:
        wanted = wanted_of(self.newest)
        if self._wanted[-1][1] != wanted:
            self._wanted.append((now, wanted))

    def wanted_within(self, seconds: float) -> set[Wanted]:
        """Everything that the journal wanted at any moment of the last *seconds*."""
        since = asyncio.get_running_loop().time() - seconds
        found = {self._wanted[-1][1]}
        for (_, wanted), (until, _) in zip(list(self._wanted), list(self._wanted)[1:], strict=False):
            if until >= since:
                found.add(wanted)
        return found
