"""The primary of a read replica: reachable, none that is a replica itself, and with the rows that the replica has."""

from collections.abc import Iterator

from canary.errors import CanaryError
from canary.finding import Finding, failed, ok, warning
from canary.policy import Policy
from canary.policy.reading.document import Document
from canary.timing.clock import Clock
from exporter.source.consistency.primary import Replicated, held_against_primary, require_primary
from exporter.source.database import OrderDatabase, Patience, Session
from exporter.source.session import open_session

_AT = "database.primary"
_LISTED = 5
_WORDS = {
    "missing": "are in the primary and not in the replica, although its lag is past",
    "surplus": "are in the replica and not in its primary",
    "differing": "have another value or outcome in the replica than in its primary",
}


async def check_primary(
    policy: Policy, replica: Session, clock: Clock, document: Document | None, *, data: bool
) -> list[Finding]:
    """Whether the primary answers; with *data* also whether the replica has its newest rows. Nothing without one.

    Args:
        document: the policy's file, for the lines in it.
    """
    section = policy.database.primary
    if section is None:
        return []
    place = _AT if document is None else document.fault(("database", "primary"), "").place
    try:
        database = OrderDatabase.primary_of(policy, Patience.LIVE)
        if database is None:
            return []
        primary = open_session(database)
        try:
            if not data:
                await require_primary(primary)
                return [ok(place, f"{database.shown} answers")]
            compared = await held_against_primary(policy, replica, primary, clock, most=section.rows)
        finally:
            await primary.close()
    except CanaryError as error:
        remedy = error.remedy or "see that the primary runs and that this user may connect and read"
        return [failed(place, error.what, remedy)]
    return [finding for one in compared for finding in _told(place, one)]


def _told(place: str, one: Replicated) -> Iterator[Finding]:
    there, here = one.newest
    if (error := one.unread) is not None:
        remedy = error.remedy or "see that this is the database that the shop writes to, and that this user may read it"
        where = f"{error.place}: " if error.place else ""
        yield failed(place, f"{one.event} are not compared: {where}{error.what}", remedy)
        return
    for kind, ids in one.faulty.items():
        listed = ", ".join(ids[:_LISTED]) + (", ..." if len(ids) > _LISTED else "")
        what = f"{len(ids)} of the newest {one.event} {_WORDS[kind]}: {listed}"
        remedy = "let the replica be made anew, or see what it is meant to leave out: verdicts rest on its rows alone"
        yield warning(place, what, remedy)
    if not one.faulty:
        newest = f", the newest has the id {there} in both" if there == here != "" else ""
        yield ok(place, f"the replica has the newest {one.rows} rows of {one.event} as its primary has them{newest}")
