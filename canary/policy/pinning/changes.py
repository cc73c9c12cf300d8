"""What differs between two policies, in words, and whether it makes the guard looser.

A running rollout may be amended. To guard its customers better nobody has to explain anything; to guard them less, a
person must say why. So each difference has a direction, found by a table of the keys whose direction is known: a limit
that rises is looser, a duration that grows is tighter. **What the table does not know counts as looser**: a key that is
added to the policy later, and forgotten here, then asks for a reason that was not needed, and never the other way
round.

Phases are compared by their share of traffic, not by their place: a phase that is inserted before another is one
difference, and does not make each later one look changed. What an earlier version has written is first read as this
one would have written it, or each key that was added or moved since would look like somebody's change.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from canary.policy.pinning.digest import Data
from canary.policy.pinning.pinned import as_written_now
from canary.policy.schema import written
from canary.units import format_ratio

Place = tuple[str, ...]


class Effect(StrEnum):
    """What a difference does to the guard."""

    TIGHTER = "tighter"
    LOOSER = "looser"
    NONE = "for information"


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        place: keys from the top; phases are named by their share.
        before, after: as a policy writes them; empty where there is nothing.
    """

    place: Place
    before: str
    after: str
    effect: Effect

    def __str__(self) -> str:
        """As people read it."""
        name = ".".join(self.place)
        if not self.before:
            what = f"{name} added ({self.after})"
        elif not self.after:
            what = f"{name} removed (was {self.before})"
        else:
            what = f"{name} {self.before} -> {self.after}"
        return f"{what}, {self.effect}"


_UP: Final = (Effect.LOOSER, Effect.TIGHTER)
"""More is looser, less is tighter; to have none is the most."""
_DOWN: Final = (Effect.TIGHTER, Effect.LOOSER)
"""More is tighter, less is looser; to have none is the least."""
_NEITHER: Final = (Effect.NONE, Effect.NONE)

_Direction = tuple[Effect, Effect]

_NUMBERS: Final[Mapping[Place, _Direction]] = {
    ("kpis", "*", "tolerance"): _UP,
    ("kpis", "*", "floor"): _DOWN,
    ("kpis", "*", "target"): _NEITHER,
    ("signals", "minimum_requests"): _UP,
    **{
        ("signals", "critical", key): _UP
        for key in ("error_rate", "response_time", "memory", "database_connection_failures", "hold_for")
    },
    **{("signals", "warning", key): _UP for key in ("error_rate", "response_time", "hold_for")},
    **{
        ("signals", "info", key): _NEITHER
        for key in ("enabled", "error_rate", "response_time", "cpu", "memory", "disk", "hold_for")
    },
    **{
        ("signals", "against_stable", key): _UP
        for key in (
            "error_rate_factor", "error_rate_difference", "response_time_factor", "response_time_difference",
            "hold_for",
        )
    },
    ("phases", "*", "duration"): _DOWN,
    ("phases", "*", "max_duration"): _UP,
    ("phases", "*", "gate", "approvers"): _DOWN,
    ("rollback", "countdown"): _UP,
    ("rollback", "converge"): _UP,
    ("rollback", "watch"): _DOWN,
    ("evidence", "minimum_units"): _DOWN,
    ("evidence", "sample_above"): _DOWN,
    ("evidence", "staleness"): _UP,
    ("evidence", "mismatch"): _UP,
    ("evidence", "unknown"): _UP,
}  # fmt: skip
"""Keys with a number, by what a larger and a smaller one does."""

_CHOICES: Final[Mapping[Place, tuple[Any, ...]]] = {
    ("kpis", "*", "action"): ("rollback", "hold", "warn"),
    ("signals", "critical", "enabled"): (True, False),
    ("signals", "warning", "enabled"): (True, False),
    ("signals", "against_stable", "enabled"): (True, False),
    ("phases", "*", "advance"): ("when_proven", "on_schedule"),
    ("rollback", "automatic"): (True, False),
    ("rollback", "dry_run"): (False, True),
}
"""Keys with a choice, the tightest first."""

_PARTS: Final = frozenset({("kpis", "*"), ("phases", "*"), ("plans", "*"), ("phases", "*", "gate")})
"""What is there or not as a whole: to add one is tighter, to remove one is looser."""


def changes(before: Data, after: Data) -> tuple[Change, ...]:
    """Every difference between what decides in two policies, as `canary.policy.pinning.digest.deciding` gives it."""
    if before == after:
        return ()
    signals = _signals(before, after)
    before, after = as_written_now(before), as_written_now(after)
    return (*signals, *_compared((), _by_share(before), _by_share(after), ""))


def _signals(before: Data, after: Data) -> Iterator[Change]:
    """Whether errors and response times are watched at all; the journal of an earlier version does not say."""
    was, now = (data.get("technical") for data in (before, after))
    if None in (was, now) or was == now:
        return
    there = "as a section"
    yield Change(("signals",), "", there, Effect.TIGHTER) if now else Change(("signals",), there, "", Effect.LOOSER)


def _by_share(data: Data) -> dict[str, Any]:
    """The data with lists of phases as mappings from their share, and without what is compared apart."""
    shown = {key: value for key, value in data.items() if key != "technical"}
    if "phases" in data:
        shown["phases"] = _phases(data["phases"])
    if "plans" in data:
        shown["plans"] = {name: _phases(phases) for name, phases in data["plans"].items()}
    return shown


def _phases(phases: Any) -> dict[str, Any]:
    return {
        format_ratio(phase["traffic"]): {key: value for key, value in phase.items() if key != "traffic"}
        for phase in phases
    }


def _compared(place: Place, before: Any, after: Any, kind: str) -> Iterator[Change]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {**before, **after}:
            kind_there = str(after.get(key, {}).get("kind", "")) if place == ("kpis",) and key in after else kind
            yield from _compared((*place, key), before.get(key), after.get(key), kind_there)
        return
    yield Change(place, _text(place, before, kind), _text(place, after, kind), _effect(_known(place), before, after))


def _known(place: Place) -> Place:
    """The place as the tables have it: names of KPIs, phases and plans as `*`, a plan's phases as the plan `normal`."""
    if place[:1] == ("plans",) and len(place) > 2:
        place = ("phases", *place[2:])
    return (place[0], "*", *place[2:]) if place[0] in ("kpis", "phases", "plans") and len(place) > 1 else place


def _effect(place: Place, before: Any, after: Any) -> Effect:
    if place in _PARTS and before is None:
        return Effect.TIGHTER
    if place == ("phases", "*", "gate") and before == "manual" and isinstance(after, Mapping) and "approvers" in after:
        # A name that somebody says of themselves was enough before.
        return Effect.TIGHTER
    if place in _NUMBERS:
        more, less = _NUMBERS[place]
        missing = float("inf") if more is Effect.LOOSER else float("-inf")
        low, high = (missing if value is None else value for value in (before, after))
        return more if high > low else less
    if place in _CHOICES and {before, after} <= set(_CHOICES[place]):
        order = _CHOICES[place]
        return Effect.LOOSER if order.index(after) > order.index(before) else Effect.TIGHTER
    return Effect.LOOSER


def _text(place: Place, value: Any, kind: str) -> str:
    """The value as a policy writes it; of what is there as a whole only what tells it from others."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        known = {key: one for key, one in value.items() if one is not None and not isinstance(one, Mapping | list)}
        return ", ".join(f"{key} {_text((*place, key), one, kind)}" for key, one in known.items()) or "as a section"
    steps: tuple[str | int, ...] = place
    if place[0] == "phases" and len(place) > 1:
        steps = ("phases", 0, *place[2:])
    elif place[0] == "plans" and len(place) > 2:
        steps = ("phases", 0, *place[3:])
    return written(steps, value, kind=kind)
