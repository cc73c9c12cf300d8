"""The traffic routers: what divides the shop's users between stable and canary, without a reload.

In comes the policy's `router` section, and then a `Split` (which rollout, what weight); out go `Router`s that put it
into force, read back what is in force, and write the configuration that makes them possible. One protocol (`base`), one
module per kind: `haproxy`, `nginx`, and `command` for every other router by the user's own programs.
"""

from collections.abc import Callable

from canary.policy.model import Policy
from canary.policy.release import CommandRouter, HaproxyRouter, NginxRouter
from canary.policy.release import Router as Section
from canary.routers.base import FINEST_RATIO, Observation, Reading, Router, Split
from canary.routers.command import ProgramRouter
from canary.routers.haproxy import HAProxyRouter
from canary.routers.nginx import NginxMarkerRouter
from canary.threads import OwnThread, Threads

__all__ = ["FINEST_RATIO", "Observation", "Reading", "Router", "Split", "router_of", "routers_of"]


def router_of(section: Section, thread: Callable[[str], Threads] = OwnThread) -> Router:
    """The router that one entry of the policy's `router` section describes.

    Args:
        section: The entry.
        thread: Makes a thread for what may hang by itself, a folder or a file, given a name.

    Raises:
        RouterError: the entry names something that cannot be handed to the router.
    """
    match section:
        case HaproxyRouter():
            return HAProxyRouter(section, thread)
        case NginxRouter():
            return NginxMarkerRouter(section, thread)
        case CommandRouter():
            return ProgramRouter(section)


def routers_of(policy: Policy, thread: Callable[[str], Threads] = OwnThread) -> tuple[Router, ...]:
    """All routers of a policy, in its order; a change counts as done when all of them agree.

    Args:
        policy: The policy.
        thread: As for `router_of`.

    Raises:
        RouterError: an entry names something that cannot be handed to the router.
    """
    return tuple(router_of(section, thread) for section in policy.router)
