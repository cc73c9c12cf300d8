"""Change freezes: nothing is started or raised in one, and nothing that protects customers asks for it."""

from datetime import timedelta

import pytest

from canary import names
from canary.errors import RefusedError
from canary.policy.freeze import Freeze
from canary.policy.model import Policy
from canary.policy.release import Phase, Receiver, Watchdog
from canary.rollout.commands.freezing import BeginFreeze
from canary.rollout.kinds import Kind
from canary.rollout.state import State
from canary.rollout.store.store import RolloutStore
from tests.support.receiving.deciding import Deciding

PHASES = (Phase(traffic=0.05, duration=300, max_duration=600), Phase(traffic=1, duration=300))
CALM = Watchdog(timeout=1e9)
PLAIN = Policy(service="shop", phases=PHASES, receiver=Receiver(watchdog=CALM))


async def test_a_person_begins_and_lifts_one() -> None:
    """It is in the journal with its author, its end and the reason; lifted, everything goes on."""
    async with Deciding.about(PLAIN) as deciding:
        until = deciding.clock.now() + timedelta(hours=1)
        entry = await deciding.freezes.begin(until, actor="ann", reason="sale")
        assert (entry.kind, entry.data()["until"][:13]) == (Kind.FROZEN, f"{until:%Y-%m-%dT%H}")
        assert str(deciding.freezes.active) == f"change freeze (sale) by ann, until {until:%Y-%m-%d %H:%M} UTC"

        with pytest.raises(RefusedError, match=r"change freeze \(sale\) by ann.*add --force"):
            await deciding.order("advance")

        await deciding.freezes.lift(actor="bob", reason="over")
        assert deciding.freezes.active is None
        await deciding.order("advance")
        assert deciding.rollout.phase == 1


async def test_one_that_is_over_or_was_never_begun_cannot_be_lifted() -> None:
    """Nor can one begin that is over already."""
    async with Deciding.about(PLAIN) as deciding:
        with pytest.raises(RefusedError, match="no freeze that a person began is in force"):
            await deciding.freezes.lift(actor="ann", reason="")
        with pytest.raises(RefusedError, match="expected a moment after now"):
            await deciding.freezes.begin(deciding.clock.now(), actor="ann", reason="")

        await deciding.freezes.begin(deciding.clock.now() + timedelta(hours=1), actor="ann", reason="")
        deciding.clock.advance(3600)
        assert deciding.freezes.active is None
        with pytest.raises(RefusedError, match="no freeze"):
            await deciding.freezes.lift(actor="ann", reason="")


async def test_the_same_request_again_is_answered_with_the_first_result() -> None:
    """A command line that lost the answer sends it again, also when the freeze is lifted by then."""
    async with Deciding.about(PLAIN) as deciding:
        until = deciding.clock.now() + timedelta(hours=1)
        first = await deciding.freezes.begin(until, actor="ann", reason="", key="k1")
        assert await deciding.freezes.begin(until, actor="ann", reason="", key="k1") == first

        lifted = await deciding.freezes.lift(actor="ann", reason="", key="k2")
        assert await deciding.freezes.lift(actor="ann", reason="", key="k2") == lifted


async def test_nothing_advances_by_itself_and_the_status_says_why() -> None:
    """With every key turned it waits for the freeze, and goes on by itself when that has ended."""
    async with Deciding.about(PLAIN) as deciding:
        await deciding.freezes.begin(deciding.clock.now() + timedelta(seconds=400), actor="ann", reason="")
        deciding.clock.advance(300)
        await deciding.key()
        await deciding.promoter.step()
        assert deciding.rollout.phase == 0
        assert deciding.promoter.waiting is not None
        assert "change freeze" in deciding.promoter.waiting.text

        deciding.clock.advance(101)
        await deciding.key()
        await deciding.promoter.step()
        assert deciding.rollout.phase == 1


async def test_the_time_in_a_freeze_is_no_time_in_which_a_phase_was_not_allowed_to_end() -> None:
    """Its longest duration does not hold it in the freeze, nor in the moment in which that ends."""
    async with Deciding.about(PLAIN) as deciding:
        await deciding.freezes.begin(deciding.clock.now() + timedelta(seconds=5000), actor="ann", reason="")
        for _ in range(50):
            await deciding.passes(100)
        await deciding.passes(500)
        assert deciding.state() is State.PHASE

        await deciding.passes(200)
        assert (deciding.state(), deciding.rollout.cause) == (State.HOLDING, "max_duration")


@pytest.mark.parametrize("raises", ["advance", "promote", "a phase's end"])
async def test_one_that_is_read_while_the_weight_is_being_raised_counts(raises: str) -> None:
    """Another receiver wrote it, or the answer was lost: it comes with what is read right before the entry."""
    async with Deciding.about(PLAIN) as deciding:
        other = RolloutStore(deciding.journal, deciding.clock)
        await other.refresh()
        deciding.clock.advance(300)
        await deciding.key()
        await other.propose(None, BeginFreeze(actor="bob", until=deciding.clock.now() + timedelta(hours=1)))

        if raises == "a phase's end":
            await deciding.promoter.step()
        else:
            with pytest.raises(RefusedError, match=f"cannot {raises}: change freeze of the service by bob"):
                await deciding.order(raises)

        assert (deciding.state(), deciding.rollout.phase) == (State.PHASE, 0)


async def test_what_protects_customers_never_asks_for_it() -> None:
    """A hold and a rollback of an alert, and a person's, act in the midst of one."""
    async with Deciding.about(PLAIN) as deciding:
        await deciding.freezes.begin(deciding.clock.now() + timedelta(hours=1), actor="ann", reason="")

        await deciding.hear(names.BLIND_ALERT, "hold")
        assert deciding.state() is State.HOLDING
        await deciding.hear(names.HIGH_ERROR_RATE, "rollback")
        assert deciding.state() is State.ROLLING_BACK


async def test_a_start_in_one_of_the_policy_needs_force() -> None:
    """It says which freeze, until when, and what to add; with it the rollout begins."""
    sale = Receiver(watchdog=CALM, freeze=(Freeze(name="Sale", months=("january:november",)), "mon-sun"))
    async with Deciding.about(Policy(service="shop", phases=PHASES, receiver=sale), force=True) as deciding:
        await deciding.order("promote", force=True)

        with pytest.raises(RefusedError, match=r"cannot start: change freeze .*to do it all the same, add --force"):
            await deciding.order("start", canary="v3.0", stable="v1.0")

        await deciding.order("start", canary="v3.0", stable="v1.0", force=True)
        assert deciding.rollout.canary == "v3.0"
