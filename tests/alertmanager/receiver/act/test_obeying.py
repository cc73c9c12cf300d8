"""Down is obeyed: what somebody lowered at a router stays lowered; what a router lost is brought back, and told."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alertmanager.receiver.act.confirmations import Confirmation
from alertmanager.receiver.act.splits import moved_by_hand, moved_to, rounded_down, wanted_split, weights_since
from canary.errors import JournalError
from canary.rollout.commands.commands import Hold, Promote, Resume
from canary.rollout.commands.finishing import Finish, FinishStep
from canary.rollout.entries import Held, Recorded, Started
from canary.rollout.folding import fold
from canary.rollout.kinds import Cause
from canary.rollout.state import State, Weight
from canary.rollout.store.marker import Marker
from canary.rollout.store.sidefile import SideFile
from canary.routers import Observation, Reading, Split
from canary.threads import InlineThreads
from tests.support.receiving.acting import Acting, World
from tests.support.receiving.entries import started

FIVE = Split("r1", 0.05)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world with an empty journal."""
    async with World.around(tmp_path) as world:
        yield world


@pytest.fixture
async def leader(world: World) -> Acting:
    """The receiver that leads, with a rollout whose 5 % are confirmed."""
    leader = world.receiver()
    await leader.start()
    await leader.controller.step()
    return leader


@pytest.fixture
async def finishing(leader: Acting) -> Acting:
    """The receiver that leads, with a release half of whose customers are back on the stable servers."""
    await leader.propose(Promote(actor="ann"))
    await leader.propose(Finish(actor="ann", weights=(0.5, 0.0), step_seconds=60))
    await leader.propose(FinishStep(actor="ann"))
    await leader.controller.step()
    return leader


def read(weight: float, process: str = "1/100", instance: str = "a") -> Reading:
    """One instance with this much of r1's traffic."""
    return Reading(instance, weight, FIVE.salt if weight else None, testers=weight > 0, process=process)


def lowered_for(rollout: str) -> Reading:
    """One instance that was lowered for a rollout, and says so."""
    return Reading("a", 0.0, Split(rollout, 0.0).salt, process="1/100")


@pytest.mark.parametrize(
    ("readings", "confirmed", "wanted", "lowered"),
    [
        ((read(0.0),), Confirmation(FIVE, {"a": "1/100"}), FIVE, 0.0),
        ((read(0.02),), Confirmation(FIVE, {"a": "1/100"}), FIVE, 0.02),
        # An advance has been decided meanwhile: it is still below what was confirmed.
        ((read(0.02),), Confirmation(FIVE, {"a": "1/100"}), Split("r1", 0.5), 0.02),
        ((read(0.05),), Confirmation(FIVE, {"a": "1/100"}), Split("r1", 0.5), None),
        # The lowest of those that somebody lowered; the other one has lost what it had.
        ((read(0.02), read(0.0, "2/200", "b")), Confirmation(FIVE, {"a": "1/100", "b": "1/100"}), FIVE, 0.02),
        ((read(0.03), read(0.01, "7/7", "b")), Confirmation(FIVE, {"a": "1/100", "b": "7/7"}), FIVE, 0.01),
        # Restarted; lost its map; never confirmed; in the middle of a write of ours; another rollout; raised.
        ((read(0.0, "2/200"),), Confirmation(FIVE, {"a": "1/100"}), FIVE, None),
        ((read(0.0, ""),), Confirmation(FIVE, {"a": ""}), FIVE, None),
        ((read(0.0),), None, FIVE, None),
        ((read(0.0),), Confirmation(FIVE, {"a": "1/100"}, writing=True), FIVE, None),
        ((read(0.0),), Confirmation(Split("r0", 0.05), {"a": "1/100"}), FIVE, None),
        # Lowered by a receiver: for the rollout before, which it was about to do when it was stopped; and in doubt.
        ((lowered_for("r0"),), Confirmation(FIVE, {"a": "1/100"}), FIVE, None),
        ((lowered_for("none"),), Confirmation(FIVE, {"a": "1/100"}), FIVE, 0.0),
        ((read(0.5),), Confirmation(FIVE, {"a": "1/100"}), FIVE, None),
        ((Reading("a", None, error="away", process="1/100"),), Confirmation(FIVE, {"a": "1/100"}), FIVE, None),
    ],
)
def test_by_hand_is_defined(
    readings: tuple[Reading, ...], confirmed: Confirmation | None, wanted: Split, lowered: float | None
) -> None:
    """The process that was confirmed, no write of ours since, this rollout, and less than before."""
    assert moved_by_hand(Observation(readings), wanted, confirmed) == lowered


async def test_a_weight_moved_by_hand_becomes_a_hold(leader: Acting, world: World) -> None:
    """Two looks, and it is a decision: nothing is raised, and only a person goes on."""
    world.router.split = Split(leader.rollout.id, 0.01)
    await leader.controller.step()
    assert leader.rollout.state is State.PHASE

    await leader.controller.step()
    for _ in range(3):
        await leader.controller.step()

    assert (leader.rollout.state, leader.rollout.cause) == (State.HOLDING, Cause.BY_HAND)
    assert leader.rollout.weight == 0.01
    assert not leader.rollout.lifts
    assert leader.controller.follows(Split(leader.rollout.id, 0.01))
    assert leader.rollout.reason == "router edge was lowered from 5% to 1% by hand; only a person raises it again"
    assert leader.rollout.actor == "receiver"

    await leader.propose(Resume(actor="ann"))
    await leader.controller.step()
    assert world.router.split.weight_ratio == 0.05


async def test_whoever_lowers_further_meanwhile_is_obeyed_too(leader: Acting, world: World) -> None:
    """A hold at 2 % comes upon a router that was lowered to 1 % since it was looked at: that is where it is held."""
    world.router.split = Split(leader.rollout.id, 0.01)
    await leader.propose(Hold(actor="receiver", cause=Cause.BY_HAND, weight=0.02))
    for _ in range(4):
        await leader.controller.step()

    assert (leader.rollout.weight, world.router.split.weight_ratio) == (0.01, 0.01)
    assert max(split.weight_ratio for split in world.router.set[1:]) == 0.01


async def test_a_weight_too_fine_for_a_router_is_rounded_down(leader: Acting, world: World) -> None:
    """Lowered to 1.58 % next to an nginx, which knows whole percents, the canary is held at 1 % everywhere."""
    world.router.split = Split(leader.rollout.id, 0.0158)
    world.router.finest_ratio = 0.01
    for _ in range(3):
        await leader.controller.step()

    assert leader.rollout.weight == 0.01
    assert leader.controller.follows(Split(leader.rollout.id, 0.01))


@pytest.mark.parametrize(
    ("weight", "finest", "rounded"),
    [(0.0158, 0.0001, 0.0158), (0.0158, 0.01, 0.01), (0.03, 0.01, 0.03), (0.029999, 0.01, 0.03), (0.009, 0.01, 0.0)],
)
def test_rounding_down_raises_nobody(weight: float, finest: float, rounded: float) -> None:
    """What a router can have already stays, in spite of arithmetic; everything else goes to the next lower one."""
    assert rounded_down(weight, finest) == rounded


async def test_what_another_receiver_had_set_is_nobodys_hand(leader: Acting, world: World) -> None:
    """A weight that was decided between this receiver's last look and now: whoever resumed is not held again for it."""
    other = world.receiver(leading=False)
    await other.store.refresh()
    await other.controller.step()
    world.router.split = Split(leader.rollout.id, 0.01)
    for _ in range(3):
        await leader.controller.step()
    await leader.propose(Resume(actor="ann"))

    other.lead.leading = True
    await other.store.refresh()
    for _ in range(3):
        await other.controller.step()

    assert other.rollout.state is State.PHASE
    assert world.router.split.weight_ratio == 0.05


def test_what_was_finished_meanwhile_is_nobodys_hand() -> None:
    """Seen at 50 % before the promotion, a router with 100 % after the first step back was raised by a receiver."""
    half, hand = Split("r1", 0.5), Confirmation(Split("r1", 0.5), {"a": "1/100"}, weights=2)
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    weights = tuple(Weight(noon, ratio) for ratio in (0.05, 0.5, 1.0, 0.5))
    rollout = replace(fold([started("r1", noon)])["r1"], weights=weights)
    observation = Observation((read(1.0),))

    for known, found in ((hand, None), (replace(hand, weights=4), 1.0), (replace(hand, weights=None), 1.0)):
        since = weights_since(known, rollout)
        assert moved_by_hand(observation, half, known, since=since, finishing=True) == found


@pytest.mark.parametrize(("found", "finest", "held"), [(0.75, 0.0001, 0.75), (0.6042, 0.01, 0.61)])
async def test_a_router_raised_while_a_release_is_finished_freezes_it(
    finishing: Acting, world: World, found: float, finest: float, held: float
) -> None:
    """The canary's servers are the proven side then: more of them is obeyed, rounded to what every router can have."""
    world.router.finest_ratio = finest
    world.router.split = Split(finishing.rollout.id, found, testers=False)
    for _ in range(3):
        await finishing.controller.step()

    assert (finishing.rollout.state, finishing.rollout.frozen) == (State.FINISHING, True)
    assert (finishing.rollout.weight, world.router.split.weight_ratio) == (held, held)
    assert finishing.rollout.cause == Cause.BY_HAND
    (told,) = [entry for entry in await finishing.store.entries() if isinstance(entry, Held)]
    raised = f"router edge was raised from 50% to {held:.0%} by hand"
    assert (told.actor, told.reason) == ("receiver", f"{raised}; only a person lowers it again")


async def test_a_weight_lowered_by_hand_is_kept_without_the_journal(leader: Acting, world: World) -> None:
    """The hold counts at once, and is written when the journal takes it."""
    leader.journal.broken = True
    world.router.split = Split(leader.rollout.id, 0.01)
    for _ in range(3):
        await leader.controller.step()
    assert (leader.rollout.state, leader.rollout.weight) == (State.HOLDING, 0.01)
    assert world.router.split.weight_ratio == 0.01

    leader.journal.broken = False
    await leader.store.refresh()
    assert [type(entry) for entry in await leader.journal.entries()] == [Started, Held]


async def test_a_weight_that_somebody_decided_is_nobodys_hand(leader: Acting, world: World) -> None:
    """What the journal says by now explains the router: it is followed at once, and nothing is decided."""
    other = world.receiver(leading=False)
    await other.store.refresh()
    await other.propose(Hold(actor="bob", weight=0.01))
    await other.controller.step()
    assert await leader.controller.step() > 0

    assert await leader.controller.step() == 0
    await leader.controller.step()

    assert leader.controller.follows(Split(leader.rollout.id, 0.01))
    assert (leader.rollout.actor, world.router.split.weight_ratio) == ("bob", 0.01)


async def test_one_look_is_not_enough(leader: Acting, world: World) -> None:
    """What is gone at the second look was no decision."""
    before = world.router.split
    world.router.split = Split(leader.rollout.id, 0.01)
    pause_seconds = await leader.controller.step()
    world.router.split = before
    await leader.controller.step()

    assert pause_seconds <= 1.0
    assert leader.rollout.state is State.PHASE


@pytest.mark.parametrize("told", [True, False])
async def test_what_a_receiver_closed_and_took_with_it_stays_closed(
    leader: Acting, world: World, *, told: bool
) -> None:
    """It could not write it down, and died with its files: a router that says whose weight it closed is believed.

    Routers that do not say it are brought to what the journal says.
    """
    world.router.tells_salt = told
    leader.journal.broken = True
    with pytest.raises(JournalError):
        await leader.roll_back()
    await leader.controller.step()
    assert world.router.split.weight_ratio == 0

    successor = world.receiver()
    await successor.store.refresh()
    for _ in range(3):
        await successor.controller.step()

    assert (world.router.split.weight_ratio == 0) == told
    assert (successor.rollout.state, successor.rollout.cause) == (
        (State.HOLDING, Cause.BY_HAND) if told else (State.PHASE, "")
    )


async def test_a_phase_of_testers_that_is_closed_to_them_is_held(world: World) -> None:
    """There is no weight to lower: whoever lets testers in no more is obeyed too, and a person lets them in again."""
    leader = world.receiver()
    await leader.start(traffic=(0.0, 0.5, 1.0))
    await leader.controller.step()
    assert world.router.split.testers_alone
    world.router.split = replace(world.router.split, testers=False, testers_alone=False)
    for _ in range(4):
        await leader.controller.step()

    assert (leader.rollout.state, leader.rollout.cause) == (State.HOLDING, Cause.BY_HAND)
    assert leader.rollout.reason == "router edge was closed to testers by hand; only a person lets them in again"
    assert not world.router.split.testers_alone

    # Nor does an alert that counts down to a rollback let them in.
    soon = leader.clock.now() + timedelta(seconds=60)
    await leader.propose(Hold(actor="alertmanager", cause="CanaryHighErrorRate", rollback_at=soon))
    for _ in range(3):
        await leader.controller.step()
    assert not world.router.split.testers_alone

    await leader.propose(Resume(actor="ann"))
    await leader.controller.step()
    assert world.router.split.testers_alone


def test_a_closing_of_our_own_that_was_not_confirmed_is_nobodys_hand() -> None:
    """One of two HAProxies is down while testers are let in no more: a person who resumes is not held again for it."""
    rollout = fold(
        [started("r1", datetime(2026, 1, 31, 12, tzinfo=UTC), traffic=(0.0, 1.0), durations_seconds=(60.0, 60.0))]
    )["r1"]
    wanted, closed = wanted_split(rollout), replace(lowered_for("r1"), closed=True)
    known = Confirmation(wanted, {"a": "1/100"})

    assert moved_to(Observation((closed,)), wanted, known, rollout) == 0.0
    for other in (replace(known, writing=True), replace(known, processes={"a": "2/200"})):
        assert moved_to(Observation((closed,)), wanted, other, rollout) is None


async def test_a_rollout_that_was_held_at_nothing_is_gone_on_with(leader: Acting, world: World) -> None:
    """The journal says itself why it is closed: a receiver that never saw the router brings it to what was resumed."""
    await leader.propose(Hold(actor="ann", weight=0.0))
    await leader.controller.step()
    await leader.propose(Resume(actor="ann"))

    successor = world.receiver()
    await successor.store.refresh()
    for _ in range(3):
        await successor.controller.step()

    assert (successor.rollout.state, world.router.split.weight_ratio) == (State.PHASE, 0.05)


async def test_what_a_receiver_lowers_too_late_is_put_right(leader: Acting, world: World) -> None:
    """It was stopped while it lowered the rollout before, and goes on in the middle of this one."""
    await leader.roll_back()
    await leader.reconcile()
    before = Split(leader.rollout.id, 0.0, testers=False)
    leader.clock.advance(60)
    await leader.start("v3.0")
    await leader.controller.step()
    await world.router.set_weight(before)

    for _ in range(3):
        await leader.controller.step()

    assert (leader.rollout.state, world.router.split.weight_ratio) == (State.PHASE, 0.05)
    assert [entry.occasion for entry in await leader.store.entries() if isinstance(entry, Recorded)] == ["router"]


async def test_while_a_release_is_finished_whoever_raises_is_obeyed(leader: Acting, world: World) -> None:
    """The canary's servers are the proven side then: what somebody has returned to them stays there."""
    await leader.propose(Promote(actor="ann"))
    await leader.propose(Finish(actor="ann", weights=(0.5, 0.0), step_seconds=60))
    await leader.propose(FinishStep(actor="ann"))
    await leader.controller.step()
    world.router.split = replace(world.router.split, weight_ratio=0.8)

    for _ in range(3):
        await leader.controller.step()

    assert (leader.rollout.state, leader.rollout.weight) == (State.FINISHING, 0.8)
    assert leader.rollout.reason == "router edge was raised from 50% to 80% by hand; only a person lowers it again"
    assert world.router.split.weight_ratio == 0.8


async def test_after_the_promotion_it_is_on_trial_again(leader: Acting, world: World) -> None:
    """Lowered by hand, a promoted canary is held at that weight, and can be promoted anew or rolled back."""
    await leader.propose(Promote(actor="ann"))
    await leader.controller.step()
    world.router.split = Split(leader.rollout.id, 0.1, testers=False)
    await leader.controller.step()
    await leader.controller.step()

    assert (leader.rollout.state, leader.rollout.weight) == (State.HOLDING, 0.1)
    await leader.propose(Promote(actor="ann"))
    assert leader.rollout.state is State.PROMOTED


async def test_a_restarted_router_is_restored_and_told(leader: Acting, world: World) -> None:
    """Another process at 0 has lost what it had; that is said once."""
    for start in (200, 300):
        world.router.process = f"2/{start}"
        world.router.split = Split("none", 0.0, testers=False)
        await leader.controller.step()

    assert world.router.split.weight_ratio == 0.05
    assert leader.rollout.state is State.PHASE
    told = [entry for entry in await leader.store.entries() if isinstance(entry, Recorded)]
    assert [entry.occasion for entry in told] == ["router"]
    assert told[0].reason == "router edge had lost its weight (edge: 0%); it has 5% again"
    assert told[0].key.startswith(f"router:edge:{leader.rollout.decision}:")
    assert len(told[0].key) <= 120


async def test_higher_than_wanted_is_lowered_at_once(leader: Acting, world: World) -> None:
    """Nobody gets onto a canary by a router's hand: one look is enough."""
    world.router.split = Split(leader.rollout.id, 0.5)
    await leader.controller.step()

    assert world.router.split.weight_ratio == 0.05


@pytest.mark.parametrize("promoted", [False, True])
async def test_what_was_lowered_without_a_journal_survives_a_restart(
    world: World, leader: Acting, tmp_path: Path, *, promoted: bool
) -> None:
    """The process is killed before the disk has space again: the next one rolls back all the same, and writes it."""
    if promoted:
        await leader.propose(Promote(actor="ann"))
        await leader.controller.step()
    leader.store.remember(Marker(SideFile(tmp_path / "lowered", InlineThreads())))
    leader.journal.broken = True
    with pytest.raises(JournalError):
        await leader.roll_back()
    await leader.controller.step()

    marker = Marker(SideFile(tmp_path / "lowered", InlineThreads()))
    successor = world.receiver()
    successor.store.remember(marker)
    await successor.store.refresh()
    await successor.store.recall()
    await successor.reconcile()

    assert world.router.split.weight_ratio == 0
    assert {split.weight_ratio for split in world.router.set[-2:]} == {0} or not promoted
    await successor.store.refresh()
    assert successor.rollout.weight == 0
    assert not successor.store.waiting
    await marker.written()
    assert await Marker(SideFile(tmp_path / "lowered", InlineThreads())).recall() == []
