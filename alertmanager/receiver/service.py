"""The receiver as a service: behind the web shell, until it is told to stop."""

import asyncio
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry

from alertmanager.receiver.http.access import ReceiverAccess
from alertmanager.receiver.http.api import Api
from alertmanager.receiver.http.authority import Authority
from alertmanager.receiver.http.routes import receiver_table
from alertmanager.receiver.opening import open_receiver
from alertmanager.receiver.receiver import Receiver
from canary.policy.load import load_policy
from canary.units import format_ratio
from canary.web.metrics import service_registry
from canary.web.options import WebOptions
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


def web_service(receiver: Receiver, registry: CollectorRegistry, options: WebOptions, path: Path) -> Service:
    """The receiver behind the web shell."""
    return Service(
        name="receiver",
        options=options,
        registry=registry,
        routes=receiver_table(Api(receiver, partial(receiver.reload, path)), receiver.page, receiver.ofrep),
        access=ReceiverAccess(lambda: receiver.authority, receiver.page.sessions),
        reload=partial(receiver.reload, path),
        ready=lambda: receiver.ready,
        hosts=lambda: (urlsplit(receiver.policy.receiver.url).hostname or "",),
        status=lambda: _landing(receiver),
        shutdown=receiver.page.close,
        max_body_bytes=receiver.policy.receiver.max_body,
    )


def _landing(receiver: Receiver) -> dict[str, str]:
    rollout = receiver.store.rollout
    ratio = receiver.reconciler.weight_ratio
    return {
        "Service": receiver.policy.service,
        "Rollout": rollout.id if rollout else "none yet",
        "State": rollout.state.value if rollout else "idle",
        "Canary's share": "unknown" if ratio is None else format_ratio(ratio),
    }
