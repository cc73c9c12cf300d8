"""The receiver as a service: behind the web shell, until it is told to stop."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
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
from alertmanager.receiver.http.page.experimentrows import TreatmentRow, experiments_of
from alertmanager.receiver.http.page.glance import glance
from alertmanager.receiver.http.page.handlers import Page
from alertmanager.receiver.http.page.lowering import Lowering
from alertmanager.receiver.http.page.view import About, Viewer
from alertmanager.receiver.http.routes.table import receiver_table
from alertmanager.receiver.opening import open_receiver
from alertmanager.receiver.receiver import Receiver
from alertmanager.receiver.status import status_data
from canary.fleet.front import member_options, serve_several
from canary.policy.load import load_policy
from canary.policy.model import Policy
from canary.process.program import run
from canary.report.past import folder_of
from canary.timing.zones import in_zone
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
    viewer = viewer_of(receiver)
    page = page_of(receiver, viewer, path, options.place)
    reload = partial(receiver.reload, path, options.addresses)
    return Service(
        name="receiver",
        options=options,
        registry=registry,
        routes=receiver_table(Api(receiver, reload), page, receiver.ofrep, receiver.effects.answer_router),
        access=ReceiverAccess(lambda: receiver.authority, page.sessions),
        reload=reload,
        ready=lambda: receiver.ready,
        hosts=lambda: (urlsplit(receiver.policy.receiver.url).hostname or "",),
        status=lambda: _glance(receiver, viewer),
        shutdown=page.close,
        max_body_bytes=receiver.policy.receiver.max_body,
    )


def viewer_of(receiver: Receiver) -> Viewer:
    """What gathers a receiver's views, for its page and for the list of all services."""

    def about(results: Mapping[str, Sequence[TreatmentRow]]) -> About:
        policy, rollout = receiver.policy, receiver.store.rollout
        kpis = {**policy.kpis, **receiver.plans.of(rollout).kpis}
        ratios = frozenset(name for name, kpi in kpis.items() if kpi.kind != "mean")
        found = experiments_of(policy, receiver.trials.trials, rollout, results)
        return About(ratios, policy.receiver.timezone, found)

    return Viewer(receiver, receiver.prometheus, receiver.policy.service, receiver.store.clock, about)


def page_of(receiver: Receiver, viewer: Viewer, path: Path, place: Place) -> Page:
    """The page of a receiver.

    Args:
        place: where browsers find it.
        path: the policy that `canary check` and `canary plan` look at when somebody at the page asks for them.
    """
    clock = receiver.store.clock
    # The command of the environment in which this receiver runs.
    command = Path(sys.executable).with_name("canary")
    checks = SelfChecks(command, path, partial(run, timeout_seconds=TIMEOUT_SECONDS), clock)
    return Page(
        viewer,
        receiver.submit,
        Errands(receiver, checks),
        checks,
        lambda: receiver.authority,
        lambda: folder_of(receiver.policy),
        receiver.store,
        clock,
        lowering=Lowering(receiver.links, receiver.store, receiver.submit),
        place=place,
    )


def _glance(receiver: Receiver, viewer: Viewer) -> dict[str, str]:
    rollout = receiver.store.rollout
    kpis = viewer.known(rollout.id) if rollout is not None and rollout.running else ()
    status = status_data(receiver, receiver.store.clock.now())
    found = glance(status, kpis, receiver.reconciler.weight_ratio)
    return {title: in_zone(text, receiver.policy.receiver.timezone) for title, text in found.items()}
