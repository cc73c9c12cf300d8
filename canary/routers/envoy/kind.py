"""Envoy as a kind of router."""

from collections.abc import Callable
from typing import Final

from canary.policy.routers.kinds import RouterKind
from canary.routers.base import Router
from canary.routers.envoy.section import EnvoyRouter
from canary.threads import Threads


def _driver(section: EnvoyRouter, _thread: Callable[[str], Threads]) -> Router:
    from canary.routers.envoy.driver import EnvoyRuntimeRouter

    return EnvoyRuntimeRouter(section)


ENVOY: Final = RouterKind(section=EnvoyRouter, driver=_driver)
