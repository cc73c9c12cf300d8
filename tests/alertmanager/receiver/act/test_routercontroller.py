"""Keeping a router where the journal wants it: a real HAProxy, looked at again and again, and what is wanted of it."""

from dataclasses import replace

from alertmanager.receiver.act.confirmations import Confirmations
from alertmanager.receiver.act.routercontroller import Reports, RouterController
from alertmanager.receiver.act.splits import lowered_at, wanted_split
from canary.rollout.commands.records import MarkElapsed
from canary.routers import files
from canary.routers.haproxy import mapfile
from canary.routers.haproxy.mapfile import Entries
from tests.support.programs.haproxy import HAProxy
from tests.support.receiving.acting import Acting, MemoryLead, World, five, make_effects


def controller(leader: Acting, haproxy: HAProxy, lead: MemoryLead, drifts: list[None]) -> RouterController:
    """A controller of a real HAProxy."""

    async def lowered(_router: str, _weight: float) -> None:
        raise AssertionError("nobody has lowered it")

    async def restored(_router: str, _found: str) -> None:
        return

    return RouterController(
        haproxy.router.name,
        make_effects(leader.store, lead, routers=[haproxy.router]),
        rollout=lambda: leader.store.rollout,
        confirmations=Confirmations(),
        clock=leader.clock,
        reports=Reports(lambda: None, lambda: drifts.append(None), lowered, restored),
        interval_seconds=2,
    )


# On a real HAProxy.


async def test_a_standby_looks_and_does_not_touch(leader: Acting, haproxy: HAProxy) -> None:
    """While another receiver acts, a controller sees whether the router follows, and sets nothing."""
    lead, drifts = MemoryLead(leading=False), list[None]()
    kept, wanted = controller(leader, haproxy, lead, drifts), five(leader)

    await kept.step()
    assert not kept.follows(wanted)
    assert (await haproxy.router.read()).weight_ratio == 0

    await haproxy.router.set_weight(wanted)
    await kept.step()
    assert kept.follows(wanted)
    await haproxy.router.set_weight(replace(wanted, weight_ratio=0))
    await kept.step()
    assert not kept.follows(wanted)
    assert drifts == []


async def test_a_new_leader_sets_what_a_restart_of_the_router_would_bring(leader: Acting, haproxy: HAProxy) -> None:
    """A leader that died between the runtime and the map's file leaves the file behind; its follower repairs it."""
    lead = MemoryLead(leading=False)
    kept, wanted = controller(leader, haproxy, lead, []), five(leader)
    await haproxy.router.set_weight(wanted)
    files.write(haproxy.map, mapfile.render(Entries(), "none"))

    await kept.step()
    lead.leading = True
    await kept.step()

    assert mapfile.read(haproxy.map) == Entries.of(wanted)


async def test_a_drift_is_counted_once_and_mended(leader: Acting, haproxy: HAProxy) -> None:
    """Changed by somebody else, the router is brought back; a change of ours is no drift."""
    drifts = list[None]()
    kept, wanted = controller(leader, haproxy, MemoryLead(), drifts), five(leader)
    await kept.step()
    assert drifts == []

    await haproxy.router.set_weight(replace(wanted, weight_ratio=0.5))
    await kept.step()
    await kept.step()

    assert len(drifts) == 1
    assert (await haproxy.router.read()).agrees(wanted)


async def test_pauses_grow_while_a_router_is_away(leader: Acting, haproxy: HAProxy) -> None:
    """A router that does not answer is tried again with growing pauses, and at once is known not to follow."""
    kept, wanted = controller(leader, haproxy, MemoryLead(), []), five(leader)
    haproxy.stop()

    pauses = [await kept.step() for _ in range(6)]

    assert pauses == sorted(pauses)
    assert pauses[-1] == 2
    assert kept.tried(wanted)
    assert not kept.follows(wanted)
    assert "cannot be reached" in kept.error
    await haproxy.start()
    await kept.step()
    assert kept.follows(wanted)
    assert kept.error == ""


async def test_after_a_change_a_reload_by_others_is_put_right_within_a_second(leader: Acting, world: World) -> None:
    """A reload that had read the old file comes up with the old weight: looked for often, then as rarely as before."""
    controller = leader.controller
    pauses = [await controller.step()]
    await leader.roll_back()
    pauses.append(await controller.step())
    world.router.restart(saved=five(leader))  # the worker that takes over some seconds later
    leader.clock.advance(3)
    pauses.append(await controller.step())

    assert world.router.split.weight_ratio == 0
    assert max(pauses) <= 0.5
    leader.clock.advance(10)
    assert await controller.step() == 2


# What is wanted.


def test_without_a_rollout_everybody_is_on_stable() -> None:
    """Before the first rollout the wanted share is 0, and nothing was decided."""
    assert wanted_split(None).weight_ratio == 0
    assert lowered_at(None) is None


async def test_only_lowering_is_a_decision_to_lower(leader: Acting) -> None:
    """A start and an advance are none, a rollback is one until the end, also when it is given up."""
    await leader.propose(MarkElapsed(rollout=leader.rollout.id, phase=0, seconds=1))
    assert lowered_at(leader.rollout) is None
    await leader.advance()
    assert lowered_at(leader.rollout) is None
    decision = await leader.roll_back()
    assert lowered_at(leader.rollout) == decision.at
    await leader.give_up()
    assert lowered_at(leader.rollout) == decision.at
