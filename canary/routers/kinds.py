"""Our own kinds of router, as the registry of `canary.policy.routers.kinds` knows them.

Drivers are imported when one is made: with them come libraries that no other command needs.
"""

from collections.abc import Callable, Iterator
from typing import Final

from canary.policy.routers.kinds import RouterKind
from canary.policy.routers.sections import CommandRouter, HaproxyRouter, NginxRouter
from canary.policy.routers.slots import ROLES, servers_of
from canary.routers.base import Router
from canary.threads import Threads


def _haproxy(section: HaproxyRouter, thread: Callable[[str], Threads]) -> Router:
    from canary.routers.haproxy.driver import HAProxyRouter

    return HAProxyRouter(section, thread)


def _nginx(section: NginxRouter, thread: Callable[[str], Threads]) -> Router:
    from canary.routers.nginx.driver import NginxMarkerRouter

    return NginxMarkerRouter(section, thread)


def _command(section: CommandRouter, _thread: Callable[[str], Threads]) -> Router:
    from canary.routers.command import ProgramRouter

    return ProgramRouter(section)


def _front(section: HaproxyRouter | NginxRouter) -> Iterator[tuple[str, str, str]]:
    """Words about a server that there is not, or behind what says who a customer is."""
    key = "upstreams" if section.slots is None else "slots"
    named = {address for role in ROLES for address in servers_of(section, role, None)}
    for address in section.servers:
        if address not in named:
            yield "servers", f"{address} is no server of `{key}`", "write its address the same in both"
    if section.sticky == "header" and (section.tag_header or "").lower() == section.key.lower():
        yield "tag_header", f"is `key` too, and one more word in {section.key} is another customer", "take another one"


def _haproxy_faults(section: HaproxyRouter) -> Iterator[tuple[str, str, str]]:
    yield from _front(section)
    if section.tls is not None and section.tls.key is not None:
        yield "tls", "HAProxy reads certificate and key from one file", "leave `key` out, append it to `certificate`"


def _nginx_faults(section: NginxRouter) -> Iterator[tuple[str, str, str]]:
    yield from _front(section)
    if section.tls is not None and section.tls.key is None:
        yield "tls", "names no `key`", "name the file with the certificate's key"


HAPROXY: Final = RouterKind(section=HaproxyRouter, driver=_haproxy, faults=_haproxy_faults)
NGINX: Final = RouterKind(
    section=NginxRouter,
    driver=_nginx,
    parts=100,
    steps="whole percents",
    remedy="write one, or use haproxy",
    faults=_nginx_faults,
)
COMMAND: Final = RouterKind(section=CommandRouter, driver=_command, parts=0)
