"""One demo from its first to its last line."""

import asyncio

from rich.console import Console

from canary.timing.clock import Clock, SystemClock
from demo.breaking import WHATS, remember
from demo.crowd import crowd
from demo.scenario import Outcome, tell
from demo.screen import Screen
from demo.stack.stack import CANARY, STABLE, Settings, Stack

_TITLES = {
    "payments": f"A bad canary: the payments of {CANARY} will begin to fail.",
    "checkout": f"A bad canary: at the till of {CANARY} the button will be missing.",
    "errors": f"A bad canary: {CANARY} will begin to answer with errors.",
    "latency": f"A bad canary: {CANARY} will become very slow.",
}
_OTHERS = {
    "healthy": f"A healthy canary: {CANARY} should reach all customers.",
    "provider-outage": "An outage: the payment provider will fail for both versions, and nobody should be moved.",
}


async def run(settings: Settings, scenario: str, *, keep: bool) -> int:
    """Start everything, tell one story, end everything; the exit status is 0 when the story went as it should.

    Raises:
        CanaryError: a part could not be started, or ended by itself.
    """
    screen = Screen(Console())
    clock = SystemClock()
    screen.say(_TITLES[settings.fault] if scenario == "bad" else _OTHERS[scenario])
    async with Stack(settings, clock, screen) as stack:
        outcome = await tell(stack, clock, screen, scenario)
        _conclude(screen, outcome)
        if keep:
            await _stay(stack, clock, screen)
    return 1 if outcome.problems else 0


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
        async with crowd(stack, clock, stack.settings.seed + 1):
            if not stack.canary_runs():
                await _start_again(stack, screen)
            shops = {role: stack.places.url(role) for role in ("stable", "canary")}
            remember(stack.settings.folder, shops, stack.pids())
            screen.say(f"Break it yourself, in another terminal: canary demo break {'|'.join(WHATS)}")
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        screen.say("Ending everything.")


async def _start_again(stack: Stack, screen: Screen) -> None:
    """The same version again, well this time, held with a quarter of the customers."""
    with screen.step(f"{CANARY} again, well this time, held at its second phase for you to break"):
        await stack.another_canary()
        await stack.canary("start", "--canary", CANARY, "--stable", STABLE, "--again")
        await stack.canary("advance", "--reason", "more customers to break it with")
        await stack.canary("hold", "--reason", "kept for you to break; canary resume goes on")
