"""Our own kinds of router, as the registry of `canary.policy.routerkinds` knows them.

Drivers are imported when one is made: with them come libraries that no other command needs.
"""

from collections.abc import Callable
from typing import Final

from canary.policy.release import CommandRouter, HaproxyRouter, NginxRouter
from canary.policy.routerkinds import RouterKind
from canary.routers.base import Router
from canary.threads import Threads


def _haproxy(section: HaproxyRouter, thread: Callable[[str], Threads]) -> Router:
    from canary.routers.haproxy import HAProxyRouter

    return HAProxyRouter(section, thread)


def _nginx(section: NginxRouter, thread: Callable[[str], Threads]) -> Router:
    from canary.routers.nginx import NginxMarkerRouter

    return NginxMarkerRouter(section, thread)


def _command(section: CommandRouter, _thread: Callable[[str], Threads]) -> Router:
    from canary.routers.command import ProgramRouter

    return ProgramRouter(section)


HAPROXY: Final = RouterKind(section=HaproxyRouter, driver=_haproxy)
NGINX: Final = RouterKind(
    section=NginxRouter, driver=_nginx, parts=100, steps="whole percents", remedy="write one, or use haproxy"
)
COMMAND: Final = RouterKind(section=CommandRouter, driver=_command, parts=0)
