"""The traffic routers: one protocol, one module per kind of router."""

from canary.policy.model import Policy
from canary.policy.release import CommandRouter, HaproxyRouter, NginxRouter
from canary.policy.release import Router as Section
from canary.routers.base import Finding, Observation, Reading, Router, Split
from canary.routers.command import ProgramRouter
from canary.routers.haproxy import HAProxyRouter
from canary.routers.nginx import NginxMarkerRouter

__all__ = ["Finding", "Observation", "Reading", "Router", "Split", "router_of", "routers_of"]


def router_of(section: Section) -> Router:
    """The router that one entry of the policy's `router` section describes.

    Raises:
        RouterError: the entry names something that cannot be handed to the router.
    """
    match section:
        case HaproxyRouter():
            return HAProxyRouter(section)
        case NginxRouter():
            return NginxMarkerRouter(section)
        case CommandRouter():
            return ProgramRouter(section)


def routers_of(policy: Policy) -> tuple[Router, ...]:
    """All routers of a policy, in its order; a change counts as done when all of them agree.

    Raises:
        RouterError: an entry names something that cannot be handed to the router.
    """
    return tuple(router_of(section) for section in policy.router)
