"""One demo from its first to its last line."""

import asyncio
from contextlib import suppress
from dataclasses import asdict

from rich.console import Console

from canary.errors import ProcessError
from canary.rollout.state import State
from canary.timing.clock import Clock, SystemClock
from canary.web.strangers.descriptors import raise_limit
from demo.breaking import WHATS, remember
from demo.crowd import crowd
from demo.releases import finish, two
from demo.scenario import Outcome, Story
from demo.screen import Screen
from demo.shop.faults import Faults
from demo.stack.stack import CANARY, NEXT, Settings, Stack

_TITLES = {
    "payments": f"A bad canary: the payments of {CANARY} will begin to fail.",
    "checkout": f"A bad canary: at the checkout of {CANARY} the button will be missing.",
    "errors": f"A bad canary: {CANARY} will begin to answer with errors.",
    "latency": f"A bad canary: {CANARY} will become very slow.",
}
_OTHERS = {
    "healthy": f"A healthy canary: {CANARY} should reach all customers.",
    "provider-outage": "An outage: the payment provider will fail for both versions, and nobody should be moved.",
    "second-release": f"Two releases: {CANARY} is finished, then {NEXT}; nobody should meet a version left behind.",
}


async def run(settings: Settings, scenario: str, *, keep: bool) -> int:
    """Start everything, tell one story, end everything; the exit status is 0 when the story went as it should.

    Raises:
        CanaryError: a part could not be started, or ended by itself.
    """
    screen = Screen(Console())
    clock = SystemClock()
    raise_limit()  # customers who wait for a busy machine are a connection each
    screen.say(_TITLES[settings.fault] if scenario == "bad" else _OTHERS[scenario])
    async with Stack(settings, clock, screen) as stack:
        outcome = await tell(stack, clock, screen, scenario)
        _conclude(screen, outcome)
        if keep:
            await _stay(stack, clock, screen)
    return 1 if outcome.problems else 0


async def tell(stack: Stack, clock: Clock, screen: Screen, scenario: str) -> Outcome:
    """Let the customers come in for the length of one story."""
    async with crowd(stack, clock, stack.settings.seed) as customers:
        if scenario == "second-release":
            return await two(stack, customers, clock, screen)
        story = Story(stack, customers, clock, screen)
        stories = {"bad": story.bad, "healthy": story.healthy, "provider-outage": story.provider_outage}
        return await stories[scenario]()


def _conclude(screen: Screen, outcome: Outcome) -> None:
    screen.timeline(outcome.moments, outcome.started_at)
    for line in outcome.summary:
        screen.say(line)
    screen.verdict(outcome.problems, outcome.success)


async def _stay(stack: Stack, clock: Clock, screen: Screen) -> None:
    """Leave everything up until somebody ends it, with customers and a canary to break."""
    screen.say("Everything stays up until Ctrl-C:")
    for part in ("prometheus", "alertmanager", "exporter", "receiver", "front"):
        screen.say(f"  {part:<13} {stack.places.url(part)}")
    screen.say(f"  policy        {stack.policy_file}")
    try:
        # Other customers than those of the story, who have all been here.
        screen.say("A canary for you to break is being prepared; this takes up to a minute or two.")
        async with crowd(stack, clock, stack.settings.seed + 1):
            await _another_canary(stack, clock, screen)
            shops = {role: stack.places.url(role) for role in ("stable", "canary")}
            remember(stack.settings.folder, shops, stack.pids())
            screen.say(f"Break it yourself, in another terminal: canary demo break {'|'.join(WHATS)}")
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        screen.say("Ending everything.")


async def _another_canary(stack: Stack, clock: Clock, screen: Screen) -> None:
    """A canary for people to break, held with a quarter of the customers, whatever the story has left behind.

    That is the story's own, where it is still one; the same version once more where it was rolled back; and the next
    version where it was promoted, or finished.
    """
    rollout = await stack.journal.current()
    assert rollout is not None
    if stack.canary_runs():
        await stack.set_faults(everywhere=True, **asdict(Faults()))
    if rollout.running:
        await stack.canary("hold", "--reason", "kept for you to break; canary resume goes on")
        return
    if rollout.state is State.PROMOTED:
        rollout, problems = await finish(stack, clock, screen)
        for problem in problems:
            screen.say(problem)
    version = _after(rollout.canary) if rollout.state is State.FINISHED else rollout.canary
    with screen.step(f"{version} is well, and held at its second phase for you to break"):
        await stack.deploy_canary(version)
        await stack.canary("start", "--canary", version, "--stable", stack.stable_version, "--again")
        with suppress(ProcessError):  # on a slow machine its first phase is over by now, and it has advanced by itself
            await stack.canary("advance", "--reason", "more customers to break it with")
        await stack.canary("hold", "--reason", "kept for you to break; canary resume goes on")


def _after(version: str) -> str:
    """The version that is released next."""
    return f"v{int(version[1:].partition('.')[0]) + 1}.0"
