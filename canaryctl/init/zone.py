"""Which zone a shop's times are in, when they are stored without one: nothing in such a column says it.

Read in the wrong zone, the newest orders are hours old or lie ahead, and a rollout is judged by nothing. So the newest
rows are read in UTC and in a zone that is as far from it as zones go. Events of which both give the same moment carry
their zone, and say nothing about that of the others. Of these a zone of the database server is proposed by which
the newest row has just come in, where by UTC it has not.
"""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from canary.errors import DatabaseError
from exporter.source.database import Session

_FAR = "Pacific/Kiritimati"
"""UTC+14, the furthest there is: no shop's times mean the same in it and in UTC."""

_JUST_SECONDS = 900
"""A newest row of this age is one of a shop that sells now. Zones are at least as far apart."""

_SYSTEMS = "SELECT CASE @@global.time_zone WHEN 'SYSTEM' THEN @@system_time_zone ELSE @@global.time_zone END"
_ASKED = {
    "postgresql": "SELECT split_part(setting, '=', 2) FROM pg_db_role_setting, unnest(setconfig) AS setting"
    " WHERE setting ILIKE 'timezone=%' UNION ALL SELECT current_setting('log_timezone')",
    "mysql": _SYSTEMS,
    "mariadb": _SYSTEMS,
}
"""The zones of a server before a session chooses its own, as ours does when it connects. That of PostgreSQL's log is
its machine's, and cannot be overwritten by who connects."""


@dataclass(frozen=True)
class Guess:
    """The zone to take, or to propose where somebody can be asked.

    Attributes:
        needed: whether any time is stored without a zone.
        why: in words, for the line that says which zone was taken.
    """

    zone: str
    why: str
    needed: bool = True


async def server_zones(session: Session) -> list[str]:
    """The zones that a database server goes by; none where it has none, or does not tell."""
    question = _ASKED.get(session.dialect_name)
    if question is None:
        return []
    try:
        found = [str(name) for (name,) in await session.rows(sa.text(question))]
    except DatabaseError:
        return []
    return [name for name in dict.fromkeys(found) if is_zone(name)]


def is_zone(name: str) -> bool:
    """Whether a zone is called so."""
    try:
        ZoneInfo(name)
    except (ValueError, KeyError, OSError):  # which of them depends on how it is no zone's name
        return False
    return True


async def guess_zone(
    newest: Callable[[str], Awaitable[Mapping[str, float]]], servers: Sequence[str], now: float
) -> Guess:
    """The likely zone of times without one.

    Args:
        newest: the moment of each event's newest row, its times read in a zone; an event without rows is not in it.
        servers: the zones of the database server.
        now: seconds since the epoch.
    """
    in_utc = await newest("UTC")
    if not in_utc:
        return Guess("UTC", "there is no row that could tell")
    far = await newest(_FAR)
    # A row that came in between the two readings is seconds away, and no zone.
    bare = [event for event, moment in in_utc.items() if abs(moment - far.get(event, moment)) > _JUST_SECONDS]
    if not bare:
        return Guess("UTC", "the shop's times carry their zone", needed=False)

    def just(moments: Mapping[str, float]) -> bool:
        return (
            abs(now - max((moments[event] for event in bare if event in moments), default=-math.inf)) <= _JUST_SECONDS
        )

    if just(in_utc):
        return Guess("UTC", "the newest row has just come in by it")
    for zone in servers:
        if just(await newest(zone)):
            return Guess(zone, "the database server's own, and the newest row has just come in by it")
    return Guess("UTC", "nothing that could be read says another")
