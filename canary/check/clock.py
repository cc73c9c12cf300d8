"""One clock for all: servers whose time differs would judge each other's data as old or not yet there."""

from contextlib import suppress
from datetime import UTC, datetime

import sqlalchemy as sa

from canary.check.finding import Finding, failed, ok
from canary.clock import Clock
from canary.database import order_connection, order_engine, order_url
from canary.errors import CanaryError
from canary.policy import Policy
from canary.servers import Prometheus

_TOLERATED_SECONDS = 2.0
_REMEDY = "let both machines follow the same time servers (systemd-timesyncd, chrony)"


async def check_clock(policy: Policy, prometheus: Prometheus, clock: Clock) -> list[Finding]:
    """This machine's clock against Prometheus' and the database server's; a server that is down is not asked."""
    differences: dict[str, float] = {}
    with suppress(CanaryError):  # its own check says so
        before = clock.now()
        found = await prometheus.query("time()")
        differences["prometheus"] = float(found[0]["value"][1]) - _middle(before, clock.now())
    with suppress(CanaryError):  # as above
        if (ahead := await _database_ahead(policy, clock)) is not None:
            differences["database"] = ahead
    return [_judged(f"clock {name}", seconds) for name, seconds in differences.items()]


def _middle(before: datetime, after: datetime) -> float:
    return (before.timestamp() + after.timestamp()) / 2


async def _database_ahead(policy: Policy, clock: Clock) -> float | None:
    """Seconds by which the database server's clock is ahead; None where there is none of its own, or none we know."""
    url = order_url(policy, any_dialect=True)
    if url is None or url.get_backend_name() not in ("postgresql", "mysql"):
        return None
    statement = "SELECT UTC_TIMESTAMP(6)" if url.get_backend_name() == "mysql" else "SELECT clock_timestamp()"
    engine = order_engine(url)
    try:
        async with order_connection(engine) as connection:
            before = clock.now()
            moment: datetime = (await connection.execute(sa.text(statement))).scalar_one()
            after = clock.now()
    finally:
        await engine.dispose()
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - _middle(before, after)


def _judged(place: str, seconds: float) -> Finding:
    direction = "ahead of" if seconds > 0 else "behind"
    what = f"{abs(seconds):.2f}s {direction} this machine"
    return ok(place, what) if abs(seconds) <= _TOLERATED_SECONDS else failed(place, what, _REMEDY)
