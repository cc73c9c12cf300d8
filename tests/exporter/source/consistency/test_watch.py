"""While a rollout runs, the rows of its two versions are held against each other, alongside everything else."""

import dataclasses
import shutil
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy.engine import make_url

from canary import names
from canary.policy import Policy
from canary.policy.database.section import Consistency
from canary.policy.database.sources import Source
from canary.rollout.state import Rollout, State, Weight
from canary.threads import SharedThreads
from exporter.publish.collector import ExporterCollector
from exporter.source.consistency.watch import Compared, ConsistencyWatch
from exporter.source.database import Patience
from exporter.source.sources import Sources
from tests.canaryctl.check.shop.test_database import change
from tests.support.clock import FakeClock
from tests.support.databases.exporting import refresher_on

_TABLES = (
    "CREATE TABLE orders (id INTEGER, visitor TEXT, cart_id INTEGER, version TEXT, total REAL, created_at TEXT)",
    "CREATE TABLE payments (id INTEGER, order_id INTEGER, version TEXT, status TEXT, amount REAL, created_at TEXT)",
)
_POLICY = """database:
  url: sqlite:///shop.db
  events:
    carts: {table: orders, id: cart_id, unit: visitor}
    checkouts: {table: orders, id: cart_id, unit: visitor}
    orders: {table: orders, unit: visitor, value: total, parent: {carts: cart_id, checkouts: cart_id}}
    payments: {table: payments, parent: {orders: order_id}, value: amount, outcome: status}
kpis:
  payment_success_rate: {kind: success, of: payments}
"""


class Shop:
    """A shop whose canary forgets payments, and a watch of its rows.

    Attributes:
        watch: looks every two minutes.
        rollout: began an hour ago.
    """

    def __init__(self, url: str, policy: Policy, clock: FakeClock) -> None:
        self.clock = clock
        self._url = url
        self._folder = Path(str(make_url(url).database)).parent
        began = clock.now() - timedelta(hours=1)
        self.rollout = Rollout(
            id="r-1",
            stable="v1",
            canary="v2",
            traffic=(0.25, 1.0),
            durations_seconds=(3600, 3600),
            state=State.PHASE,
            started_at=began,
            phase=0,
            phase_started_at=began,
            weights=(Weight(began, 0.25),),
        )
        events = {name: policy.database.events[name] for name in ("carts", "checkouts", "orders", "payments")}
        database = dataclasses.replace(policy.database, events=events)
        self.policy = dataclasses.replace(policy, database=database)
        self.watch = self.watching(self.policy)

    def watching(self, policy: Policy) -> ConsistencyWatch:
        """A watch by this policy."""
        return ConsistencyWatch(policy, Sources.of(policy, Patience.LIVE), self.clock, SharedThreads())

    def watching_shards(self, *files: str, rows: int = Consistency().rows) -> ConsistencyWatch:
        """A watch of a shop whose rows are in several databases."""
        database = self.policy.database
        changed = dataclasses.replace(
            database,
            events={name: dataclasses.replace(event, source="tills") for name, event in database.events.items()},
            sources={"tills": Source(urls=tuple(f"sqlite:///{file}" for file in files))},
            consistency=Consistency(rows=rows),
        )
        return self.watching(dataclasses.replace(self.policy, database=changed))

    async def sell(self, unpaid: Callable[[int], bool], **ago: float) -> None:
        """400 orders so long ago, every fourth the canary's; each is paid, but for those."""
        at = (self.clock.now() - timedelta(**ago)).strftime("%Y-%m-%d %H:%M:%S")
        orders = [(one, "v2" if one % 4 == 0 else "v1") for one in range(1, 401)]
        sold = [f"({one}, 'u{one}', {one}, '{version}', 9, '{at}')" for one, version in orders]
        paid = [f"({one}, {one}, '{version}', 'succeeded', 9, '{at}')" for one, version in orders if not unpaid(one)]
        values = (
            f"INSERT INTO {table} VALUES {', '.join(rows)}" for table, rows in (("orders", sold), ("payments", paid))
        )
        await change(self._url, *values)

    async def rename(self, table: str, new: str) -> None:
        """Give a table another name."""
        await change(self._url, f"ALTER TABLE {table} RENAME TO {new}")

    def move(self, *names: str) -> None:
        """Take the database's file from one name to another."""
        self._folder.joinpath(names[0]).rename(self._folder / names[1])

    def copy(self, name: str) -> None:
        """Keep the database as it is now in another file."""
        shutil.copy(self._folder / "shop.db", self._folder / name)

    async def forget(self) -> None:
        """Delete every row."""
        await change(self._url, "DELETE FROM orders", "DELETE FROM payments")

    async def look(self, watch: ConsistencyWatch | None = None, rollout: Rollout | None = None) -> dict[str, Compared]:
        """What a look finds, by event and column."""
        watch, rollout = watch or self.watch, rollout or self.rollout
        watch.follow(rollout)
        await watch.settled()
        found = watch.found(rollout.id)
        assert len({one.key for one in found}) == len(found)  # each is one series
        return {f"{one.event}.{one.column} {one.fault}": one for one in found}


@pytest.fixture
async def shop(tmp_path: Path, write_policy: Callable[[str], Policy]) -> AsyncIterator[Shop]:
    """A shop without orders."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}"
    await change(url, *_TABLES)
    shop = Shop(url, write_policy(_POLICY), FakeClock())
    yield shop
    await shop.watch.close()


async def test_a_canary_that_leaves_orders_unpaid_is_found(shop: Shop) -> None:
    """By version and kind of fault, with what is proven; a look is repeated no sooner than the policy says."""
    await shop.sell(lambda one: one % 20 == 0, minutes=30)

    found = await shop.look()

    unpaid = found["orders.payments childless"]
    assert (unpaid.counts, unpaid.broken) == ({"v2": (20, 100), "v1": (0, 300)}, True)
    assert [name for name, one in found.items() if one.broken] == ["orders.payments childless"]
    await shop.forget()
    assert (await shop.look()) == found
    shop.clock.advance(Consistency().interval)
    assert (await shop.look()) == {}


async def test_rows_of_versions_alike_and_rows_from_before_the_rollout_prove_nothing(shop: Shop) -> None:
    """Every tenth order of both is never paid; what was sold two hours ago is not looked at."""
    await shop.sell(lambda one: one % 20 < 2, minutes=30)
    assert not any(one.broken for one in (await shop.look()).values())

    later = dataclasses.replace(shop.rollout, id="r-2", started_at=shop.clock.now() - timedelta(minutes=20))
    assert await shop.look(rollout=later) == {}
    assert shop.watch.found("r-1") == ()


async def test_what_the_policy_ignores_is_not_told(shop: Shop) -> None:
    """An order that needs no payment any more is no fault of the canary; without the watch nothing is."""
    await shop.sell(lambda one: one % 20 == 0, minutes=30)
    for consistency in (Consistency(ignore=("orders.payments",)), Consistency(enabled=False)):
        database = dataclasses.replace(shop.policy.database, consistency=consistency)
        watch = shop.watching(dataclasses.replace(shop.policy, database=database))
        assert "orders.payments childless" not in await shop.look(watch)
        await watch.close()


async def test_a_table_that_is_gone_costs_what_is_said_of_it(shop: Shop) -> None:
    """What was found is unknown then, and found again when the table is back."""
    await shop.sell(lambda one: one % 20 == 0, minutes=30)
    await shop.look()
    await shop.rename("payments", "gone")
    shop.clock.advance(Consistency().interval)
    assert "orders.payments childless" not in await shop.look()

    await shop.rename("gone", "payments")
    shop.clock.advance(Consistency().interval)
    assert (await shop.look())["orders.payments childless"].broken


async def test_what_was_proven_is_not_forgotten_because_of_a_look_that_failed(shop: Shop) -> None:
    """Ten hours later one look alone would prove less; no table that was away for a moment, no restart is a reason to,
    even of an exporter that finds no database at first.
    """
    await shop.sell(lambda one: one % 40 == 0, minutes=30)
    assert (await shop.look())["orders.payments childless"].broken
    await shop.rename("payments", "gone")
    shop.clock.advance(36_000)
    await shop.look()

    await shop.rename("gone", "payments")
    shop.clock.advance(Consistency().interval)
    assert (await shop.look())["orders.payments childless"].broken
    later = shop.watching(shop.policy)
    shop.move("shop.db", "gone.db")
    assert await shop.look(later) == {}
    shop.move("gone.db", "shop.db")
    shop.clock.advance(Consistency().interval)
    assert (await shop.look(later))["orders.payments childless"].broken
    await later.close()


async def test_a_restart_proves_nothing_that_no_look_has_found(shop: Shop) -> None:
    """Looks that are repeated see no row of after their time: what became wrong only now is not called proven early."""
    await shop.sell(lambda one: one % 4 == 0 and one <= 28, minutes=20)

    unpaid = (await shop.look())["orders.payments childless"]

    assert (unpaid.counts, unpaid.broken) == ({"v1": (0, 300), "v2": (7, 100)}, False)


async def test_a_source_that_is_away_leaves_only_its_own_rows_unknown(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """The other sources' rows are held against each other all the same; that it is away is said once."""
    await shop.sell(lambda one: one % 20 == 0, minutes=30)
    database = shop.policy.database
    returns = dataclasses.replace(database.events["carts"], source="tills")
    database = dataclasses.replace(
        database, events={**database.events, "returns": returns}, sources={"tills": Source(url="sqlite:///gone.db")}
    )
    watch = shop.watching(dataclasses.replace(shop.policy, database=database))

    for _ in range(2):
        assert (await shop.look(watch))["orders.payments childless"].broken
        shop.clock.advance(Consistency().interval)

    await watch.close()
    assert caplog.messages.count("rows of both versions cannot be compared") == 1


async def test_a_database_that_is_away_ends_no_hold(shop: Shop) -> None:
    """What was proven stays so until it can be looked at again; of the rest nothing is known."""
    await shop.sell(lambda one: one % 20 == 0, minutes=30)
    found = await shop.look()
    shop.move("shop.db", "gone.db")
    for _ in range(2):
        shop.clock.advance(Consistency().interval)
        assert await shop.look() == {name: one for name, one in found.items() if one.broken}

    shop.move("gone.db", "shop.db")
    await shop.forget()
    shop.clock.advance(Consistency().interval)
    assert await shop.look() == {}


async def test_what_is_found_is_published_while_the_rollout_runs(shop: Shop) -> None:
    """How many rows of each version are at fault, of how many, and whether that is proven; nothing when it is over."""
    await shop.sell(lambda one: one % 20 == 0, minutes=30)
    async with refresher_on(shop.policy, shop.clock) as refresher:
        registry = CollectorRegistry()
        registry.register(ExporterCollector(lambda: refresher.snapshot, shop.clock))
        refresher.consistency, refresher.rollout = shop.watch, shop.rollout

        def series() -> dict[tuple[str, str | None], float]:
            unpaid = {names.ROLLOUT: "r-1", names.EVENT: "orders", names.FAULT: "childless", names.COLUMN: "payments"}
            samples = [one for metric in registry.collect() for one in metric.samples]
            return {
                (one.name, one.labels.get(names.VERSION)): one.value
                for one in samples
                if unpaid.items() <= one.labels.items()
            }

        await refresher.refresh()
        before = series()
        await shop.watch.settled()
        await refresher.refresh()
        found = series()
        refresher.rollout = None
        await refresher.refresh()
        after = series()

    assert before == after == {}
    assert found == {
        (names.CONSISTENCY_ROWS, "v1"): 300,
        (names.CONSISTENCY_ROWS, "v2"): 100,
        (names.CONSISTENCY_FAULTY_ROWS, "v1"): 0,
        (names.CONSISTENCY_FAULTY_ROWS, "v2"): 20,
        (names.CONSISTENCY_BROKEN, None): 1,
    }


async def test_shards_have_ids_of_their_own(shop: Shop) -> None:
    """A payment of another shard's order of the same number pays for none, and the amounts of both do not add up."""
    await shop.sell(lambda _: False, minutes=30)
    shop.copy("paid.db")
    await shop.forget()
    await shop.sell(lambda one: one % 20 == 0, minutes=30)
    watch = shop.watching_shards("shop.db", "paid.db")

    found = await shop.look(watch)

    await watch.close()
    assert found["orders.payments childless"].counts == {"v1": (0, 600), "v2": (20, 200)}
    assert found["orders.total amount"].counts == {"v1": (0, 600), "v2": (0, 180)}
    assert [name for name, one in found.items() if one.broken] == ["orders.payments childless"]


async def test_of_all_shards_the_newest_rows_are_looked_at(shop: Shop) -> None:
    """Older orders, whose payments may be among those that were not read, are not said to have none."""
    await shop.sell(lambda _: False, minutes=40)
    shop.copy("older.db")
    await shop.forget()
    await shop.sell(lambda _: False, minutes=30)
    watch = shop.watching_shards("older.db", "shop.db", rows=400)

    found = await shop.look(watch)

    await watch.close()
    assert found["orders.payments childless"].counts == {"v1": (0, 300), "v2": (0, 100)}
