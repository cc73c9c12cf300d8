"""What an operator does from the first look to a finished release, on one whole stack."""

from canary.errors import CanaryError, ProcessError
from canary.rollout.state import State
from canary.timing.clock import Clock
from demo.crowd import crowd
from demo.customers import Customers
from demo.releases import finish
from demo.scenario import LOOK_SECONDS, Story
from demo.screen import Screen
from demo.stack.stack import NEXT, Stack

# What a rollback by hand takes on a busy machine, from the command to the stopped process.
_ROLLBACK_SECONDS = 60.0


async def release(stack: Stack, clock: Clock, screen: Screen) -> str:
    """Look, drill, be rolled back, roll back, release and finish; `passed`, or what went wrong first."""
    try:
        async with stack, crowd(stack, clock, stack.settings.seed) as customers:
            await _all(stack, customers, clock, screen)
    except CanaryError as error:
        screen.say(str(error))
        return f"failed: {_gist(str(error))}"
    return "passed"


def _gist(text: str) -> str:
    """Of what was said, the findings that failed; all of it where there are none."""
    return "; ".join(line for line in text.splitlines() if line.startswith("failed ")) or text


async def _all(stack: Stack, customers: Customers, clock: Clock, screen: Screen) -> None:
    await stack.seen()
    for command in ("check", "drill"):
        with screen.step(f"canary {command}"):
            await stack.canary(command)
    bad = await Story(stack, customers, clock, screen).bad()
    _expect(bad.problems)
    with screen.step("the same version again, and canary rollback"):
        await stack.deploy_canary(stack.canary_version)
        await stack.seen()
        await stack.canary("start", "--canary", stack.canary_version, "--stable", stack.stable_version, "--again")
        await stack.canary("rollback", "--reason", "tried by hand")
        await _rolled_back(stack, clock)
    await stack.deploy_canary(NEXT)
    healthy = await Story(stack, customers, clock, screen).healthy()
    _expect(healthy.problems)
    _, problems = await finish(stack, clock, screen)
    _expect(problems)


async def _rolled_back(stack: Stack, clock: Clock) -> None:
    deadline = clock.monotonic() + _ROLLBACK_SECONDS
    while clock.monotonic() < deadline:
        rollout = await stack.journal.current()
        observation = await stack.router.read()
        rolled_back = rollout is not None and rollout.state is State.ROLLED_BACK
        if rolled_back and observation.weight_ratio == 0 and not stack.canary_runs():
            return
        await clock.sleep(LOOK_SECONDS)
    raise ProcessError("the canary still has customers, or its process", place="canary rollback")


def _expect(problems: object) -> None:
    if problems:
        raise ProcessError(f"{problems}", place="demo")
