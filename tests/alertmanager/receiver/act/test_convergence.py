"""How long routers do not follow what is wanted: measured from the decision, by a clock that nobody sets."""

from datetime import datetime

import pytest

from alertmanager.receiver.act.reconciler import Reconciler
from canary import names
from canary.rollout.commands.commands import Hold, Resume
from tests.support.receiving.acting import Acting, World, make_effects


@pytest.fixture
async def leader(leader: Acting) -> Acting:
    """The receiver that leads, with a rollout whose 5 % are in force."""
    await leader.controller.step()
    return leader


def measured(receiver: Acting) -> tuple[datetime | None, float | None]:
    """Since when routers do not follow, and for how long."""
    return receiver.reconciler.converging_since, receiver.reconciler.converging_seconds


async def test_how_long_routers_do_not_follow_is_measured_from_the_decision(leader: Acting, world: World) -> None:
    """Until all of them do; a hold, which moves nobody, is nothing to follow."""
    reconciler = leader.reconciler
    assert (reconciler.settled, measured(leader)) == (True, (None, None))
    await leader.propose(Hold(actor="ann"))
    await leader.propose(Resume(actor="ann"))
    assert measured(leader) == (None, None)

    world.router.away = True
    decided = await leader.advance()
    world.clock.advance(7)
    await leader.controller.step()
    assert (reconciler.settled, measured(leader)) == (False, (decided.at, 7))

    world.router.away = False
    await leader.controller.step()
    assert (reconciler.settled, measured(leader), reconciler.weight_ratio) == (True, (None, None), 0.5)


async def test_a_receiver_that_begins_does_not_know_that_routers_follow(world: World) -> None:
    """Nothing has been read back: there is no weight to show, and the time counts from its beginning."""
    began = world.clock.now()
    reconciler = world.receiver().reconciler
    assert (reconciler.weight_ratio, reconciler.converging_since) == (None, began)
    world.clock.advance(3)
    assert reconciler.converging_seconds == 3


async def test_a_router_that_somebody_changes_does_not_follow_any_more(leader: Acting, world: World) -> None:
    """It counts from when that was found, and not as the time that a decision took."""
    world.router.away = True
    world.clock.advance(5)
    await leader.controller.step()

    assert leader.reconciler.converging_since == world.clock.now()
    assert leader.reconciler.converging_seconds == 0


def counted(receiver: Acting) -> tuple[float | None, float | None]:
    """How many decisions were followed, and how long that took altogether."""
    get, labels = receiver.metrics.registry.get_sample_value, {names.SERVICE: receiver.metrics.service}
    return get(f"{names.CONVERGENCE_SECONDS}_count", labels), get(f"{names.CONVERGENCE_SECONDS}_sum", labels)


async def test_the_time_that_a_decision_took_is_counted(leader: Acting, world: World) -> None:
    """From the decision until all routers follow; putting right what somebody changed is no decision's time."""
    assert counted(leader) == (1, 0)
    await leader.advance()
    world.clock.advance(7)
    await leader.controller.step()
    assert counted(leader) == (2, 7)

    world.router.away = True
    await leader.controller.step()
    world.clock.advance(60)
    world.router.away = False
    await leader.controller.step()
    assert leader.reconciler.settled
    assert counted(leader) == (2, 7)


async def test_a_receiver_that_begins_counts_no_decision(leader: Acting, world: World) -> None:
    """It has not seen the decision that the routers follow."""
    successor = await world.restarted()
    world.clock.advance(7)
    await successor.controller.step()

    assert measured(successor) == (None, None)
    assert counted(successor) == (0, 0)


async def test_without_routers_there_is_nothing_to_follow(leader: Acting, world: World) -> None:
    """All follow, from the beginning and after each decision."""
    effects = make_effects(leader.store, leader.lead, process=world.process)
    reconciler = Reconciler(world.policy, leader.store, effects, leader.metrics, world.clock)
    for _ in range(2):
        assert (reconciler.settled, reconciler.converging_since, reconciler.weight_ratio) == (True, None, None)
        reconciler.heard(await leader.advance())
