"""A database whose clock is wrong is told, before its rows are missed."""

from datetime import UTC, datetime

import pytest

from canary.timing.clock import SystemClock
from exporter.source.database import Patience
from exporter.source.session import order_session
from exporter.source.sources import order_sources
from exporter.source.watch.clock import database_clock
from tests.support.clock import FakeClock
from tests.support.databases.exporting import policy_for, refresher_on, settle
from tests.support.databases.mariadb import MariaDb
from tests.support.databases.shopdata import ShopData, fill


async def test_a_server_tells_its_own_time_and_a_file_has_none(data: ShopData) -> None:
    """Against a clock of ours that stands still, a server is ahead by what has passed since."""
    clock = FakeClock()
    async with order_sources(policy_for(data.url), Patience.LIVE) as sources:
        found = await database_clock(sources.sessions[None], clock)
    if data.url.startswith("sqlite"):
        assert found is None
    else:
        assert found is not None
        assert found.seconds == pytest.approx((datetime.now(UTC) - clock.now()).total_seconds(), abs=600)


async def test_the_judge_is_blind_while_the_clock_is_wrong(lite: ShopData, clock: FakeClock) -> None:
    """Not before, and not after."""
    await fill(lite, clock.now(), 20)
    async with refresher_on(policy_for(lite.url), clock) as refresher:
        await settle(refresher, clock)
        found = []
        for refresher.clock_ahead_seconds in (0.0, -3600.0, 0.0):
            await refresher.refresh()
            found.append("clock" in refresher.snapshot.blind)

    assert found == [False, True, False]


async def test_a_mariadb_whose_clock_is_wrong_is_found_to_be() -> None:
    """Its own word counts: sessions of this server believe that it is half an hour earlier."""
    with MariaDb(["init-connect=SET timestamp = UNIX_TIMESTAMP() - 1800"]) as server:
        # What a server does at the beginning of a session it does not do for administrators.
        server.execute("GRANT SELECT ON *.* TO reader@'127.0.0.1' IDENTIFIED BY ''")
        policy = policy_for(server.new_database().replace("shop@", "reader@"))
        async with order_session(policy, Patience.LIVE) as session:
            found = await database_clock(session, SystemClock())

    assert found is not None
    # A clock that stands still until it is asked again is the further behind, the later it is asked.
    assert found.seconds <= -1800 + found.uncertain_seconds + 1
