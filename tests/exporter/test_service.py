"""The exporter as people run it: a process, scraped over HTTP, on a database that comes and goes."""

import asyncio
import contextlib
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from canary.logs import configure
from canary.policy.load import load_policy
from canary.policy.model import Policy
from canary.policy.pinning.digest import digest
from canary.rollout.commands.commands import Start
from canary.rollout.journal.journal import Journal
from canary.rollout.kinds import Kind
from canary.rollout.plan.plans import plan_of
from canary.web.options import WebOptions
from exporter.loop import Loop
from exporter.publish.update import Tell
from exporter.refresher import Refresher
from exporter.service import Exporter
from tests.support.databases.postgres import Postgres
from tests.support.databases.shopdata import ORDERS, VISITS, ShopData, fill
from tests.support.programs.processes import SEARCH_PATH, eventually
from tests.support.receiving.entries import entry, started

_POLICY = """\
service: shop
state: {{url: "sqlite:///state.db"}}
database: {{url: "{url}", refresh: 200ms, statement_timeout: 2s}}
"""

_WITHOUT_SERVICE = re.compile(r'service="shop",|,?service="shop"')

Metrics = dict[str, float]


def _write_policy(folder: Path, url: str, extra: str = "") -> Path:
    path = folder / "canary.yaml"
    path.write_text(_POLICY.format(url=url.replace("+aiosqlite", "").replace("+asyncpg", "")) + extra)
    return path


class _Scraped:
    """A running exporter and the way to ask it."""

    def __init__(self, exporter: Exporter, client: aiohttp.ClientSession) -> None:
        self.exporter = exporter
        self._client = client

    async def text(self, path: str = "/metrics") -> str:
        async with self._client.get(path) as answer:
            return await answer.text()

    async def metrics(self) -> Metrics:
        found = re.findall(r"^([^#\s]+(?:{.*})?) (\S+)$", await self.text(), re.MULTILINE)
        # Every series carries the service; without it a test reads more easily.
        return {_WITHOUT_SERVICE.sub("", series).replace("{}", ""): float(value) for series, value in found}

    async def eventually(self, series: str, value: float | None, *, or_more: bool = False) -> Metrics:
        """The metrics as soon as *series* has *value*; None waits until it is gone."""
        found: Metrics = {}

        async def there() -> bool:
            nonlocal found
            found = await self.metrics()
            if or_more and value is not None:
                return found.get(series, float("-inf")) >= value
            return found.get(series) == (pytest.approx(value) if value is not None else None)

        await eventually(there, f"{series} = {value}; found {found.get(series)}")
        return found


@asynccontextmanager
async def _running(policy: Path) -> AsyncIterator[_Scraped]:
    exporter = Exporter(Loop(lambda: load_policy(policy)), WebOptions(enable_lifecycle=True))
    async with exporter.refreshing(), exporter.web.serving() as urls, aiohttp.ClientSession(urls[0]) as client:
        yield _Scraped(exporter, client)


@pytest.fixture
async def policy(lite: ShopData, tmp_path: Path) -> Path:
    """A policy on a small shop in SQLite."""
    await fill(lite, datetime.now(UTC), 40)
    return _write_policy(tmp_path, lite.url)


async def test_a_rollout_is_judged_and_its_series_start_at_zero(policy: Path, lite: ShopData) -> None:
    """When a rollout starts, the canary has counters at 0 before its first order, and every KPI has a verdict."""
    async with _running(policy) as scraped:
        before = await scraped.eventually('shop_visits_total{version="v1.0"}', 40)
        settings = load_policy(policy)
        async with Journal.open(settings) as journal:
            await journal.append(started("r1", datetime.now(UTC)))
        during = await scraped.eventually('shop_visits_total{version="v2.0"}', 0)
        during = await scraped.eventually(
            'canary_kpi_verdict{kpi="payment_success_rate",rollout="r1",verdict="hold"}', 1
        )

    assert not any(series.startswith("canary_kpi_verdict") for series in before)
    assert during['shop_orders_total{version="v2.0"}'] == 0
    assert during['shop_payments_total{outcome="failed",version="v2.0"}'] == 0
    assert during['shop_order_value_total{currency="EUR",version="v2.0"}'] == 0
    assert {series for series in during if series.startswith("canary_kpi_verdict{")} == {
        f'canary_kpi_verdict{{kpi="{kpi}",rollout="r1",verdict="{verdict}"}}'
        for kpi in settings.kpis
        for verdict in ("pass", "fail", "hold", "blind")
    }


async def test_committed_rows_reach_the_metrics(policy: Path, lite: ShopData) -> None:
    """What the shop commits is on /metrics soon afterwards."""
    async with _running(policy) as scraped:
        await scraped.eventually('shop_visits_total{version="v1.0"}', 40)
        await lite.insert(VISITS, version="v1.0", created_at=datetime.now(UTC))
        await scraped.eventually('shop_visits_total{version="v1.0"}', 41)


async def test_counters_go_on_after_a_restart(policy: Path, lite: ShopData) -> None:
    """A restarted exporter continues its counters, even where rows were deleted meanwhile."""
    async with _running(policy) as scraped:
        await scraped.eventually('shop_visits_total{version="v1.0"}', 40)
    await lite.run(VISITS.delete().where(VISITS.c.id == (await lite.run(VISITS.select().limit(1)))[0].id))
    async with _running(policy) as scraped:
        first = await scraped.metrics()
        await scraped.eventually("canary_exporter_backfill_ratio", 1)
        await lite.insert(VISITS, version="v1.0", created_at=datetime.now(UTC))
        await lite.insert(VISITS, version="v1.0", created_at=datetime.now(UTC))
        later = await scraped.eventually('shop_visits_total{version="v1.0"}', 41)

    assert first['shop_visits_total{version="v1.0"}'] == 40
    assert later['canary_exporter_corrections_total{event="visits"}'] >= 1


async def test_without_a_database_counters_stay_and_kpis_go(postgres_own: Postgres, tmp_path: Path) -> None:
    """When the database goes down, what is no longer known is absent, the rest is served, and it comes back."""
    data = ShopData(postgres_own.new_database())
    await data.create()
    await fill(data, datetime.now(UTC), 40)
    async with _running(_write_policy(tmp_path, data.url)) as scraped:
        up = await scraped.eventually('shop_visits_total{version="v1.0"}', 40)
        assert 'shop_conversion_rate{version="v1.0"}' in up
        postgres_own.stop()
        down = await scraped.eventually("canary_exporter_database_up", 0)
        healthy, ready = await scraped.text("/-/healthy"), await scraped.text("/-/ready")
        postgres_own.start()
        again = await scraped.eventually("canary_exporter_database_up", 1)
    await data.close()

    assert down['shop_visits_total{version="v1.0"}'] == 40
    assert not any(series.startswith("shop_") and "_total" not in series for series in down)
    assert down['canary_exporter_errors_total{error="unavailable"}'] >= 1
    assert "healthy" in healthy
    assert "ready" in ready
    assert 'shop_conversion_rate{version="v1.0"}' in again


async def test_a_locked_table_only_takes_its_own_series(postgres: Postgres, tmp_path: Path) -> None:
    """While one table is locked the others stay fresh, the error is counted, and there is still one connection."""
    data = ShopData(postgres.new_database())
    await data.create()
    await fill(data, datetime.now(UTC), 40)
    async with _running(_write_policy(tmp_path, data.url)) as scraped:
        await scraped.eventually("canary_exporter_backfill_ratio", 1)  # else orders may still be uncounted
        async with data.engine.begin() as connection:
            await connection.exec_driver_sql("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
            await scraped.eventually('canary_exporter_errors_total{error="timeout"}', 1, or_more=True)
            await data.insert(VISITS, version="v1.0", created_at=datetime.now(UTC))
            during = await scraped.eventually('shop_visits_total{version="v1.0"}', 41)
            ours = (
                await connection.exec_driver_sql(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'kpi-canary'"
                )
            ).scalar()
        after = await scraped.eventually("canary_exporter_database_up", 1)
    await data.close()

    assert ours == 1
    assert during["canary_exporter_database_up"] == 1
    assert 'shop_orders_total{version="v1.0"}' in after


async def test_the_session_only_reads(postgres: Postgres, tmp_path: Path) -> None:
    """The connection is named, read only and bounded in time."""
    data = ShopData(postgres.new_database())
    await data.create()
    async with _running(_write_policy(tmp_path, data.url)) as scraped:
        await scraped.eventually("canary_exporter_database_up", 1)
        work = scraped.exporter.work
        assert isinstance(work, Loop)
        refresher = work.refresher
        assert refresher is not None
        session = refresher.sources.sessions[None]

        def settings(connection: object) -> list[str]:
            names = ("application_name", "transaction_read_only", "statement_timeout", "TimeZone")
            return [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in names]  # type: ignore[attr-defined]  # a sync connection

        found = await session.run(settings)
    await data.close()

    assert found == ["kpi-canary", "on", "2s", "UTC"]


async def test_a_reload_takes_a_good_policy_and_keeps_the_old_one_otherwise(
    policy: Path, lite: ShopData, tmp_path: Path
) -> None:
    """POST /-/reload with a faulty policy answers 500 with the line, and everything goes on as before."""
    async with _running(policy) as scraped:
        await scraped.eventually('shop_visits_total{version="v1.0"}', 40)
        _write_policy(tmp_path, lite.url, "kpis: {conversion_rate: {kind: conversion, from: visits, too: orders}}\n")
        async with scraped._client.post("/-/reload") as answer:
            refused, text = answer.status, await answer.text()
        kept = await scraped.metrics()
        _write_policy(tmp_path, lite.url, "kpis: {buyers: {kind: conversion, from: visits, to: orders}}\n")
        async with scraped._client.post("/-/reload") as answer:
            taken = answer.status
        later = await scraped.eventually('shop_conversion_rate{version="v1.0"}', None)
        await eventually(lambda: bool(scraped.exporter.snapshot.kpis), "the new KPI")
        later = await scraped.metrics()

    assert (refused, taken) == (500, 200)
    assert "canary.yaml:4" in text
    assert kept['shop_visits_total{version="v1.0"}'] == 40
    assert 'shop_buyers{version="v1.0"}' in later
    assert later['shop_visits_total{version="v1.0"}'] == 40


def info(one: Policy) -> str:
    """The series by which an exporter says that it goes by this policy."""
    return f'canary_policy_info{{component="exporter",digest="{digest(one)}"}}'


async def test_a_rollout_is_judged_by_the_policy_that_it_began_with(
    policy: Path, lite: ShopData, tmp_path: Path
) -> None:
    """Another tolerance in the file is for the next rollout; another mapping is refused until this one is over.

    Once promoted, it is watched by its own policy, and what is published is what the next one will be judged by.
    """
    begun = load_policy(policy)
    tolerance = 'canary_kpi_tolerance_ratio{kpi="conversion_rate",rollout="r1"}'
    start = Start(rollout="r1", stable="v1.0", canary="v2.0", actor="ann", **plan_of(begun, "normal"))
    async with _running(policy) as scraped:
        async with Journal.open(begun) as journal:
            await journal.append(start.entry(None, datetime.now(UTC)))
        await scraped.eventually(tolerance, 0.1)
        kpi = "kpis: {conversion_rate: {kind: conversion, from: visits, to: orders, tolerance: 30%}}\n"
        _write_policy(tmp_path, lite.url, kpi)
        newer = load_policy(policy)
        async with scraped._client.post("/-/reload") as answer:
            taken = answer.status
        await scraped.eventually(tolerance, 0.1)
        same = await scraped.metrics()
        _write_policy(tmp_path, lite.url.replace("+aiosqlite", "") + '", timezone: "Asia/Karachi')
        async with scraped._client.post("/-/reload") as answer:
            refused, text = answer.status, await answer.text()
        failed = await scraped.metrics()
        async with Journal.open(begun) as journal:
            await journal.append(entry("r1", Kind.PROMOTED, datetime.now(UTC), "ann"))
            await scraped.eventually(info(newer), 1)
            for kind in (Kind.ROLLBACK, Kind.ROLLED_BACK):
                await journal.append(entry("r1", kind, datetime.now(UTC), "ann", data={"cause": "manual"}))
        await scraped.eventually(tolerance, None)
        after = await scraped.metrics()

    assert (taken, refused) == (200, 500)
    assert info(begun) in same
    assert "database.timezone UTC -> Asia/Karachi" in text
    assert failed["canary_config_last_reload_successful"] == 0
    assert info(begun) not in after
    assert any(series.startswith("canary_policy_info") for series in after)


async def test_a_schema_change_is_noticed(policy: Path, lite: ShopData) -> None:
    """When a column that both versions need goes, the schema is incompatible, the reason is on the landing page."""
    async with _running(policy) as scraped:
        await scraped.eventually("canary_schema_compatible", 1)
        await lite.run(ORDERS.delete())
        async with lite.engine.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE orders RENAME COLUMN total TO amount")
        found = await scraped.eventually("canary_schema_compatible", 0)
        page = await scraped.text("/")

    assert found['canary_blind{reason="schema"}'] == 1
    assert "orders.total is not there" in page


async def test_promtool_finds_nothing_to_say(policy: Path, lite: ShopData) -> None:
    """`promtool check metrics` is content with everything that is exported."""
    async with _running(policy) as scraped:
        await scraped.eventually('shop_visits_total{version="v1.0"}', 40)
        text = await scraped.text()

    outcome = await asyncio.to_thread(
        subprocess.run,
        ["promtool", "check", "metrics"],
        input=text.encode(),
        capture_output=True,
        check=False,
        env={"PATH": SEARCH_PATH},
    )

    assert (outcome.returncode, outcome.stderr.decode(), outcome.stdout.decode()) == (0, "", "")


async def test_the_command_serves_and_ends_in_good_order(policy: Path, lite: ShopData) -> None:
    """`canary exporter` writes structured logs without secrets, reloads on SIGHUP and ends on SIGTERM with status 0."""
    program = Path(sys.executable).with_name("canary")
    arguments: list[str | Path] = [
        "--config.file",
        policy,
        "--web.listen-address",
        "127.0.0.1:0",
        "--log.format",
        "json",
    ]
    process = await asyncio.create_subprocess_exec(program, "exporter", *arguments, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    try:
        lines = [await asyncio.wait_for(process.stderr.readline(), 20)]
        for wanted, number in ((b"counting the past", signal.SIGHUP), (b"policy reloaded", signal.SIGTERM)):
            while wanted not in lines[-1]:
                lines.append(await asyncio.wait_for(process.stderr.readline(), 20))
            process.send_signal(number)
        status = await asyncio.wait_for(process.wait(), 20)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    assert status == 0
    assert all(line.startswith(b'{"time": ') for line in lines)


async def test_a_journal_that_cannot_be_read_is_a_reason_to_be_blind(tmp_path: Path, lite: ShopData) -> None:
    """Counting goes on, and the judge says that it cannot see which rollout runs."""
    policy = tmp_path / "canary.yaml"
    text = f'service: shop\nstate: {{url: "sqlite:///nowhere/state.db"}}\ndatabase: {{url: "{lite.url}"}}\n'
    policy.write_text(text.replace("+aiosqlite", ""))  # before it starts
    await lite.insert(VISITS, version="v1.0", created_at=datetime.now(UTC))
    async with _running(policy) as scraped:
        found = await scraped.eventually('canary_blind{reason="journal"}', 1)
        found = await scraped.eventually('shop_visits_total{version="v1.0"}', 1)

    assert found["canary_exporter_database_up"] == 1


async def test_secrets_are_shown_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A database that refuses us is named without its password: in the log, on /metrics and on the landing page."""
    (tmp_path / "url").write_text("postgresql://shop:hunter2@127.0.0.1:9/nowhere\n")  # before it starts
    policy = tmp_path / "canary.yaml"
    policy.write_text("service: shop\ndatabase: {url_file: url, refresh: 200ms}\n")  # as above
    configure("debug", "logfmt")
    async with _running(policy) as scraped:
        found = await scraped.eventually("canary_exporter_database_up", 0)
        shown = await scraped.text() + await scraped.text("/") + capfd.readouterr().err

    assert found['canary_exporter_errors_total{error="unavailable"}'] >= 1
    assert "127.0.0.1:9" in shown
    assert "hunter2" not in shown


async def test_a_database_that_appears_later_is_read(tmp_path: Path) -> None:
    """The exporter may be started before the shop: it waits for the database file and its tables."""
    path = _write_policy(tmp_path, f"sqlite:///{tmp_path}/shop.db")
    async with _running(path) as scraped:
        await scraped.eventually("canary_exporter_database_up", 0)
        sqlite3.connect(tmp_path / "shop.db").close()
        data = ShopData(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
        await data.create()
        await data.insert(VISITS, version="v1.0", created_at=datetime.now(UTC))
        await data.close()

        await scraped.eventually('shop_visits_total{version="v1.0"}', 1)


async def test_a_refresh_that_nobody_foresaw_is_survived(
    policy: Path, lite: ShopData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of this program in one refresh is counted, the database is not called readable, and then it goes on."""
    whole, broken = Refresher._read, 2

    async def read(self: Refresher) -> None:
        nonlocal broken
        if self.snapshot.refreshed_at is not None and broken:
            broken -= 1
            raise ZeroDivisionError
        await whole(self)

    monkeypatch.setattr(Refresher, "_read", read)
    async with _running(policy) as scraped:
        await scraped.eventually('canary_exporter_errors_total{error="unexpected"}', 2)
        await lite.insert(VISITS, version="v1.0", created_at=datetime.now(UTC))
        found = await scraped.eventually('shop_visits_total{version="v1.0"}', 41)

    assert found["canary_exporter_database_up"] == 1


async def test_a_process_that_can_do_nothing_any_more_ends_with_its_fault(
    policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When refreshing itself ends, the service stops and the exit status is not 0: a supervisor must see it."""

    async def ended(_tell: Tell) -> None:
        raise ZeroDivisionError("a fault of this program")

    work = Loop(lambda: load_policy(policy))
    monkeypatch.setattr(work, "run", ended)
    exporter = Exporter(work, WebOptions(("127.0.0.1:0",)))

    with pytest.raises(ZeroDivisionError):
        await exporter.run()
