"""The one address of several services: their list, their metrics together, and a door to each.

What each service answers is below `/services/NAME/`, by its own table, tokens and names; here is what is about all.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

from aiohttp import web
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from canary import names
from canary.errors import reason
from canary.fleet.fleet import Fleet, Member, Opening
from canary.fleet.page import HEADERS, SCRIPT, STYLE, services_page
from canary.logs import Log
from canary.names import API_PREFIX
from canary.timing.clock import Clock, SystemClock
from canary.web.doors import BELOW
from canary.web.metrics import service_registry
from canary.web.options import WebOptions
from canary.web.routes.table import Call, Route, as_json
from canary.web.service import Service


class Listed(TypedDict):
    """One service as `GET /api/v1/services` tells it.

    Attributes:
        service: its name.
        file: the policy's.
        running: whether it is served.
        fault: why it is not, or why its file is not in force; empty when all is well.
        path: where its own page and API are, from here.
        status: what it says of itself, as its page does.
    """

    service: str
    file: str
    running: bool
    fault: str
    path: str
    status: dict[str, str]


async def serve_several(
    name: str,
    paths: Sequence[Path],
    opening: Opening,
    options: WebOptions,
    clock: Clock | None = None,
    *,
    parts: Collection[str] = (),
) -> None:
    """Serve one service for each policy until SIGTERM or SIGINT.

    Args:
        name: `exporter` or `receiver`.
        parts: what each of them shows below its path of metrics.

    Raises:
        CanaryError: an address, or the web configuration, is faulty; no policy can do that.
    """
    fleet = Fleet(paths, opening, clock or SystemClock())
    shell = front(name, fleet, options, parts)
    async with fleet.running():
        await shell.run()


def front(name: str, fleet: Fleet, options: WebOptions, parts: Collection[str] = ()) -> Service:
    """The shell that listens for all of them."""
    registry = service_registry()
    registry.register(Together(fleet))

    async def page(_call: Call) -> web.Response:
        return web.Response(text=services_page(name, listed(fleet)), content_type="text/html", headers=HEADERS)

    async def style(_call: Call) -> web.Response:
        return web.Response(text=STYLE, content_type="text/css", headers=HEADERS)

    async def script(_call: Call) -> web.Response:
        return web.Response(text=SCRIPT, content_type="text/javascript", headers=HEADERS)

    async def services(_call: Call) -> web.Response:
        return web.json_response(listed(fleet))

    return Service(
        name=name,
        options=options,
        registry=registry,
        routes=(
            Route(method="GET", path="/", handler=page),
            Route(method="GET", path="/list.css", handler=style),
            Route(method="GET", path="/list.js", handler=script),
            Route(method="GET", path=f"{API_PREFIX}/services", handler=services, render=as_json),
        ),
        reload=fleet.reload,
        ready=lambda: fleet.settled,
        shutdown=fleet.shutdown,
        others=fleet.service,
        parts={part: Together(fleet, part) for part in parts},
    )


def listed(fleet: Fleet) -> list[Listed]:
    """Every service, and every policy that cannot be served."""
    return [_listed(member) for member in fleet.members]


def _listed(member: Member) -> Listed:
    running = member.service
    return {
        "service": member.name,
        "file": member.path.name,
        "running": running is not None,
        "fault": member.fault,
        "path": f"{BELOW}/{member.name}/",
        "status": _status(member.name, running) if running is not None else {},
    }


def _status(name: str, running: Service) -> dict[str, str]:
    """What a service says of itself."""
    try:
        return dict(running.status())
    except Exception as error:  # noqa: BLE001  # whatever one service cannot tell, the others can
        Log("fleet").error("a service cannot tell its state", exception=error, service=name)
        return {"Service": name, "State": f"cannot be told ({reason(error)})"}


def member_options(options: WebOptions, service: str) -> WebOptions:
    """How one service behind the door is served: below its own path, under what was said of all."""
    return replace(options, config_file=None, place=options.place.below(f"{BELOW}/{service}"))


class Together(Collector):
    """The series of all services, each family once. What does not carry a service's name is about the process."""

    def __init__(self, fleet: Fleet, part: str = "") -> None:
        self._fleet = fleet
        self._part = part
        self._log = Log("fleet")

    def describe(self) -> Iterable[Metric]:
        """Nothing: which services there will be is not known."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """For one scrape."""
        families: dict[str, Metric] = {}
        for member in self._fleet.members:
            for family in self._of(member):
                known = families.setdefault(family.name, family)
                if known is not family:
                    known.samples.extend(family.samples)
        return families.values()

    def _of(self, member: Member) -> list[Metric]:
        if member.service is None:
            return []
        try:
            shown = member.service.parts[self._part] if self._part else member.service.registry
            found = list(shown.collect())
        except Exception as error:  # noqa: BLE001  # whatever one service cannot tell, the others can
            self._log.error("a service's metrics cannot be told", exception=error, service=member.name)
            return []
        for family in found:
            family.samples = [sample for sample in family.samples if names.SERVICE in sample.labels]
        return [family for family in found if family.samples]
