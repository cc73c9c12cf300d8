"""The traffic routers and the canary's process: could they be switched, and can they be read."""

from canary.errors import CanaryError
from canary.finding import Finding, failed, ok, skipped, warning
from canary.policy import Policy
from canary.process.manager import ProcessState, process_of
from canary.routers import Router, routers_of


async def check_router(policy: Policy) -> list[Finding]:
    """What would defeat a switch on each router; moves no traffic."""
    if not policy.router:
        return [skipped("router", "the policy names none", "without one, nothing can be rolled back: add `router`")]
    try:
        routers = routers_of(policy)
    except CanaryError as error:
        return [failed(error.place or "router", error.what, error.remedy)]
    return [finding for router in routers for finding in await _router(router)]


async def _router(router: Router) -> list[Finding]:
    place = f"router {router.name}"
    findings = await router.check()
    observation = await router.read()
    if observation.weight_ratio is not None and not findings:
        findings.append(ok(place, f"can be switched; in force: {observation.detail}"))
    elif observation.weight_ratio is None and not findings:
        findings.append(failed(place, f"its traffic weight cannot be read: {observation.detail}", "see that it runs"))
    return findings


async def check_process(policy: Policy) -> list[Finding]:
    """Whether the canary's process could be stopped by its manager."""
    section = policy.process
    if section.kind == "none":
        return [skipped("process", "the policy names none; after a rollback nobody stops the canary")]
    place = f"process {section.name} ({section.kind})"
    try:
        state = await process_of(section).state()
    except CanaryError as error:
        return [failed(place, error.what, error.remedy or "see that this user may ask its manager")]
    if state is ProcessState.MISSING:
        return [warning(place, "its manager does not know it", "start it once, or correct process.name")]
    return [ok(place, f"is {state}")]
