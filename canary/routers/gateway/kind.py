"""Kubernetes' Gateway API as a kind of router."""

from collections.abc import Callable, Iterator
from typing import Final

from canary.policy.routers.kinds import RouterKind
from canary.routers.base import Router
from canary.routers.gateway.section import GatewayRouter
from canary.threads import Threads


def _driver(section: GatewayRouter, _thread: Callable[[str], Threads]) -> Router:
    from canary.routers.gateway.driver import HttpRouteRouter

    return HttpRouteRouter(section)


def _faults(section: GatewayRouter) -> Iterator[tuple[str, str, str]]:
    if section.stable == section.canary:
        yield "canary", "is the same Service as stable", "give each version its own"
    if section.testers.networks or section.testers.cookie:
        yield "testers", "an HTTPRoute knows testers by a header alone", "name a `header`"
    for key, file in (("token_file", section.token_file), ("ca_file", section.ca_file)):
        if file is not None and not file.startswith("/"):
            yield key, f"{file} is no absolute path", "write it from /"


GATEWAY: Final = RouterKind(section=GatewayRouter, driver=_driver, faults=_faults, assigns=False)
