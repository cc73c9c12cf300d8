"""A policy's plans by name: what `canary start --plan NAME` runs."""

from dataclasses import replace
from typing import Final

from canary.errors import RefusedError
from canary.policy.model import Policy
from canary.policy.reading.sentences import did_you_mean
from canary.policy.release import Phases

NORMAL: Final = "normal"
"""The plan that runs when no other is named; a policy writes it as `phases`, or under `plans`."""


def plan_names(policy: Policy) -> tuple[str, ...]:
    """Every plan that the policy has."""
    return (NORMAL, *policy.plans)


def phases_of(policy: Policy, plan: str) -> Phases:
    """The phases of a plan.

    Raises:
        RefusedError: the policy has no such plan.
    """
    if plan == NORMAL:
        return policy.phases
    if plan not in policy.plans:
        known = plan_names(policy)
        hint = did_you_mean(plan, list(known))
        raise RefusedError(
            f"the policy has no plan {plan!r}", place="--plan", remedy=hint or f"known are {', '.join(known)}"
        )
    return policy.plans[plan]


def with_plan(policy: Policy, plan: str) -> Policy:
    """The policy whose `phases` are those of a plan.

    Raises:
        RefusedError: the policy has no such plan.
    """
    return policy if plan == NORMAL else replace(policy, phases=phases_of(policy, plan))
