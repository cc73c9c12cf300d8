"""One demo from its first to its last line."""

import asyncio

from rich.console import Console

from canary.clock import SystemClock
from demo.scenario import Outcome, tell
from demo.screen import Screen
from demo.stack.stack import CANARY, Settings, Stack

_TITLES = {
    "payments": f"A bad canary: the payments of {CANARY} will begin to fail.",
    "checkout": f"A bad canary: at the till of {CANARY} the button will be missing.",
    "errors": f"A bad canary: {CANARY} will begin to answer with errors.",
    "latency": f"A bad canary: {CANARY} will become very slow.",
}
_HEALTHY = f"A healthy canary: {CANARY} should reach all customers."


async def run(settings: Settings, scenario: str, *, keep: bool) -> int:
    """Start everything, tell one story, end everything; the exit status is 0 when the story went as it should.

    Raises:
        CanaryError: a part could not be started, or ended by itself.
    """
    screen = Screen(Console())
    clock = SystemClock()
    screen.say(_TITLES[settings.fault] if scenario == "bad" else _HEALTHY)
    async with Stack(settings, clock, screen) as stack:
        outcome = await tell(stack, clock, screen, scenario)
        _conclude(screen, outcome)
        if keep:
            await _stay(stack, screen)
    return 1 if outcome.problems else 0


def _conclude(screen: Screen, outcome: Outcome) -> None:
    screen.timeline(outcome.moments, outcome.started_at)
    for line in outcome.summary:
        screen.say(line)
    screen.verdict(outcome.problems, outcome.success)


async def _stay(stack: Stack, screen: Screen) -> None:
    """Leave everything up until somebody ends it."""
    screen.say("Everything stays up until Ctrl-C:")
    for part in ("prometheus", "alertmanager", "exporter", "receiver", "front"):
        screen.say(f"  {part:<13} {stack.places.url(part)}")
    screen.say(f"  policy        {stack.policy_file}")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        screen.say("Ending everything.")
