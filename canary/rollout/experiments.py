"""What is known of the policy's experiments over time: when each began, with which weights, and whether it was stopped.

Kept in the rollout's journal as a chain of its own, so that receiver, exporter and report agree across restarts.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

from canary.errors import RefusedError
from canary.policy.model import Policy
from canary.rollout.entries import Entry
from canary.rollout.journal.rows import Chain
from canary.rollout.kinds import Kind

# Firings that are remembered of one experiment; Alertmanager repeats only those that still fire.
_SPENT = 20

# Why an experiment that the policy has again begins by itself, while one that a person or an alert stopped does not.
_DISABLED = "disabled in the policy"


@dataclass(frozen=True, kw_only=True)
class ExperimentStarted(Entry):
    """Users are assigned from now on, with fresh evidence; *weights* by variant."""

    kind = Kind.EXPERIMENT_STARTED
    decides = True
    weights: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class ExperimentWeighted(Entry):
    """The variants have other weights from now on."""

    kind = Kind.EXPERIMENT_WEIGHTED
    decides = True
    weights: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class ExperimentStopped(Entry):
    """Everybody gets the control from now on.

    Attributes:
        firings: by when they began, the firings of alerts that asked for it: they say nothing about the next run.
    """

    kind = Kind.EXPERIMENT_STOPPED
    decides = True
    firings: tuple[str, ...] = ()


_KINDS: Final[Mapping[str, type[Entry]]] = {
    Kind.EXPERIMENT_STARTED: ExperimentStarted,
    Kind.EXPERIMENT_WEIGHTED: ExperimentWeighted,
    Kind.EXPERIMENT_STOPPED: ExperimentStopped,
    # As 0.1 wrote them.
    Kind.STARTED: ExperimentStarted,
    Kind.ADVANCED: ExperimentWeighted,
    Kind.HELD: ExperimentStopped,
}

CHAIN: Final = Chain("experiments", _KINDS)
"""The journal's chain that experiments are kept in; its entries' `rollout` is the experiment's name."""


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
        spent: firings of alerts that were about an earlier run, or have stopped this one. A firing is known by when it
            began, as Prometheus says: compared for equality, never with another machine's clock.
    """

    name: str
    started_at: datetime
    weights: tuple[Weights, ...]
    stopped_at: datetime | None = None
    reason: str = ""
    actor: str = ""
    spent: tuple[str, ...] = ()

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
        match entry:
            case ExperimentStarted():
                spent = known.spent if known is not None else ()
                trials[name] = Trial(
                    name, entry.at, (Weights(entry.at, entry.weights),), actor=entry.actor, spent=spent
                )
            case ExperimentWeighted() if known is not None:
                trials[name] = replace(known, weights=(*known.weights, Weights(entry.at, entry.weights)))
            case ExperimentStopped() if known is not None:
                spent = tuple(dict.fromkeys((*known.spent, *entry.firings)))[-_SPENT:]
                trials[name] = replace(known, stopped_at=entry.at, reason=entry.reason, actor=entry.actor, spent=spent)
            case _:
                pass
    return trials


def due(policy: Policy, trials: Mapping[str, Trial], *, at: datetime, actor: str) -> Iterator[Entry]:
    """Entries that the policy asks for: experiments that are new, or whose weights have changed.

    An experiment with other variants than before restarts; so does one that was disabled or removed meanwhile.
    """
    for name, experiment in policy.experiments.items():
        known = trials.get(name)
        weights = {variant: arm.weight for variant, arm in experiment.variants.items()}
        if not experiment.enabled:
            if known is not None and known.running:
                yield ExperimentStopped(rollout=name, at=at, actor=actor, reason=_DISABLED)
        elif known is None or known.weights[-1].of.keys() != weights.keys() or known.reason == _DISABLED:
            yield ExperimentStarted(rollout=name, at=at, actor=actor, reason="begun", weights=weights)
        elif known.running and dict(known.weights[-1].of) != weights:
            yield ExperimentWeighted(rollout=name, at=at, actor=actor, reason="weights changed", weights=weights)


class Command(Protocol):
    """What a person or an alert may ask of an experiment."""

    def __call__(self, trials: Mapping[str, Trial], name: str, *, at: datetime, actor: str, reason: str) -> Entry:
        """The entry to append; raises RefusedError when it does not fit."""
        ...


def stop(
    trials: Mapping[str, Trial], name: str, *, at: datetime, actor: str, reason: str, firings: tuple[str, ...] = ()
) -> Entry:
    """The entry that gives everybody the control.

    Raises:
        RefusedError: there is no such experiment, or it was stopped already.
    """
    known = _known(trials, name)
    if not known.running:
        raise RefusedError(f"stopped already ({known.reason})", place=f"experiment {name}")
    return ExperimentStopped(rollout=name, at=at, actor=actor, reason=reason, firings=firings)


def start(trials: Mapping[str, Trial], name: str, *, at: datetime, actor: str, reason: str) -> Entry:
    """The entry that begins a stopped experiment anew, with fresh evidence.

    Raises:
        RefusedError: there is no such experiment, or it runs.
    """
    known = _known(trials, name)
    if known.running:
        raise RefusedError(f"runs since {known.started_at:%Y-%m-%d %H:%M} UTC", place=f"experiment {name}")
    weights = dict(known.weights[-1].of)
    return ExperimentStarted(rollout=name, at=at, actor=actor, reason=reason, weights=weights)


def _known(trials: Mapping[str, Trial], name: str) -> Trial:
    known = trials.get(name)
    if known is None:
        raise RefusedError(f"no experiment {name!r}", remedy=f"known are {', '.join(sorted(trials)) or 'none'}")
    return known
