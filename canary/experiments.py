"""What is known of the policy's experiments over time: when each began, with which weights, and whether it was stopped.

Kept in the rollout's journal as a chain of its own, so that receiver, exporter and report agree across restarts.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from canary.errors import RefusedError
from canary.policy.model import Policy
from canary.rollout import Entry, Kind

CHAIN = "experiments"
"""The journal's chain that experiments are kept in."""


@dataclass(frozen=True)
class Weights:
    """Every variant's weight from a moment on."""

    since: datetime
    of: Mapping[str, float]

    def share(self, variant: str, control: str) -> float:
        """The variant's share of the users who get either it or the control, 0 to 1."""
        together = self.of.get(variant, 0.0) + self.of.get(control, 0.0)
        return self.of.get(variant, 0.0) / together if together else 0.0


@dataclass(frozen=True)
class Trial:
    """One experiment as the journal has it.

    Attributes:
        weights: over time, oldest first.
        stopped_at: since when everybody gets the control; None while it runs.
        reason: why it was stopped, for people.
    """

    name: str
    started_at: datetime
    weights: tuple[Weights, ...]
    stopped_at: datetime | None = None
    reason: str = ""
    actor: str = ""

    @property
    def running(self) -> bool:
        """Whether users are still assigned."""
        return self.stopped_at is None


def fold(entries: Iterable[Entry]) -> dict[str, Trial]:
    """Every experiment that the entries, oldest first, speak of, by name."""
    trials: dict[str, Trial] = {}
    for entry in entries:
        name = entry.rollout
        known = trials.get(name)
        if entry.kind is Kind.STARTED:
            trials[name] = Trial(name, entry.at, (Weights(entry.at, entry.data["weights"]),), actor=entry.actor)
        elif known is not None and entry.kind is Kind.ADVANCED:
            trials[name] = replace(known, weights=(*known.weights, Weights(entry.at, entry.data["weights"])))
        elif known is not None and entry.kind is Kind.HELD:
            trials[name] = replace(known, stopped_at=entry.at, reason=entry.reason, actor=entry.actor)
    return trials


def due(policy: Policy, trials: Mapping[str, Trial], *, at: datetime, actor: str) -> Iterator[Entry]:
    """Entries that the policy asks for: experiments that are new, or whose weights have changed.

    An experiment with other variants than before begins anew; so does one that was disabled or removed meanwhile.
    """
    for name, experiment in policy.experiments.items():
        known = trials.get(name)
        weights = {variant: arm.weight for variant, arm in experiment.variants.items()}
        if not experiment.enabled:
            if known is not None and known.running:
                yield Entry(name, Kind.HELD, at, actor, "disabled in the policy")
        elif known is None or known.weights[-1].of.keys() != weights.keys() or known.reason == "disabled in the policy":
            yield Entry(name, Kind.STARTED, at, actor, "begun", {"weights": weights})
        elif known.running and dict(known.weights[-1].of) != weights:
            yield Entry(name, Kind.ADVANCED, at, actor, "weights changed", {"weights": weights})


class Command(Protocol):
    """What a person or an alert may ask of an experiment."""

    def __call__(self, trials: Mapping[str, Trial], name: str, *, at: datetime, actor: str, reason: str) -> Entry:
        """The entry to append; raises RefusedError when it does not fit."""
        ...


def stop(trials: Mapping[str, Trial], name: str, *, at: datetime, actor: str, reason: str) -> Entry:
    """The entry that gives everybody the control.

    Raises:
        RefusedError: there is no such experiment, or it was stopped already.
    """
    known = trials.get(name)
    if known is None:
        raise RefusedError(f"no experiment {name!r}; known are {', '.join(sorted(trials)) or 'none'}")
    if not known.running:
        raise RefusedError(f"experiment {name} was stopped already ({known.reason})")
    return Entry(name, Kind.HELD, at, actor, reason)


def start(trials: Mapping[str, Trial], name: str, *, at: datetime, actor: str, reason: str) -> Entry:
    """The entry that begins a stopped experiment anew, with fresh evidence.

    Raises:
        RefusedError: there is no such experiment, or it runs.
    """
    known = trials.get(name)
    if known is None:
        raise RefusedError(f"no experiment {name!r}; known are {', '.join(sorted(trials)) or 'none'}")
    if known.running:
        raise RefusedError(f"experiment {name} runs since {known.started_at:%Y-%m-%d %H:%M} UTC")
    return Entry(name, Kind.STARTED, at, actor, reason, {"weights": dict(known.weights[-1].of)})
