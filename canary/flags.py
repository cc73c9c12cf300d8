"""Which variant of a feature flag or an experiment a user gets: pure, sticky, independent between flags.

A user's place is a fixed hash of the flag's name and the user's key. Those below a flag's percentage see it, so that
growing the percentage only adds users. Groups come first. An experiment is a flag whose variants have weights.

Nothing is stored about a user: the place can be computed again by any receiver, after any restart, and in an analysis
months later. The flag's name is part of the hash, so that the users of one flag are no more often than by chance those
of another; the rollout's id is not, so that a flag that follows rollouts keeps its users from one release to the next.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import xxhash

from canary.errors import FlagError
from canary.policy.experiments import Experiment, Flag
from canary.policy.model import Policy
from canary.rollout.state import Rollout

Value = bool | str | float | int

# All that the hash can give: no two percentages are too close to be told apart.
_PLACES = 2**64


class Reason(StrEnum):
    """Why a user gets a variant, in OpenFeature's words."""

    STATIC = "STATIC"
    TARGETING_MATCH = "TARGETING_MATCH"
    SPLIT = "SPLIT"
    DISABLED = "DISABLED"


@dataclass(frozen=True)
class Evaluation:
    """A user's variant of one flag.

    Attributes:
        value: what the application reads.
        metadata: what a person may want to know: an experiment's version, a rollout's id.
    """

    key: str
    value: Value
    reason: Reason
    variant: str
    metadata: Mapping[str, Value] = field(default_factory=dict)


def place(flag: str, user: str) -> float:
    """A user's fixed place under one flag, 0 to 1: `xxh64("flag:user") / 2**64`."""
    text = f"{flag}:{user}".encode(errors="surrogateescape")
    return float(xxhash.xxh64_intdigest(text) / _PLACES)


class Flags:
    """The policy's flags and experiments.

    Args:
        policy: its `flags` and `experiments`; an experiment is evaluated under its flag's name.
    """

    def __init__(self, policy: Policy) -> None:
        self._flags = policy.flags
        self._experiments = {
            experiment.flag or name: (name, experiment) for name, experiment in policy.experiments.items()
        }

    @property
    def keys(self) -> tuple[str, ...]:
        """Every flag's name, in order."""
        return tuple(sorted({*self._flags, *self._experiments}))

    def evaluate(
        self, key: str, context: Mapping[str, Any], rollout: Rollout | None = None, stopped: Iterable[str] = ()
    ) -> Evaluation:
        """The variant of flag *key* for the user whom *context* describes.

        Args:
            context: OpenFeature's evaluation context: `targetingKey`, and `groups` or `group` for user groups.
            rollout: the newest rollout, for flags that follow it.
            stopped: experiments that were stopped; everybody gets their control.

        Raises:
            FlagError: there is no such flag, or the context lacks what the flag needs.
        """
        if key in self._experiments:
            name, experiment = self._experiments[key]
            return self._assignment(key, experiment, context, stopped=name in set(stopped))
        if key not in self._flags:
            raise FlagError("FLAG_NOT_FOUND", f"no flag {key[:64]!a}")
        return _evaluation(key, self._flags[key], context, rollout)

    def _assignment(self, key: str, experiment: Experiment, context: Mapping[str, Any], *, stopped: bool) -> Evaluation:
        if stopped or not experiment.enabled:
            return self._variant(key, experiment, experiment.control, Reason.DISABLED)
        user = _user(context)
        total = sum(variant.weight for variant in experiment.variants.values())
        position = place(key, user) * total
        # Control takes what the treatments leave, so that a treatment that grows only adds users.
        for name, variant in experiment.variants.items():
            if name != experiment.control:
                if position < variant.weight:
                    return self._variant(key, experiment, name, Reason.SPLIT)
                position -= variant.weight
        return self._variant(key, experiment, experiment.control, Reason.SPLIT)

    def _variant(self, key: str, experiment: Experiment, variant: str, reason: Reason) -> Evaluation:
        version = experiment.variants[variant].version
        value = self._flags[key].variants.get(variant, variant) if key in self._flags else variant
        return Evaluation(key, value, reason, variant, {"version": version} if version else {})


def share(flag: Flag, rollout: Rollout | None) -> float:
    """The share of the users who get a flag's treatment now, whatever groups they are in; 0 for one that is off."""
    if not flag.enabled:
        return 0.0
    if flag.follow_rollout:
        return (rollout.version_weight if rollout is not None else None) or 0.0
    return flag.percentage


def _evaluation(key: str, flag: Flag, context: Mapping[str, Any], rollout: Rollout | None) -> Evaluation:
    following = rollout is not None and rollout.version_weight is not None
    if not flag.enabled or (flag.follow_rollout and not following):
        return Evaluation(key, flag.variants[flag.default], Reason.DISABLED, flag.default)
    percentage = share(flag, rollout)
    metadata = {"rollout": rollout.id} if flag.follow_rollout and rollout is not None else {}
    if _groups(context) & set(flag.groups):
        return Evaluation(key, flag.variants[flag.treatment], Reason.TARGETING_MATCH, flag.treatment, metadata)
    if percentage <= 0 or percentage >= 1:
        variant = flag.treatment if percentage >= 1 else flag.default
        return Evaluation(key, flag.variants[variant], Reason.STATIC, variant, metadata)
    variant = flag.treatment if place(key, _user(context)) < percentage else flag.default
    return Evaluation(key, flag.variants[variant], Reason.SPLIT, variant, metadata)


def _user(context: Mapping[str, Any]) -> str:
    user = context.get("targetingKey")
    if user is None or user == "":
        raise FlagError("TARGETING_KEY_MISSING", "context.targetingKey: expected the user's id")
    if not isinstance(user, str):
        raise FlagError("INVALID_CONTEXT", "context.targetingKey: expected text")
    return user


def _groups(context: Mapping[str, Any]) -> set[str]:
    groups = context.get("groups", ())
    if isinstance(groups, str):
        groups = (groups,)
    if not isinstance(groups, list | tuple):
        raise FlagError("INVALID_CONTEXT", "context.groups: expected a list of texts")
    return {group for group in (*groups, context.get("group")) if isinstance(group, str)}
