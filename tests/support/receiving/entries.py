"""Journal entries and rollouts as tests write them: by kind, with only what matters."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from canary.rollout.entries import Entry, Started
from canary.rollout.folding import fold, newest
from canary.rollout.journal.rows import KINDS, read
from canary.rollout.kinds import Kind
from canary.rollout.state import Rollout
from canary.timing.times import to_text


def entry(
    rollout: str,
    kind: Kind,
    at: datetime,
    actor: str,
    reason: str = "",
    data: Mapping[str, object] | None = None,
    seq: int = 0,
) -> Entry:
    """The entry that the journal gives for a row with these columns."""
    row = {"rollout": rollout, "kind": kind, "at": to_text(at), "actor": actor, "reason": reason, "seq": seq}
    return read({**row, "data": ""}, data or {}, KINDS)


def started(
    rollout: str,
    at: datetime,
    *,
    stable: str = "v1.0",
    canary: str = "v2.0",
    traffic: tuple[float, ...] = (0.05, 0.25, 0.5, 1.0),
    durations_seconds: tuple[float, ...] = (300, 900, 1200, 1800),
    actor: str = "ann",
) -> Started:
    """The entry that begins a rollout, by the strategy's phases."""
    return Started(
        rollout=rollout,
        at=at,
        actor=actor,
        reason=f"{canary} against {stable}",
        stable=stable,
        canary=canary,
        traffic=traffic,
        durations_seconds=durations_seconds,
    )


def rollout_of(entries: Iterable[Entry]) -> Rollout | None:
    """The newest rollout that entries describe."""
    return newest(fold(entries))
