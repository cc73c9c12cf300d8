"""The receiver as a service: behind the web shell, until it is told to stop."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry

from alertmanager.receiver.act.selfchecks import TIMEOUT_SECONDS, SelfChecks
from alertmanager.receiver.http.access import ReceiverAccess
from alertmanager.receiver.http.api import Api
from alertmanager.receiver.http.authority import Authority
from alertmanager.receiver.http.page.errands import Errands
from alertmanager.receiver.http.page.handlers import Page
from alertmanager.receiver.http.page.view import Viewer
from alertmanager.receiver.http.routes import receiver_table
from alertmanager.receiver.opening import open_receiver
from alertmanager.receiver.receiver import Receiver
from canary.fleet.front import member_options, serve_several
from canary.policy.load import load_policy
from canary.policy.model import Policy
from canary.process.program import run
from canary.report.past import folder_of
from canary.units import format_ratio
from canary.web.metrics import service_registry
from canary.web.options import WebOptions
from canary.web.place import Place
from canary.web.service import Service


async def serve(path: Path, options: WebOptions) -> None:
    """Run the receiver until SIGTERM or SIGINT.

    Raises:
        CanaryError: the policy, a secret or an address is faulty.
    """
    policy = await asyncio.to_thread(load_policy, path)
    registry = service_registry()
    Authority.of(policy).require_closed(options.addresses)
    async with open_receiver(policy, registry) as receiver:
        await web_service(receiver, registry, options, path).run()


async def serve_all(paths: Sequence[Path], options: WebOptions) -> None:
    """Run one receiver for each policy of several files and folders, behind one address, until SIGTERM or SIGINT.

    Raises:
        CanaryError: an address, or the web configuration, is faulty.
    """

    @asynccontextmanager
    async def opening(path: Path, policy: Policy) -> AsyncIterator[Service]:
        Authority.of(policy).require_closed(options.addresses)
        registry = CollectorRegistry(auto_describe=True)
        async with open_receiver(policy, registry) as receiver:
            yield web_service(receiver, registry, member_options(options, policy.service), path)

    await serve_several("receiver", paths, opening, options)


def web_service(receiver: Receiver, registry: CollectorRegistry, options: WebOptions, path: Path) -> Service:
    """The receiver behind the web shell."""
    page = page_of(receiver, path, options.place)
    return Service(
        name="receiver",
        options=options,
        registry=registry,
        routes=receiver_table(Api(receiver, partial(receiver.reload, path)), page, receiver.ofrep),
        access=ReceiverAccess(lambda: receiver.authority, page.sessions),
        reload=partial(receiver.reload, path),
        ready=lambda: receiver.ready,
        hosts=lambda: (urlsplit(receiver.policy.receiver.url).hostname or "",),
        status=lambda: _landing(receiver),
        shutdown=page.close,
        max_body_bytes=receiver.policy.receiver.max_body,
    )


def page_of(receiver: Receiver, path: Path, place: Place) -> Page:
    """The page of a receiver.

    Args:
        place: where browsers find it.
        path: the policy that `canary check` and `canary plan` look at when somebody at the page asks for them.
    """
    clock = receiver.store.clock

    def ratios() -> list[str]:
        kpis = receiver.plans.of(receiver.store.rollout).kpis
        return [name for name, kpi in kpis.items() if kpi.kind != "mean"]

    # The command of the environment in which this receiver runs.
    command = Path(sys.executable).with_name("canary")
    checks = SelfChecks(command, path, partial(run, timeout_seconds=TIMEOUT_SECONDS), clock)
    return Page(
        Viewer(receiver, receiver.prometheus, receiver.policy.service, clock, ratios),
        receiver.submit,
        Errands(receiver, checks),
        checks,
        lambda: receiver.authority,
        lambda: folder_of(receiver.policy),
        receiver.store,
        clock,
        place=place,
    )


def _landing(receiver: Receiver) -> dict[str, str]:
    rollout = receiver.store.rollout
    ratio = receiver.reconciler.weight_ratio
    return {
        "Service": receiver.policy.service,
        "Rollout": rollout.id if rollout else "none yet",
        "State": rollout.state.value if rollout else "idle",
        "Canary's traffic weight": "unknown" if ratio is None else format_ratio(ratio),
    }
