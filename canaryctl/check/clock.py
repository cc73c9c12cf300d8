"""One clock for all: servers whose time differs would judge each other's data as old or not yet there."""

from contextlib import suppress

from canary.errors import CanaryError
from canary.finding import Finding, failed, ok
from canary.policy import Policy
from canary.prometheus import Prometheus
from canary.timing.clock import Clock
from exporter.source.database import OrderDatabase, Patience, names_database
from exporter.source.session import open_session
from exporter.source.watch.clock import Difference, database_clock

# Below the shortest wait that a judgement rests on (rows and samples are given seconds to arrive), and far above what
# time servers leave between two machines.
_TOLERATED_SECONDS = 2.0
_REMEDY = "let both machines follow the same time servers (systemd-timesyncd, chrony)"


async def check_clock(policy: Policy, prometheus: Prometheus, clock: Clock) -> list[Finding]:
    """This machine's clock against Prometheus' and the database server's; a server that is down is not asked."""
    differences: dict[str, Difference] = {}
    with suppress(CanaryError):  # its own check says so
        before = clock.now()
        theirs = await prometheus.time()
        differences["prometheus"] = Difference.of(theirs.timestamp(), before, clock.now())
    with suppress(CanaryError):  # as above
        if (ahead := await _database_ahead(policy, clock)) is not None:
            differences["database"] = ahead
    return [_judged(f"clock {name}", difference) for name, difference in differences.items()]


async def _database_ahead(policy: Policy, clock: Clock) -> Difference | None:
    """How far the database server's clock is ahead; None where there is none of its own, or none we know."""
    if not names_database(policy):
        return None
    database = OrderDatabase.of(policy, Patience.LIVE)
    session = open_session(database)
    try:
        return await database_clock(session, clock)
    finally:
        await session.close()


def _judged(place: str, difference: Difference) -> Finding:
    seconds = difference.seconds
    direction = "ahead of" if seconds > 0 else "behind"
    what = f"{abs(seconds):.2f}s {direction} this machine (±{difference.uncertain_seconds:.2f}s)"
    proven = abs(seconds) - difference.uncertain_seconds
    return ok(place, what) if proven <= _TOLERATED_SECONDS else failed(place, what, _REMEDY)
