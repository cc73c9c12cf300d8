"""Versions that the shop does not write: inherited from what a row descends from, or assigned to its unit."""

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from canary.policy.database.section import DEFAULT_EVENTS, Assignments, Exclude, TimeUnit
from canary.policy.model import Policy
from exporter.source.database import Patience
from exporter.source.sources import order_sources
from tests.support.clock import FakeClock
from tests.support.databases.exporting import kpis, policy_for, published, refresher_on, settle
from tests.support.databases.mariadb import MariaDb
from tests.support.databases.shopdata import ORDERS, PAYMENTS, VISITS, ShopData, fill
from tests.support.receiving.entries import rollout_of, started

_ASSIGNMENTS = sa.Table(
    "assignments",
    sa.MetaData(),
    sa.Column("unit", sa.BigInteger),
    sa.Column("time", VISITS.c.created_at.type),
    sa.Column("version", sa.String(20)),
    sa.Column("tester", sa.Boolean),
)


async def _forget_versions(data: ShopData, *, but: tuple[str, ...] = ()) -> None:
    for table in VISITS.metadata.sorted_tables:
        if table.name not in but:
            await data.run(table.update().values(version=None))


async def _fill(data: ShopData, clock: FakeClock) -> dict[str, dict[tuple[str, ...], float]]:
    """Two versions' customers; what their own columns say, before these are emptied."""
    await fill(data, clock.now(), 60, version="v1.0")
    await fill(data, clock.now(), 40, version="v2.0", seed=1)
    await data.run(PAYMENTS.delete().where(PAYMENTS.c.order_id.is_(None)))  # they descend from nothing
    return await data.counts()


def _inheriting(policy: Policy, *, but: tuple[str, ...] = (), unit: str | None = None) -> Policy:
    """Events without a version of their own, and the visits' unit."""
    events = {
        name: event if name in but else replace(event, version=None, unit=unit if name == "visits" else None)
        for name, event in DEFAULT_EVENTS.items()
    }
    return replace(policy, database=replace(policy.database, events=events))


async def _assign(data: ShopData, testers: tuple[int, ...] = ()) -> None:
    await data.run(sa.text("DROP TABLE IF EXISTS assignments"))
    async with data.engine.begin() as connection:
        await connection.run_sync(_ASSIGNMENTS.metadata.create_all)
    columns = sa.select(VISITS.c.id, VISITS.c.created_at, VISITS.c.version, VISITS.c.id.in_(testers))
    for _ in range(2):  # a router's log says the same thing many times
        await data.run(_ASSIGNMENTS.insert().from_select(["unit", "time", "version", "tester"], columns))


async def test_a_row_takes_the_version_of_the_visit_it_descends_from(data: ShopData, clock: FakeClock) -> None:
    """Visits alone say a version; counters and KPIs of all that descends from them are as if each row said it."""
    expected = await _fill(data, clock)
    async with refresher_on(policy_for(data.url), clock) as refresher:
        await settle(refresher, clock)
        said = kpis(refresher)
    await _forget_versions(data, but=("visits",))

    async with refresher_on(_inheriting(policy_for(data.url), but=("visits",)), clock) as refresher:
        await settle(refresher, clock)

        assert published(refresher) == expected
        assert kpis(refresher) == pytest.approx(said)
        assert {share.ratio for share in refresher.snapshot.unknown_versions.values()} == {0.0}


async def test_a_row_takes_the_version_that_its_unit_was_assigned(data: ShopData, clock: FakeClock) -> None:
    """No row of the shop says a version: a table of assignments, each told twice, gives the same numbers. What it calls
    a tester's, and what descends from that, is in none of them.
    """
    expected = await _fill(data, clock)
    tester = await data.insert(VISITS, version="v2.0", created_at=clock.now())
    order = await data.insert(ORDERS, created_at=clock.now(), visit_id=tester, total=9999, currency="EUR")
    await data.insert(PAYMENTS, created_at=clock.now(), order_id=order, status="failed", settled_at=clock.now())
    await _assign(data, testers=(tester,))
    await _forget_versions(data)
    given = Assignments(table="assignments", tester="tester")
    policy = _inheriting(policy_for(data.url, assignments=given), unit="id")

    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock)

        assert published(refresher) == expected


async def test_no_table_is_read_whole_to_leave_a_customer_out(postgres_url: str, clock: FakeClock) -> None:
    """PostgreSQL looks each row's parent up, by its key; a join of its choice would hash all visits at every step of
    the past that is counted.
    """
    data = ShopData(postgres_url)
    await data.create()
    policy = policy_for(data.url, exclude=Exclude(units=("monitor",)))
    async with order_sources(policy, Patience.LIVE) as sources:
        stream = next(stream for stream, _ in sources.streams(policy) if stream.event == "orders")
        statement = stream.coarse.params(low=0.0, high=clock.now().timestamp())
        text = statement.compile(dialect=data.engine.dialect, compile_kwargs={"literal_binds": True})
        plan = "\n".join(row[0] for row in await data.run(sa.text(f"EXPLAIN {str(text).replace(':', chr(92) + ':')}")))

    await data.close()
    assert "Join" not in plan
    assert "SubPlan" in plan


async def test_a_late_assignment_reaches_its_row(lite: ShopData, clock: FakeClock) -> None:
    """A visit without an assignment is unknown, and is told as such, until the router's log is read."""
    policy = _inheriting(policy_for(lite.url, assignments=Assignments(table="assignments")), unit="id")
    await _assign(lite)
    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock)
        clock.advance(1)
        visit = await lite.insert(VISITS, created_at=clock.now())
        await lite.insert(ORDERS, created_at=clock.now(), visit_id=visit, total=9, currency="EUR")
        clock.advance(20)
        await refresher.refresh()
        assert published(refresher)["shop_orders_total"] == {("unknown",): 1.0}
        assert refresher.snapshot.unknown_versions["orders"].ratio == 1.0

        await lite.run(
            _ASSIGNMENTS.insert().values(unit=visit, time=clock.now() - timedelta(seconds=19), version="v2.0")
        )
        clock.advance(20)
        await refresher.refresh()

        assert published(refresher)["shop_orders_total"]["v2.0",] == 1.0
        assert refresher.snapshot.unknown_versions["orders"].ratio == 0.0
        assert kpis(refresher)["conversion_rate", "v2.0"] == 1.0


async def test_of_a_rollout_what_it_has_shown_since_its_start_counts(lite: ShopData, clock: FakeClock) -> None:
    """Rows from before the shop wrote versions hold no rollout, nor do those whose assignments may still come."""
    policy = policy_for(lite.url)
    start = clock.now()
    ages = [*range(100, 2000, 100), *range(-300, 0, 30)]  # seconds before the start: nineteen rows, then ten after it
    for number, age in enumerate(ages):
        version = "v1.0" if age < 0 and number % 2 else None
        await lite.insert(VISITS, version=version, created_at=start - timedelta(seconds=age))
    clock.advance(310)
    shares = []
    for rollout in (None, rollout_of([started("r1", start)])):
        async with refresher_on(policy, clock) as refresher:
            refresher.rollout = rollout
            await settle(refresher, clock)
            shares.append(refresher.snapshot.unknown_versions["visits"])

    assert shares == [pytest.approx((24 / 29, 29)), pytest.approx((3 / 6, 6))]


async def test_a_unit_that_moves_takes_its_rows_along_from_then_on(lite: ShopData, clock: FakeClock) -> None:
    """What a customer does before moving to the canary counts for stable, and for the canary afterwards."""
    await _assign(lite)
    policy = _inheriting(policy_for(lite.url, assignments=Assignments(table="assignments")))
    events = {
        **policy.database.events,
        "orders": replace(policy.database.events["orders"], parent=None, unit="cart_id"),
    }
    policy = replace(policy, kpis={}, database=replace(policy.database, events=events))
    for seconds, version in ((500, "v1.0"), (300, "v2.0")):
        moment = clock.now() - timedelta(seconds=seconds)
        await lite.run(_ASSIGNMENTS.insert().values(unit=7, time=moment, version=version))
    for seconds in (900, 550, 400, 300, 200, 100):
        await lite.insert(ORDERS, cart_id=7, created_at=clock.now() - timedelta(seconds=seconds))

    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock)

        # Within `lateness` the assignment may come after the row; long before it nobody knew the unit.
        assert published(refresher)["shop_orders_total"] == {("unknown",): 1.0, ("v1.0",): 2.0, ("v2.0",): 3.0}


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
async def test_assignments_in_moments_fit_rows_in_the_shops_own_time(
    mariadb: MariaDb, clock: FakeClock, zone: str
) -> None:
    """Rows have what the shop's clock shows, assignments MariaDB's TIMESTAMP or seconds since 1970: a customer's row
    takes the version of its moment, in a zone on either side of Greenwich.
    """
    data = ShopData(mariadb.new_database())
    await data.run(sa.text("CREATE TABLE visits (id INT PRIMARY KEY, cookie VARCHAR(9), created_at DATETIME)"))
    await data.run(sa.text("CREATE TABLE served (cookie VARCHAR(9), at TIMESTAMP, seconds BIGINT, version VARCHAR(9))"))
    now = clock.now()
    for version, minutes in (("v1.0", 600), ("v2.0", 10)):
        at = now - timedelta(minutes=minutes)
        row = {"at": at.replace(tzinfo=None), "seconds": int(at.timestamp()), "version": version}
        await data.run(sa.text("INSERT INTO served VALUES ('ann', :at, :seconds, :version)"), row)
    for number, minutes in enumerate((90, 70, 20, 5)):
        shown = (now - timedelta(minutes=minutes)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        await data.run(sa.text("INSERT INTO visits VALUES (:id, 'ann', :at)"), {"id": number, "at": shown})
    found = []
    times: tuple[tuple[str, TimeUnit | None], ...] = (("at", None), ("seconds", "seconds"))
    for column, unit in times:
        given = Assignments(table="served", unit="cookie", time=column, time_unit=unit, version="version")
        events = {"visits": replace(DEFAULT_EVENTS["visits"], version=None, unit="cookie")}
        policy = policy_for(data.url, timezone=zone)
        policy = replace(policy, kpis={}, database=replace(policy.database, events=events, assignments=given))
        async with refresher_on(policy, clock) as refresher:
            await settle(refresher, clock)
            found.append(published(refresher)["shop_visits_total"])
    await data.close()

    assert found == [{("v1.0",): 3.0, ("v2.0",): 1.0}] * 2
