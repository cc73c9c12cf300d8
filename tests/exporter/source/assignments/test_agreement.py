"""Whether the side that rows record is the one that the router's hash gave the customer."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from canary.policy.database.section import DEFAULT_EVENTS, Assignments
from canary.policy.model import Policy
from canary.policy.release import Upstreams
from canary.policy.routers.kinds import RouterSection
from canary.policy.routers.sections import HaproxyRouter, NginxRouter
from canary.rollout.folding import fold
from canary.rollout.state import Rollout
from canary.routers import routers_of
from canary.routers.base import Split
from canary.routers.gateway.section import GatewayRouter
from exporter.publish.rollout_metrics import rollout_metrics
from exporter.source.assignments.agreement import SideAgreement
from tests.support.clock import FakeClock
from tests.support.databases.exporting import policy_for, refresher_on, settle
from tests.support.databases.shopdata import VISITS, ShopData
from tests.support.receiving.entries import started

_UPSTREAMS = Upstreams(stable=("127.0.0.1:1",), canary=("127.0.0.1:2",))
_HAPROXY = HaproxyRouter(kind="haproxy", upstreams=_UPSTREAMS)
_GATEWAY = GatewayRouter(kind="gateway", route="shop", stable="a", canary="b")
_NGINX = NginxRouter(kind="nginx", upstreams=_UPSTREAMS)
_NAMES = tuple(f"c-{number}" for number in range(3000))


def _policy(url: str = "sqlite:///shop.db", router: RouterSection = _HAPROXY, **database: Any) -> Policy:
    return replace(policy_for(url, **database), router=(router,))


def _rollout(at: datetime, weight: float = 0.25) -> Rollout:
    return fold([started("r1", at, traffic=(weight, 1.0), durations_seconds=(3600, 3600))])["r1"]


def _agreement(policy: Policy, rollout: Rollout) -> SideAgreement:
    found = SideAgreement.of(policy, "visits")
    assert found is not None
    found.know(rollout)
    return found


def _rows(policy: Policy, rollout: Rollout, weight: float, names: Iterable[str] = _NAMES) -> list[tuple[str, bool]]:
    """Customers with the side that the router gives them."""
    router, split = routers_of(policy)[0], Split(rollout.id, weight)
    return [(name, router.is_canary(name, split)) for name in names]


def _seen(agreement: SideAgreement, rows: Iterable[tuple[object, bool]], moment: datetime) -> float | None:
    agreement.see((who, moment.timestamp(), "v2.0" if canary else "v1.0") for who, canary in rows)
    return agreement.apart_ratio


@pytest.mark.parametrize("router", [_HAPROXY, _NGINX])
@pytest.mark.parametrize("weight", [0.05, 0.5])
def test_rows_that_record_the_routers_choice_agree(router: RouterSection, weight: float, clock: FakeClock) -> None:
    """Where rows name customers as the router hashes them, and say which version served them, nobody is apart."""
    policy, rollout = _policy(router=router), _rollout(clock.now(), weight)
    agreement = _agreement(policy, rollout)

    assert _seen(agreement, _rows(policy, rollout, weight), clock.now() + timedelta(minutes=5)) == 0.0


@pytest.mark.parametrize("weight", [0.05, 0.25, 0.5])
def test_customers_who_are_recorded_elsewhere_are_told(weight: float, clock: FakeClock) -> None:
    """One in five of the canary's customers whose rows stable has written is one in five apart, at every weight."""
    policy, rollout = _policy(), _rollout(clock.now(), weight)
    rows = _rows(policy, rollout, weight)
    moved = {who for number, (who, canary) in enumerate(one for one in rows if one[1]) if number % 5 == 0}

    found = _seen(
        _agreement(policy, rollout),
        [(who, canary and who not in moved) for who, canary in rows],
        clock.now() + timedelta(minutes=5),
    )

    assert found == pytest.approx(0.2, abs=0.01)


def test_testers_on_the_canary_are_apart(clock: FakeClock) -> None:
    """Those who are let in whatever their place are on no side by chance, and a small canary is made of them."""
    policy, rollout = _policy(), _rollout(clock.now(), 0.05)
    testers = [(who, True) for who, canary in _rows(policy, rollout, 0.05, (f"t-{n}" for n in range(20))) if not canary]

    found = _seen(
        _agreement(policy, rollout), _rows(policy, rollout, 0.05) + testers, clock.now() + timedelta(minutes=5)
    )

    assert found is not None
    assert found > 0.05


@pytest.mark.parametrize("weight", [0.05, 0.5])
def test_a_column_that_the_router_does_not_hash_says_nothing(weight: float, clock: FakeClock) -> None:
    """An account in place of the cookie agrees with the hash by chance alone, and is as good a unit."""
    policy, rollout = _policy(), _rollout(clock.now(), weight)
    rows = [(f"account-{who}", canary) for who, canary in _rows(policy, rollout, weight)]

    assert _seen(_agreement(policy, rollout), rows, clock.now() + timedelta(minutes=5)) is None


def test_the_moments_after_a_change_say_nothing(clock: FakeClock) -> None:
    """Routers take up a weight one after the other; nor is anybody apart while all are on one side."""
    policy, rollout = _policy(), _rollout(clock.now())
    rows = [(who, not canary) for who, canary in _rows(policy, rollout, 0.25)]
    agreement = _agreement(policy, rollout)

    assert _seen(agreement, rows, clock.now() + timedelta(seconds=5)) is None
    assert _seen(agreement, rows, clock.now() - timedelta(minutes=5)) is None


def test_a_large_rollout_costs_no_more_memory(clock: FakeClock) -> None:
    """Who is held against the hash is a sample of all its customers: those of the second half, who are apart, show."""
    policy, rollout = _policy(), _rollout(clock.now(), 0.5)
    agreement, found = _agreement(policy, rollout), None
    for first in range(0, 40_000, 10_000):
        rows = _rows(policy, rollout, 0.5, (str(number) for number in range(first, first + 10_000)))
        apart = [(int(who), canary and (first < 20_000 or int(who) % 5 > 0)) for who, canary in rows]
        found = _seen(agreement, apart, clock.now() + timedelta(minutes=5))

    assert found == pytest.approx(0.1, abs=0.03)
    assert len(agreement._sides) <= 4096


def test_another_rollout_begins_without_the_last_ones_customers(clock: FakeClock) -> None:
    """Each rollout has a salt of its own."""
    policy, rollout = _policy(), _rollout(clock.now())
    agreement = _agreement(policy, rollout)
    _seen(agreement, _rows(policy, rollout, 0.25), clock.now() + timedelta(minutes=5))

    agreement.know(None)

    assert agreement.apart_ratio is None


@pytest.mark.parametrize(
    "policy",
    [
        _policy(router=_GATEWAY),
        policy_for("sqlite:///shop.db"),
        _policy(
            events={name: replace(event, version=None) for name, event in DEFAULT_EVENTS.items()},
            assignments=Assignments(from_="router"),
        ),
        _policy(events={name: replace(event, unit=None) for name, event in DEFAULT_EVENTS.items()}),
    ],
    ids=["each request is drawn anew", "no router", "computed", "no customer"],
)
def test_there_is_nothing_to_hold_against_the_hash(policy: Policy) -> None:
    """Where nobody's place can be computed, or nothing else tells the side, nothing is compared."""
    assert SideAgreement.of(policy, "visits") is None


async def test_what_rows_record_is_published(lite: ShopData, clock: FakeClock) -> None:
    """The exporter publishes for how many of the canary's customers rows and hash name two sides."""
    policy, rollout = _policy(lite.url), _rollout(clock.now() - timedelta(minutes=20))
    rows = [(who, canary and number % 3 > 0) for number, (who, canary) in enumerate(_rows(policy, rollout, 0.25))]
    visits = [
        {"version": "v2.0" if canary else "v1.0", "visitor_id": who, "created_at": clock.now() - timedelta(minutes=5)}
        for who, canary in rows[:600]
    ]
    await lite.insert_many(VISITS, visits)

    async with refresher_on(policy, clock) as refresher:
        refresher.rollout = rollout
        await settle(refresher, clock, 40)
        await refresher.refresh()
        evidence = refresher.snapshot.evidence
        assert evidence is not None
        shown = {metric.name: metric for metric in rollout_metrics(refresher.snapshot, evidence)}

    assert shown["canary_traffic_sides_apart_ratio"].samples[0].value == pytest.approx(1 / 3, abs=0.08)
