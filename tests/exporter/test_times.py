"""Times as shops write them: texts in every form, zones, the hour that happens twice."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from exporter.source.columns.zones import Zone
from exporter.source.consistency.newest import newest_rows
from exporter.source.database import Patience
from exporter.source.dialects import Dialect
from exporter.source.session import order_session
from tests.support.clock import FakeClock
from tests.support.databases.exporting import kpis, policy_for, published, refresher_on, settle
from tests.support.databases.mariadb import MariaDb
from tests.support.databases.postgres import Postgres
from tests.support.databases.shopdata import ShopData, iso_text

_MOMENTS = st.integers(1_704_067_200_000_000, 1_893_456_000_000_000).map(
    lambda microseconds: datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)
)


@given(moment=_MOMENTS, before=st.integers(1, 200_000), length=st.integers(1, 200_000), form=st.integers(0, 17))
def test_text_ranges_find_exactly_the_moments_within(moment: datetime, before: int, length: int, form: int) -> None:
    """Whatever form a text has, the range that an index serves finds it when it is within and not otherwise."""
    low = int(moment.timestamp()) - before
    text = iso_text(moment, form)
    column = sa.literal(text)
    dialect = Dialect("sqlite")
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        found = connection.execute(sa.select(dialect.within(column)), dialect.parameters(low, low + length)).scalar()
        assert bool(found) == (int(moment.timestamp()) < low + length), (text, low)
    engine.dispose()


@given(moment=_MOMENTS, minutes=st.integers(-12 * 60, 14 * 60), form=st.integers(0, 17))
def test_texts_with_an_offset_are_found_within_the_margin(moment: datetime, minutes: int, form: int) -> None:
    """A text with an offset from UTC is found when the search reaches that much further back."""
    text = iso_text(moment, form, timezone(timedelta(minutes=minutes)))
    dialect = Dialect("sqlite")
    low = int(moment.timestamp()) - 5
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        parameters = dialect.parameters(low, low + 10, offset_seconds=abs(minutes) * 60)
        assert connection.execute(sa.select(dialect.within(sa.literal(text))), parameters).scalar()
    engine.dispose()


@pytest.mark.parametrize("hours", [-5, 9])
async def test_a_shop_that_writes_offsets_is_counted_at_once(lite: ShopData, clock: FakeClock, hours: int) -> None:
    """Local times with their offset count like UTC ones, in counters and in the window."""
    zone = timezone(timedelta(hours=hours))

    async def add(at: datetime) -> None:
        text = at.astimezone(zone).isoformat(" ")
        await lite.run(
            sa.text("INSERT INTO visits (id, version, created_at) VALUES (:id, 'v1.0', :at)"),
            {"id": int(at.timestamp()), "at": text},
        )

    await add(clock.now() - timedelta(minutes=30))
    async with refresher_on(policy_for(lite.url), clock) as refresher:
        await settle(refresher, clock)
        before = published(refresher)["shop_visits_total"]["v1.0",]
        clock.advance(1)
        await add(clock.now())
        await refresher.refresh()

        assert before == 1
        assert published(refresher)["shop_visits_total"]["v1.0",] == 2
        assert kpis(refresher)["conversion_rate", "v1.0"] == 0


async def test_looking_for_new_texts_uses_the_index(lite: ShopData, clock: FakeClock) -> None:
    """SQLite searches the time's index for every range instead of reading the table."""
    async with refresher_on(policy_for(lite.url), clock) as refresher:
        stream = next(feed.stream for feed in refresher.feeds if feed.stream.event == "visits")
    for statement in (stream.fine, stream.rows):
        text = str(statement.compile(dialect=lite.engine.dialect)).replace("?", "'2026-03-03'")
        plan = [row[3] for row in await lite.run(sa.text(f"EXPLAIN QUERY PLAN {text}"))]

        assert any("USING INDEX" in step for step in plan), plan
        assert not any(step.startswith("SCAN") for step in plan), plan


@pytest.fixture
def shop_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database in which times are stored without a zone."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/shop.db"
    server: Postgres | MariaDb = request.getfixturevalue(request.param)
    return server.new_database()


@pytest.mark.parametrize("shop_url", ["sqlite", "postgres", "mariadb"], indirect=True)
async def test_wall_clock_times_survive_the_end_of_summer_time(shop_url: str) -> None:
    """Times without a zone, in a zone whose clock is turned back: every row is counted, none twice, none hours late."""
    berlin = ZoneInfo("Europe/Berlin")
    clock = FakeClock(datetime(2026, 10, 25, 0, 30, tzinfo=UTC))  # 02:30 in summer; at 01:00 UTC it is 02:00 again
    data = ShopData(shop_url)
    kind = "TEXT" if data.engine.dialect.name == "sqlite" else "TIMESTAMP" if "postgres" in shop_url else "DATETIME"
    await data.create()
    await data.run(sa.text("DROP TABLE visits"))
    columns = f"id INTEGER PRIMARY KEY, visitor_id VARCHAR(64), version VARCHAR(64), created_at {kind}"
    await data.run(sa.text(f"CREATE TABLE visits ({columns})"))
    async with refresher_on(policy_for(shop_url, timezone="Europe/Berlin"), clock) as refresher:
        await settle(refresher, clock)
        for number in range(1, 13):
            clock.advance(600)
            wall = clock.now().astimezone(berlin).replace(tzinfo=None)
            value = f"{wall:%Y-%m-%d %H:%M:%S}"
            await data.run(sa.text(f"INSERT INTO visits VALUES ({number}, NULL, 'v1.0', '{value}')"))
            clock.advance(12)
            await refresher.refresh()

            assert published(refresher)["shop_visits_total"] == {("v1.0",): number}, value
    await data.close()


def test_stored_times_and_moments_go_back_and_forth() -> None:
    """A moment outside the doubled hour is stored and read as the same moment."""
    zone = Zone("America/New_York", Dialect("sqlite"))
    for month in range(1, 13):
        moment = datetime(2026, month, 15, 12, tzinfo=UTC).timestamp()

        assert zone.moment(zone.stored(moment)) == moment
        assert zone.to_utc(np.asarray([zone.stored(moment)]))[0] == moment


_OFFSETS = {
    "sqlite": ("{berlin:%Y-%m-%d %H:%M:%S}+01:00", "{utc:%Y-%m-%dT%H:%M:%S}.250Z", "{india:%Y-%m-%dT%H:%M:%S}+05:30"),
    "mysql": (
        "{berlin:%Y-%m-%d %H:%M:%S}+01:00", "{utc:%Y-%m-%dT%H:%M:%S}.250Z", "{india:%Y-%m-%dT%H:%M:%S}+05:30",
        "{berlin:%Y-%m-%d %H:%M:%S} +0100", "{berlin:%Y-%m-%d %H:%M:%S.%f}+01", "{berlin:%Y-%m-%d %H:%M}+01:00",
    ),
}  # fmt: skip


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("shop_url", ["sqlite", "mariadb"], indirect=True)
async def test_texts_that_say_their_offset_mean_it_in_every_zone(shop_url: str, zone: str) -> None:
    """Next to bare texts of the shop's own clock, one with an offset or a `Z` is the moment that it says."""
    at = datetime(2026, 7, 20, 14, tzinfo=UTC) if zone == "UTC" else datetime(2026, 11, 29, 14, tzinfo=UTC)
    data, clock = ShopData(shop_url), FakeClock(at + timedelta(seconds=30))
    zones = {"berlin": timezone(timedelta(hours=1)), "india": timezone(timedelta(hours=5, minutes=30)), "utc": UTC}
    moments = {name: at.astimezone(other) for name, other in zones.items()}
    texts = [form.format(**moments) for form in _OFFSETS[data.engine.dialect.name]]
    texts.append(f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}")
    await data.create()
    await data.run(sa.text("DROP TABLE visits"))
    await data.run(sa.text("CREATE TABLE visits (id INT, visitor_id INT, version VARCHAR(9), created_at VARCHAR(40))"))
    policy = policy_for(shop_url, timezone=zone)
    async with refresher_on(policy, clock) as refresher:
        for number, text in enumerate(texts):
            row = {"id": number, "text": text}
            await data.run(sa.text("INSERT INTO visits VALUES (:id, NULL, 'v1.0', :text)"), row)
        await settle(refresher, clock)
        counted = published(refresher)["shop_visits_total"]
    async with order_session(policy, Patience.LIVE) as session:
        event = policy.database.events["visits"]
        found = await newest_rows(policy, session, "visits", event, lambda _: "", clock.now().timestamp())
    await data.close()

    assert counted == {("v1.0",): len(texts)}
    assert found.moments == pytest.approx([at.timestamp()] * len(texts), abs=0.3)
