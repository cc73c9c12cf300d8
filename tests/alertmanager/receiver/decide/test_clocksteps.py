"""Steps of the wall clock: told once, decided by never."""

from pathlib import Path

import pytest

from alertmanager.receiver.decide.clocksteps import ClockSteps
from canary.policy.model import Policy
from canary.policy.release import Rollback
from canary.rollout.entries import Recorded
from canary.rollout.state import State
from tests.support.receiving.acting import World
from tests.support.receiving.deciding import Deciding
from tests.support.receiving.receiver import SERVICE

FAR = [3600.0 * 24 * 400, -3600.0 * 24 * 400]


@pytest.mark.parametrize("step_seconds", FAR)
async def test_a_step_is_told_once(step_seconds: float) -> None:
    """The journal says what was done to the clock, and by how much; slewing is no step."""
    async with Deciding.about(Policy(service=SERVICE)) as deciding:
        steps = ClockSteps(deciding.store, deciding.clock)
        for _ in range(10):
            deciding.clock.set_wall(0.4)
            await steps.look()
        deciding.clock.set_wall(step_seconds)
        for _ in range(3):
            await steps.look()

        told = [entry for entry in await deciding.store.entries() if isinstance(entry, Recorded)]
        assert [entry.occasion for entry in told] == ["clock"]
        assert ("forward" if step_seconds > 0 else "back") in told[0].reason
        assert deciding.state() is State.PHASE


@pytest.mark.parametrize("step_seconds", FAR)
async def test_a_countdown_is_not_changed_by_a_step(step_seconds: float) -> None:
    """It ends when its time has passed, not earlier and not later."""
    async with Deciding.about(Policy(service=SERVICE, rollback=Rollback(countdown=60))) as deciding:
        deciding.beat()
        await deciding.hear("CanaryHighErrorRate", "rollback")
        deciding.clock.set_wall(step_seconds)
        await deciding.passes(59)
        assert deciding.state() is State.HOLDING
        await deciding.passes(2)
        assert deciding.state() is State.ROLLING_BACK


@pytest.mark.parametrize("step_seconds", FAR)
async def test_no_message_expires_by_a_step(tmp_path: Path, step_seconds: float) -> None:
    """What could not be told yet is told when the target is back, whatever the clock says by then."""
    async with World.around(tmp_path) as world:
        world.chats.targets = ("slack",)
        world.chats.refusing = {"slack"}
        leader = world.receiver()
        await leader.start()
        await leader.roll_back()
        await leader.reconcile()
        await leader.outbox.step()
        world.clock.set_wall(step_seconds)
        world.chats.refusing = set()
        await leader.outbox.step()

        assert [target for target, _ in world.chats.taken][-1:] == ["slack"]
        assert not leader.outbox.expired
