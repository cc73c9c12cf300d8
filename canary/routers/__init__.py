"""The traffic routers: what divides the shop's users between stable and canary, without a reload.

In comes the policy's `router` section, and then a `Split` (which rollout, what weight); out go `Router`s that put it
into force, read back what is in force, and write the configuration that makes them possible. One protocol (`base`), one
folder per kind, and `command` for every other router by the user's own programs. `kinds` registers them where plug-ins
register theirs: `canary.policy.routers.kinds`; what any of them raises is `contained`.
"""

from collections.abc import Callable
from dataclasses import is_dataclass, replace

from canary.policy.model import Policy
from canary.policy.routers.kinds import RouterSection, router_kinds
from canary.routers.asking import AskingRouter
from canary.routers.base import FINEST_RATIO, Observation, Reading, Router, Split
from canary.routers.contained import ContainedAskingRouter, ContainedRouter, contained
from canary.threads import OwnThread, Threads

__all__ = ["FINEST_RATIO", "Observation", "Reading", "Router", "Split", "router_of", "routers_of"]


def router_of(section: RouterSection, thread: Callable[[str], Threads] = OwnThread) -> Router:
    """The router that one entry of the policy's `router` section describes.

    Args:
        section: The entry.
        thread: Makes a thread for what may hang by itself, a folder or a file, given a name.

    Raises:
        RouterError: the entry names something that cannot be handed to the router, or its driver cannot be made.
    """
    with contained(f"router {section.name}"):
        router = router_kinds().usable[section.kind].driver(section, thread)
        kind = ContainedAskingRouter if isinstance(router, AskingRouter) else ContainedRouter
        return kind(router, section.name)


def routers_of(policy: Policy, thread: Callable[[str], Threads] = OwnThread) -> tuple[Router, ...]:
    """All routers of a policy, in its order; a change counts as done when all of them agree.

    Args:
        policy: The policy.
        thread: As for `router_of`.

    Raises:
        RouterError: an entry names something that cannot be handed to the router.
    """
    return tuple(router_of(_asked_for_metrics(section, policy), thread) for section in policy.router)


def _asked_for_metrics(section: RouterSection, policy: Policy) -> RouterSection:
    """The section with the receiver that its testers reach at the shop's `/api/metrics`."""
    testers = section.testers
    if testers.metrics is not None or not testers.networks or not is_dataclass(section):
        return section
    return replace(section, testers=replace(testers, metrics=policy.receiver.url))
