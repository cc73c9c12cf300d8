"""Envoy as a kind of router."""

from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

from canary.policy.routers.kinds import RouterKind
from canary.routers.base import Router
from canary.routers.envoy.section import DEFAULT_ADMINS, EnvoyRouter
from canary.threads import Threads


def _driver(section: EnvoyRouter, _thread: Callable[[str], Threads]) -> Router:
    if section.instances:
        from canary.routers.envoy.discovery import EnvoyDiscoveryRouter

        return EnvoyDiscoveryRouter(section)
    from canary.routers.envoy.driver import EnvoyRuntimeRouter

    return EnvoyRuntimeRouter(section)


def _faults(section: EnvoyRouter) -> Iterator[tuple[str, str, str]]:
    """Two ways at once, or one that leads nowhere."""
    if not section.instances:
        return
    if section.admins != DEFAULT_ADMINS:
        yield "admins", "is another way to change the values that `instances` ask for", "leave one of the two out"
    if len(set(section.instances)) < len(section.instances):
        yield "instances", "names one twice: what one Envoy has in force would be taken for the other's", "name each"
    addresses = [urlsplit(url) for url in section.receivers]
    if any(address.path.strip("/") or address.query or address.fragment for address in addresses):
        what = "names a path, and Envoy asks at a path of its own"
        yield "receivers", what, "write scheme, host and port; behind one address for several services, use `admins`"
    if len({address.scheme for address in addresses}) > 1:
        yield "receivers", "names http and https", "reach all of them by one"


def _asks(section: EnvoyRouter) -> bool:
    return bool(section.instances)


ENVOY: Final = RouterKind(section=EnvoyRouter, driver=_driver, faults=_faults, asks=_asks)
