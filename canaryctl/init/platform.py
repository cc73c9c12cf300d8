"""Shop platforms that are known: how to recognise one by its tables, and how its orders are read.

Every shop of a platform has the same tables, and guessing them by their names was wrong for each platform that it was
tried on: a cart is an order there, a refund a negative one, a draft looks like both. So each has a file
(`platforms/*.yaml`) with the mapping as it belongs into a policy, and with what cannot be measured, and why. The files
are data: what a platform's columns mean is looked up once, written down, and compared with plain SQL by a test.

Tables may have a prefix that every shop chooses (`wp_`, `ps_`). It stands as `{p}` in a file, and is found with the
tables: it is what stands before all of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Any, Self

import yaml

from canary.errors import DatabaseError, DatabaseUnavailableError
from exporter.source.database import Session
from exporter.source.mapping import literal_sql
from exporter.source.watch.catalog import kinds_of, table_names

_PREFIX = "{p}"


@dataclass(frozen=True)
class Platform:
    """One platform's file.

    Attributes:
        name: the file's, as `--platform` takes it.
        title: for people.
        engines: names of SQLAlchemy's dialects on which it runs.
        prefix: that of a new installation.
        tables: by which it is recognised, without the prefix, each with the columns that the mapping needs.
        settings: the table that the next two ask; None where neither is there.
        confirm: a statement that says whether these tables are the ones in use; None where the tables say it.
        timezone: of its times; None where it is the shop's own, and then `timezone_sql` may tell it.
        kpis: those of the strategy's six that can be measured.
        impossible: why the others cannot.
        notes: what counts and what does not, for people.
        database: the text below `database:` of a policy.
    """

    name: str
    title: str
    engines: tuple[str, ...]
    prefix: str
    tables: Mapping[str, tuple[str, ...]]
    settings: str | None
    confirm: str | None
    timezone: str | None
    timezone_sql: str | None
    kpis: tuple[str, ...]
    impossible: Mapping[str, str]
    notes: tuple[str, ...]
    database: str

    @classmethod
    def of(cls, name: str, data: Mapping[str, Any]) -> Self:
        """From what a file says."""
        zone = data["timezone"]
        return cls(
            name=name,
            title=data["title"],
            engines=tuple(data["engines"]),
            prefix=data["prefix"],
            tables={table: tuple(columns) for table, columns in data["tables"].items()},
            settings=data.get("settings"),
            confirm=data.get("confirm"),
            timezone=zone if isinstance(zone, str) and zone != "ask" else None,
            timezone_sql=zone["sql"] if isinstance(zone, Mapping) else None,
            kpis=tuple(data["kpis"]),
            impossible=data["impossible"],
            notes=tuple(data["notes"]),
            database=data["database"],
        )

    @property
    def told(self) -> str:
        """What the shop's settings say, in words."""
        return "the shop's time zone" if self.confirm is None else "whether these tables are in use"

    def mapping(self, prefix: str) -> str:
        """The text below `database:` for tables with a prefix."""
        return self.database.replace(_PREFIX, prefix)

    def prefixes(self, names: Sequence[str]) -> Iterator[str]:
        """Every prefix with which all of its tables are there; that of a new installation first."""
        there = set(names)
        first = next(iter(self.tables))
        found = {name.removesuffix(first) for name in names if name.endswith(first)}
        for prefix in sorted(found, key=lambda prefix: (prefix != self.prefix, len(prefix), prefix)):
            if all(f"{prefix}{table}" in there for table in self.tables):
                yield prefix


@dataclass(frozen=True)
class Found:
    """A platform in a database.

    Attributes:
        prefix: of its tables.
        timezone: of its times, where that is known.
        unread: the table of its settings, where they would say something and this user cannot read them.
    """

    platform: Platform
    prefix: str
    timezone: str | None
    unread: str | None = None


def platforms() -> dict[str, Platform]:
    """All that are known, by name."""
    folder = files("canaryctl.init") / "platforms"
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".yaml"))
    return {
        name.removesuffix(".yaml"): Platform.of(
            name.removesuffix(".yaml"), yaml.safe_load((folder / name).read_text(encoding="utf-8"))
        )
        for name in names
    }


async def recognise(session: Session, candidates: Sequence[Platform]) -> list[Found]:
    """The platforms whose tables and columns are there, the one with most of them first.

    Raises:
        DatabaseError: the tables cannot be looked at.
    """
    names = await session.run(table_names)
    found = [
        await _found(session, platform, prefix)
        for platform in candidates
        if session.dialect_name in platform.engines
        for prefix in platform.prefixes(names)
        if not await missing(session, platform, prefix)
    ]
    return sorted(filter(None, found), key=lambda one: -len(one.platform.tables))


async def missing(session: Session, platform: Platform, prefix: str) -> list[str]:
    """Tables and columns that a platform's mapping needs and that are not there, or that this user may not see.

    Raises:
        DatabaseError: the tables cannot be looked at.
    """
    lacking = []
    for table, columns in platform.tables.items():
        name = f"{prefix}{table}"
        kinds = await session.run(partial(kinds_of, table=name))
        if kinds is None:
            lacking.append(f"table {name}")
        else:
            there = {column.lower() for column in kinds}
            lacking += [f"column {name}.{column}" for column in columns if column.lower() not in there]
    return lacking


async def _found(session: Session, platform: Platform, prefix: str) -> Found | None:
    """With what the shop's own settings say; None where they say that it uses other tables."""
    zone, unread = platform.timezone, None
    try:
        if platform.confirm is not None and await _told(session, platform.confirm, prefix) in ("0", "False"):
            return None
        if platform.timezone_sql is not None:
            zone = await _told(session, platform.timezone_sql, prefix)
    except DatabaseUnavailableError:
        raise
    except DatabaseError:
        unread = f"{prefix}{platform.settings}"
    return Found(platform, prefix, zone, unread)


async def _told(session: Session, sql: str, prefix: str) -> str | None:
    """One value from the shop's own settings; None where it has none."""
    rows = await session.rows(literal_sql(sql.replace(_PREFIX, prefix)))
    return str(rows[0][0]) if rows and rows[0][0] is not None else None
