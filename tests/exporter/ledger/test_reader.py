"""One stream's questions: quick, careful once a value was stumbled over, and quick again where none was at fault."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
import sqlalchemy as sa

from canary.errors import DatabaseError, DatabaseTimeoutError
from canary.policy.model import Policy
from exporter.ledger.odd import OddValues
from exporter.ledger.reader import StreamReader
from exporter.source.columns.zones import Zone
from exporter.source.database import Row, Session
from exporter.source.dialects import Dialect
from exporter.source.streams import streams_of
from tests.support.clock import FakeClock
from tests.support.databases.exporting import policy_for, published, refresher_on, settle
from tests.support.databases.postgres import Postgres
from tests.support.databases.shopdata import ORDERS, ShopData, fill


class Stumbling:
    """A session that fails as a test says, and keeps what it was asked.

    Attributes:
        faults: what the next questions raise; None for an answer without rows.
    """

    dialect_name = "sqlite"

    def __init__(self) -> None:
        self.faults: list[Exception | None] = []
        self.asked: list[str] = []

    async def rows(self, statement: sa.Executable, _parameters: Mapping[str, Any] | None = None) -> Sequence[Row]:
        """Nothing, or the next fault."""
        self.asked.append(str(statement))
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        return []


class Scene:
    """A reader of the visits."""

    def __init__(self) -> None:
        self.session = Stumbling()
        self.told: list[str] = []
        odd = OddValues("visits", lambda kind, _stream, _row, _value: self.told.append(kind))
        dialect = Dialect("sqlite")
        stream = streams_of(Policy(service="shop"), dialect)[0]
        self.reader = StreamReader(
            stream, cast("Session", self.session), Zone("UTC", dialect), odd, lambda _zone, _entered: None
        )

    async def look(self) -> None:
        """Count some buckets."""
        await self.reader.read(lambda: self.reader.buckets(0, 10))


@pytest.fixture
def scene() -> Scene:
    """A reader that has asked nothing yet."""
    return Scene()


async def test_a_value_that_is_stumbled_over_is_read_carefully_from_then_on(scene: Scene) -> None:
    """The question is answered all the same, and the value is told once."""
    scene.session.faults = [None, DatabaseError("integer overflow")]
    for _ in range(4):
        await scene.look()

    quick, stumbled, careful, *later = scene.session.asked
    assert quick == stumbled != careful
    assert later == [careful, careful]
    assert scene.told == ["odd_row"]


async def test_where_no_value_was_at_fault_the_quick_statements_are_put_back(scene: Scene) -> None:
    """A careful statement costs the database a comparison for each row."""
    scene.session.faults = [DatabaseError("no right"), DatabaseError("no right")]
    with pytest.raises(DatabaseError, match="no right"):
        await scene.look()

    await scene.look()

    first, careful, after = scene.session.asked
    assert first == after != careful
    assert scene.told == []


async def test_a_timeout_is_no_odd_value(scene: Scene) -> None:
    """Asked again carefully, it would take even longer."""
    scene.session.faults = [DatabaseTimeoutError("too slow")]
    with pytest.raises(DatabaseTimeoutError):
        await scene.look()

    assert len(scene.session.asked) == 1


async def test_one_hour_is_counted_without_buckets(scene: Scene) -> None:
    """Several need them to be told apart."""
    await scene.reader.read(lambda: scene.reader.hours(5, 6))
    await scene.reader.read(lambda: scene.reader.hours(5, 7))

    whole, coarse = scene.session.asked
    assert "canary_bucket" not in whole
    assert "canary_bucket" in coarse


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("kind", ["text", "jsonb USING to_jsonb(total)"])
async def test_a_migrated_column_is_read_on(postgres: Postgres, clock: FakeClock, kind: str, connected: bool) -> None:
    """Another type makes no value odd, and its event is read by statements for that type, over the old connection as
    over a new one.
    """
    data = ShopData(postgres.new_database())
    await data.create()
    await fill(data, clock.now(), 20)
    async with refresher_on(policy_for(data.url), clock) as refresher:
        await settle(refresher, clock)
        await data.run(sa.text(f"ALTER TABLE orders ALTER total TYPE {kind}"))
        if not connected:
            await refresher.sources.sessions[None].close()
        clock.advance(2)
        order = {"id": 900, "version": "v9", "currency": "EUR", "created_at": clock.now()}
        await data.run(sa.insert(ORDERS).values(order | {"total": sa.literal_column("'7'")}))
        await refresher.refresh()
        value, faults = published(refresher)["shop_order_value_total"], [feed.fault for feed in refresher.feeds]
        odd = refresher.snapshot.errors.get("odd_row", 0)
    await data.close()

    assert value["v9", "EUR"] == 7
    assert {*faults} == {None}
    assert odd == 0
