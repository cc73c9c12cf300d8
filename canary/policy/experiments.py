"""The policy's feature flags and experiments."""

import math
from dataclasses import field
from typing import Annotated

from pydantic import Field

from canary.policy.values.types import Finite, Identifier, Proportion, Ratio, Text, section


@section
class Flag:
    """A feature flag, evaluated stickily by targeting key."""

    enabled: bool = True
    percentage: Ratio = 0
    """Share of the users that see it."""
    groups: tuple[Text, ...] = ()
    """User groups that always see it."""
    variants: Annotated[dict[Text, bool | str | Finite | int], Field(min_length=1)] = field(
        default_factory=lambda: {"on": True, "off": False}
    )
    """Values by variant name."""
    default: str = "off"
    """The control variant, for users who do not see the flag."""
    treatment: str = "on"
    """The variant for users who do."""
    follow_rollout: bool = False
    """The percentage is the running rollout's weight; a rollback switches the flag off."""


@section
class Variant:
    """One arm of an experiment."""

    weight: Proportion
    """Share relative to the other variants' weights."""
    version: Identifier | None = None
    """The shop's version that this variant means, when the variant is told by it."""


@section
class Experiment:
    """An A/B experiment."""

    variants: dict[Identifier, Variant]
    """At least two."""
    control: str = "control"
    """The variant that the others are compared with."""
    metrics: tuple[str, ...] = ()
    """KPIs to compare."""
    guardrails: tuple[str, ...] = ()
    """KPIs whose proven harm stops the experiment."""
    enabled: bool = True
    flag: Identifier | None = None
    """The flag that assigns users; its own name when missing."""

    def mismatch_threshold(self, alpha: float) -> float:
        """log10 of the evidence from which on a treatment's share is proven wrong; the treatments divide *alpha*."""
        return round(-math.log10(alpha / (len(self.variants) - 1)), 6)
