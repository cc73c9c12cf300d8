"""What journals mean, as text: stories of all kinds of entries, and what each entry makes of its rollout.

A journal outlives the version that wrote it. The stories are drawn from seeds: whatever an entry says, in whatever
state, also where it does not fit. `make golden` renews the text; a test compares, so that a change of what an older
journal means is seen in a review, line by line.
"""

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from canary.policy.routers.slots import Slot
from canary.rollout import entries as kinds
from canary.rollout.entries import Entry
from canary.rollout.folding import fold
from canary.rollout.kinds import Category, Cause, Step
from canary.rollout.passport import Passport
from canary.rollout.plan.planentries import Amended, Approved
from canary.rollout.state import Finishing, Moment, Rollout, State, Timer, Weight

_NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
_STORIES = 32
_LENGTH = 36
_OVER = frozenset({State.ROLLED_BACK, State.FAILED, State.FINISHED})
_AFTERWARDS = 4
"""So many entries may follow the end of a story: what comes late must change nothing."""
_TRAFFIC, _DURATIONS_SECONDS = (0.05, 0.25, 0.5, 1.0), (300.0, 900.0, 1200.0, 1800.0)
_HOLDS = (Cause.MANUAL, Cause.BY_HAND, Cause.SERVERS, "CanaryBlind")

_USUAL: dict[State, tuple[type[Entry], ...]] = {
    State.PHASE: (kinds.Advanced, kinds.Held, Approved, kinds.Elapsed, kinds.Recorded),
    State.HOLDING: (kinds.Resumed, kinds.Held, kinds.Advanced),
    State.BAKING: (kinds.Promoted, kinds.Promoted, kinds.Held),
    State.PROMOTED: (kinds.FinishBegan, kinds.FinishBegan, kinds.Finished, kinds.Held),
    State.FINISHING: (
        kinds.FinishStepped,
        kinds.FinishStepped,
        kinds.Held,
        kinds.Resumed,
        kinds.FinishReturned,
        kinds.Finished,
    ),
    State.ROLLING_BACK: (kinds.StepDone, kinds.RolledBack, kinds.Failed),
}
"""What the receiver writes in a state; so stories come into every one."""
_ANY: tuple[type[Entry], ...] = (
    kinds.Advanced, kinds.Held, kinds.Resumed, kinds.Promoted, kinds.FinishBegan, kinds.FinishStepped,
    kinds.FinishReturned, kinds.Finished, kinds.RollbackDecided, kinds.StepDone, kinds.RolledBack, kinds.Failed,
    kinds.Notified, kinds.Recorded, kinds.Elapsed, kinds.Note, Amended, Approved,
)  # fmt: skip
_UNUSUAL_RATIO = 0.25


def folding() -> str:
    """Every story, an entry a line, and below it what it changed."""
    return "".join(f"{line}\n" for seed in range(_STORIES) for line in _story(seed))


def _story(seed: int) -> Iterator[str]:
    random = Random(seed)  # noqa: S311  # a story, no secret
    slot: Slot | None = "a" if seed % 4 == 3 else None
    known: dict[str, Rollout] = {}
    yield f"story {seed}"
    over = 0
    for seq in range(1, _LENGTH):
        before = known.get("r1")
        over += before is not None and before.state in _OVER
        if over > _AFTERWARDS:
            return
        entry = _beginning(random, slot) if before is None else _next(random, before)
        moment = _NOON + timedelta(seconds=60 * seq + random.randint(0, 30))
        entry = replace(
            entry, at=moment, seq=seq, boot=random.choice("xy"), uptime_seconds=float(random.randint(1, 900)),
            actor=random.choice(("ann", "bob")), reason=f"because {seq}",
        )  # fmt: skip
        known = fold([entry], known)
        yield f"  {seq} {entry.kind.value} {_said(entry)}".rstrip()
        yield from (f"      {change}" for change in _changes(before, known["r1"]))


def _next(random: Random, rollout: Rollout) -> Entry:
    usual = random.random() >= _UNUSUAL_RATIO
    return _drawn(random, random.choice(_USUAL.get(rollout.state, _ANY) if usual else _ANY), rollout)


def _beginning(random: Random, slot: Slot | None) -> Entry:
    said: dict[str, Any] = {
        "stable": "v1.0", "canary": "v2.0", "traffic": _TRAFFIC, "durations_seconds": _DURATIONS_SECONDS,
        "plan": random.choice(("normal", "hotfix")), "digest": "d1", "policy": {"service": "shop"}, "stable_slot": slot,
        "passport": Passport(drill="passed"),
    }  # fmt: skip
    if random.random() < 0.3:
        weight = random.choice((0.0, 0.03, 0.3, 1.0))
        return kinds.Adopted(rollout="r1", at=_NOON, actor="", **said, weight=weight, salts=(7, 9))
    return kinds.Started(rollout="r1", at=_NOON, actor="", **said)


def _drawn(random: Random, kind: type[Entry], rollout: Rollout) -> Entry:
    """An entry of a kind, with whatever it may say; sometimes what does not fit."""
    weight = random.choice((None, 0.0, 0.02, 0.3, 1.0))
    chance = random.random() < 0.5
    ends_at = random.choice((None, None, _NOON + timedelta(minutes=random.randint(0, 60))))
    cause = random.choice(_HOLDS)
    phase = random.choice((rollout.phase, rollout.phase + 1, rollout.phase + 1, -1))
    said: dict[type[Entry], dict[str, Any]] = {
        kinds.Advanced: {"phase": phase},
        kinds.Held: {"cause": cause, "lifts": chance, "rollback_at": ends_at, "weight": weight},
        kinds.FinishBegan: {"weights": (0.5, 0.1, 0.0), "step_seconds": 60.0, "unverified": chance},
        kinds.FinishStepped: {"step": random.randint(0, 3)},
        kinds.RollbackDecided: {"cause": "CanaryHighErrorRate", "category": Category.CODE},
        kinds.StepDone: {"step": random.choice(tuple(Step))},
        kinds.Notified: {"entry": random.randint(1, 5), "targets": (random.choice("pq"),), "expired": chance},
        kinds.Recorded: {"key": random.choice(("gate:0", "gate:1", "dry_run:x"))},
        kinds.Elapsed: {"phase": phase, "seconds": float(random.randint(1, 500))},
        Amended: {
            "phase": random.choice((0, 1, 2, -1)), "traffic": (0.1, 1.0), "durations_seconds": (60.0, 120.0),
            "digest": "d2", "policy": {"service": "shop", "tight": True},
        },
        Approved: {"approver": random.choice(("carl", "dora")), "target": rollout.phase + 1},
    }  # fmt: skip
    return kind(rollout="r1", at=_NOON, actor="", **said.get(kind, {}))


_SHARED = frozenset(field.name for field in fields(Entry)) - {"boot", "uptime_seconds"}


def _said(entry: Entry) -> str:
    return " ".join(f"{one.name}={_text(getattr(entry, one.name))}" for one in fields(entry) if one.name not in _SHARED)


def _changes(before: Rollout | None, after: Rollout) -> Iterator[str]:
    for one in fields(after):
        value = getattr(after, one.name)
        if (value if before is None else getattr(before, one.name) != value) or (before is None and value == 0.0):
            yield f"{one.name} = {_text(value)}"


def _text(value: object) -> str:
    """Short, and the same in every process: a set has no order of its own."""
    match value:
        case datetime():
            return f"{value:%H:%M:%S}"
        case Moment():
            return f"{value.at:%H:%M:%S}/{value.boot}+{value.uptime_seconds:g}s"
        case Timer():
            return f"{value.seconds:g}s at {value.boot}+{value.uptime_seconds:g}s"
        case Weight():
            return f"{value.ratio:g} from {value.since:%H:%M:%S}"
        case Finishing() | Passport():
            return " ".join(f"{one.name}={_text(getattr(value, one.name))}" for one in fields(value))
        case frozenset():
            return f"{{{', '.join(sorted(map(_text, value)))}}}"
        case tuple():
            return f"({', '.join(map(_text, value))})"
        case dict():
            return f"{{{', '.join(f'{key}: {_text(one)}' for key, one in value.items())}}}"
    return str(value)
