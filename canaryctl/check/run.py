"""All checks of a policy, side by side, their findings in a fixed order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path

import aiohttp

from canary.errors import CanaryError
from canary.finding import Finding, failed
from canary.policy import Policy
from canary.policy.reading.document import Document, read_document
from canary.prometheus import PATIENT, Alertmanager, Prometheus
from canary.timing.clock import Clock
from canaryctl.check.alertmanager import check_alertmanager
from canaryctl.check.calibration import check_calibration
from canaryctl.check.clock import check_clock
from canaryctl.check.notify import check_notify
from canaryctl.check.policy import check_policy
from canaryctl.check.prometheus.prometheus import check_prometheus, check_watched
from canaryctl.check.receiver import check_receiver
from canaryctl.check.requestlog import check_request_log
from canaryctl.check.router import check_process, check_router
from canaryctl.check.rules import Generate, check_rules, generated_once
from canaryctl.check.secret import check_secrets
from canaryctl.check.shop.database import check_database
from canaryctl.check.state import check_state

Look = Callable[[], Coroutine[None, None, list[Finding]]]

PARTS = (
    "secrets", "state", "database", "log", "calibration", "rules", "prometheus", "alertmanager", "receiver", "router",
    "process", "notify", "clock",
)  # fmt: skip
"""What is looked at besides the policy itself, in this order."""

WATCHED = "watched"
"""That somebody would see a bad canary: the part of `prometheus` without which no rollout should begin."""

OFFLINE = ("rules",)
"""What needs neither a server nor this machine's secrets."""


async def check_all(
    path: Path,
    generate: Generate,
    clock: Clock,
    parts: tuple[str, ...],
    *,
    tested: bool = False,
    data: bool = False,
) -> AsyncIterator[Finding]:
    """Findings of the policy at *path* and then of *parts*, as soon as the ones before them are known.

    With *tested*, the generated rules' own tests are run too; with *data*, the order database's rows are looked into. A
    faulty policy ends it: what it names is not looked at.
    """
    policy, findings = check_policy(path)
    for finding in findings:
        yield finding
    if policy is None:
        return
    document = read_document(path) if data else None
    async with aiohttp.ClientSession() as http:
        running = {
            part: asyncio.create_task(look())
            for part, look in _looks(policy, generate, http, clock, tested, document).items()
            if part in parts
        }
        try:
            for part, task in running.items():
                for finding in await _settled(part, task):
                    yield finding
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)


async def _settled(part: str, task: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        return await task
    except CanaryError as error:
        return [failed(error.place or part, error.what, error.remedy)]


def _looks(
    policy: Policy,
    generate: Generate,
    http: aiohttp.ClientSession,
    clock: Clock,
    tested: bool,
    document: Document | None,
) -> Mapping[str, Look]:
    prometheus = Prometheus.of(policy, http, limits=PATIENT)
    alertmanager = Alertmanager.of(policy, http, limits=PATIENT)
    generated = generated_once(policy, generate)
    inline = generated_once(policy, partial(generate, inline=True))

    async def secrets() -> list[Finding]:
        return check_secrets(policy)

    async def calibration() -> list[Finding]:
        return check_calibration(policy)

    async def rules_of_prometheus() -> list[Finding]:
        return await check_prometheus(policy, prometheus, await generated(), inline)

    return {
        "secrets": secrets,
        "state": lambda: check_state(policy),
        "database": lambda: check_database(policy, data=document is not None, document=document),
        "log": lambda: check_request_log(policy),
        "calibration": calibration,
        "rules": lambda: check_rules(generated, tested=tested),
        "prometheus": rules_of_prometheus,
        WATCHED: lambda: check_watched(policy, prometheus),
        "alertmanager": lambda: check_alertmanager(policy, alertmanager),
        "receiver": lambda: check_receiver(policy),
        "router": lambda: check_router(policy),
        "process": lambda: check_process(policy),
        "notify": lambda: check_notify(policy),
        "clock": lambda: check_clock(policy, prometheus, clock),
    }
