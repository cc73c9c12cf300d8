"""Traefik as a kind of router."""

from collections.abc import Callable, Iterator
from typing import Final

from canary.policy.routers.kinds import RouterKind
from canary.routers.base import Router
from canary.routers.traefik.section import TraefikRouter
from canary.threads import Threads


def _driver(section: TraefikRouter, thread: Callable[[str], Threads]) -> Router:
    if section.receiver is not None:
        from canary.routers.traefik.asked import TraefikHttpRouter

        return TraefikHttpRouter(section)
    from canary.routers.traefik.driver import TraefikFileRouter

    return TraefikFileRouter(section, thread)


def _faults(section: TraefikRouter) -> Iterator[tuple[str, str, str]]:
    """A backquote ends a text in Traefik's rules: what comes after it would be a rule of its own. An unused key."""
    for key, text in (("header", section.testers.header), ("cookie", section.testers.cookie)):
        if text is not None and "`" in text:
            yield "testers", f"`{key}` holds a backquote, which Traefik's rules cannot hold", "name testers by another"
    if section.ca_file is not None and not (section.receiver or "").startswith("https:"):
        yield "ca_file", "is for a `receiver` with https, which there is none of", "leave it out, or write https"


def _asks(section: TraefikRouter) -> bool:
    return section.receiver is not None


TRAEFIK: Final = RouterKind(section=TraefikRouter, driver=_driver, faults=_faults, asks=_asks)
