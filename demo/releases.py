"""Two releases in a row: the second one begins on what the first one has left behind.

A promoted canary has all customers on *its* servers, while the stable ones still run the version before. Without an end
to the release, the next one would send most customers back to that. So here each release is finished as an operator
does it: the new version is deployed to the stable server, `canary finish` brings the customers back, and the canary's
server is free for the next version. Whether anybody met a version that had been left behind, the customers tell.
"""

from collections.abc import Mapping
from datetime import datetime

from canary.rollout.state import Rollout, State
from canary.timing.clock import Clock
from demo import timeline
from demo.customers import Customers, Memory
from demo.scenario import LOOK_SECONDS, UNDER_WAY, Outcome, Story
from demo.screen import Screen
from demo.stack.stack import CANARY, NEXT, STABLE, Stack
from demo.timeline import Moment

# What a finish may take beyond its steps: each waits until servers, Prometheus and router have been asked.
FINISH_PATIENCE_SECONDS = 60.0


async def two(stack: Stack, customers: Customers, clock: Clock, screen: Screen) -> Outcome:
    """Release `CANARY` and finish it; then release `NEXT` upon it, and finish that too."""
    moments: list[Moment] = []
    summary: list[str] = []
    left: dict[str, datetime] = {}
    first = outcome = await Story(stack, customers, clock, screen).healthy()
    problems = list(outcome.problems)
    while not problems:
        summary.append(outcome.summary[0])
        rollout, problems = await finish(stack, clock, screen)
        moments += [*outcome.moments, *timeline.of_finish(await stack.journal.entries(rollout.id))]
        if rollout.promoted is not None:
            left[rollout.stable] = rollout.promoted.at
        if problems or rollout.canary == NEXT:
            break
        with screen.step(f"{NEXT} is deployed on the canary's server"):
            await stack.deploy_canary(NEXT)
        outcome = await Story(stack, customers, clock, screen).healthy()
        problems = list(outcome.problems)
    else:
        moments += outcome.moments
    summary.append(customers.memory.left_unanswered())
    problems += gone_back(customers.memory, left)
    success = f"{CANARY} and then {NEXT} were promoted and finished; nobody met {STABLE} or {CANARY} again"
    return Outcome(moments, first.started_at, problems, summary, success)


async def finish(stack: Stack, clock: Clock, screen: Screen) -> tuple[Rollout, list[str]]:
    """Deploy the promoted version to the stable server and finish the release; what it came to, and what went wrong."""
    rollout = await _current(stack)
    with screen.step(f"{rollout.canary} is deployed on the stable server, which nobody is on"):
        await stack.deploy_stable(rollout.canary)
    with screen.step(f"canary finish: customers return to the stable server, which runs {rollout.canary} now"):
        await stack.canary("finish")
        section = stack.policy.finish
        deadline = clock.monotonic() + FINISH_PATIENCE_SECONDS + len(section.steps) * section.duration
        while not _over(stack, rollout := await _current(stack)) and clock.monotonic() < deadline:
            stack.check()
            await clock.sleep(LOOK_SECONDS)
    observation = await stack.router.read()
    return rollout, [
        *([] if _over(stack, rollout) else [f"expected the release to be finished and told, found it {rollout.state}"]),
        *([] if observation.weight_ratio == 0 else [f"expected everybody back on stable, found {observation.detail}"]),
        *([f"the process of {rollout.canary} on the canary's server still runs"] if stack.canary_runs() else []),
    ]


async def _current(stack: Stack) -> Rollout:
    rollout = await stack.journal.current()
    assert rollout is not None
    return rollout


def _over(stack: Stack, rollout: Rollout) -> bool:
    """Whether the release is finished, and the team knows."""
    since = rollout.ended_at
    finished = rollout.state is State.FINISHED and since is not None
    return finished and any(message.at >= since for message in stack.team.messages if since is not None)


def gone_back(memory: Memory, left: Mapping[str, datetime]) -> list[str]:
    """What the customers remember of versions that all had left at a moment: one sentence each, for who met them."""
    late = {
        version: sum(e.request and e.at > since + UNDER_WAY for e in memory.at(version))
        for version, since in left.items()
    }
    return [f"{count} requests reached {version} after all had left it" for version, count in late.items() if count]
