"""Keeping a router where the journal wants it."""

from alertmanager.keeper import Keeper, wanted_split
from canary.routers import mapfile
from canary.routers.base import Split
from canary.routers.mapfile import Entries
from tests.support.clock import FakeClock
from tests.support.haproxy import HAProxy

FIVE = Split("r-1", 0.05)


class Lead:
    """Whether the keeper may act."""

    def __init__(self) -> None:
        self.leading = False

    async def may_act(self) -> bool:
        """As the test says."""
        return self.leading


def keeper(haproxy: HAProxy, lead: Lead, drifts: list[None]) -> Keeper:
    """A keeper that wants 5 %."""
    return Keeper(
        haproxy.router,
        wanted=lambda: FIVE,
        may_act=lead.may_act,
        clock=FakeClock(),
        on_change=lambda: None,
        on_drift=lambda: drifts.append(None),
        interval_seconds=2,
    )


async def test_a_standby_looks_and_does_not_touch(haproxy: HAProxy) -> None:
    """While another receiver acts, a keeper sees whether the router follows, and sets nothing."""
    lead, drifts = Lead(), list[None]()
    kept = keeper(haproxy, lead, drifts)

    await kept.step()
    assert not kept.follows(FIVE)
    assert (await haproxy.router.read()).weight_ratio == 0

    await haproxy.router.set_weight(FIVE)
    await kept.step()
    assert kept.follows(FIVE)
    await haproxy.router.set_weight(Split("r-1", 0))
    await kept.step()
    assert not kept.follows(FIVE)
    assert drifts == []


async def test_a_new_leader_sets_what_a_restart_of_the_router_would_bring(haproxy: HAProxy) -> None:
    """A leader that died between the runtime and the map's file leaves the file behind; its follower mends it."""
    lead = Lead()
    kept = keeper(haproxy, lead, [])
    await haproxy.router.set_weight(FIVE)
    mapfile.write(haproxy.map, mapfile.render(Entries(), "none"))

    await kept.step()
    lead.leading = True
    await kept.step()

    assert mapfile.read(haproxy.map) == Entries.of(FIVE)


async def test_a_drift_is_counted_once_and_mended(haproxy: HAProxy) -> None:
    """Changed behind our back, the router is brought back; a change of ours is no drift."""
    lead, drifts = Lead(), list[None]()
    lead.leading = True
    kept = keeper(haproxy, lead, drifts)
    await kept.step()
    assert drifts == []

    await haproxy.router.set_weight(Split("r-1", 0.5))
    await kept.step()
    await kept.step()

    assert len(drifts) == 1
    assert (await haproxy.router.read()).agrees(FIVE)


async def test_pauses_grow_while_a_router_is_away(haproxy: HAProxy) -> None:
    """A router that does not answer is tried again with growing pauses, and at once is known not to follow."""
    lead = Lead()
    lead.leading = True
    kept = keeper(haproxy, lead, [])
    haproxy.stop()

    pauses = [await kept.step() for _ in range(6)]

    assert pauses == sorted(pauses)
    assert pauses[-1] == 2
    assert kept.tried(FIVE)
    assert not kept.follows(FIVE)
    assert "cannot be reached" in kept.error
    await haproxy.start()
    await kept.step()
    assert kept.follows(FIVE)
    assert kept.error == ""


def test_without_a_rollout_everybody_is_on_stable() -> None:
    """Before the first rollout the wanted share is 0."""
    assert wanted_split(None).weight_ratio == 0
