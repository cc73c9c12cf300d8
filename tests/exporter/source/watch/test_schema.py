"""The schema watch: what both versions need is there, and has the type it had."""

import sqlalchemy as sa

from canary.policy.database.section import RequiredColumns
from exporter.source.database import Patience
from exporter.source.session import order_session
from exporter.source.watch.schema import SchemaWatch
from tests.support.databases.exporting import policy_for, with_events
from tests.support.databases.shopdata import ShopData


async def test_before_the_first_look_nothing_is_claimed(lite: ShopData) -> None:
    """Unknown is neither compatible nor broken."""
    policy = policy_for(lite.url)
    async with order_session(policy, Patience.LIVE) as session:
        watch = SchemaWatch(policy, session)

        assert watch.compatible is None
        assert watch.problems == ()


async def test_what_goes_is_named_and_what_comes_back_heals(data: ShopData, database: str) -> None:
    """A column renamed under both versions is a problem that names it, on every database, until it is back."""
    policy = policy_for(database.replace("+aiosqlite", ""))
    async with order_session(policy, Patience.LIVE) as session:
        watch = SchemaWatch(policy, session)
        await watch.look()
        whole = watch.compatible
        await data.run(sa.text("ALTER TABLE feedback RENAME COLUMN score TO stars"))
        await watch.look()
        broken = watch.problems
        await data.run(sa.text("ALTER TABLE feedback RENAME COLUMN stars TO score"))
        await watch.look()

    assert whole is True
    assert broken == ("column feedback.score is not there",)
    assert watch.compatible is True


async def test_another_kind_of_value_is_a_problem_and_more_room_is_none(data: ShopData, database: str) -> None:
    """A number that becomes a text breaks whoever adds it up; a longer text breaks nobody."""
    policy = policy_for(database.replace("+aiosqlite", ""))
    async with order_session(policy, Patience.LIVE) as session:
        watch = SchemaWatch(policy, session)
        await watch.look()
        await data.run(sa.text("DROP TABLE feedback"))
        columns = "id BIGINT, version VARCHAR(200), created_at TIMESTAMP, order_id BIGINT, score VARCHAR(10)"
        await data.run(sa.text(f"CREATE TABLE feedback ({columns})"))
        await watch.look()

    assert [problem for problem in watch.problems if "version" in problem or "order_id" in problem] == []
    assert "column feedback.score was number and is now text" in watch.problems


async def test_required_columns_are_watched_though_no_kpi_reads_them(lite: ShopData) -> None:
    """What the policy says both versions need is missed like a mapped column; a missing table is one problem."""
    required = (
        RequiredColumns(table="visits", columns=("landing_page",)),
        RequiredColumns(table="coupons", columns=("code", "value")),
    )
    policy = with_events(policy_for(lite.url), required=required)
    async with order_session(policy, Patience.LIVE) as session:
        watch = SchemaWatch(policy, session)
        await watch.look()

    assert set(watch.problems) == {"column visits.landing_page is not there", "table coupons is not there"}
