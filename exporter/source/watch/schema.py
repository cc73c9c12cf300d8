"""The schema watch: what both versions need is still there, with the type it had.

While a canary runs, two versions share one database. A migration that came with the canary and removes a column that
stable writes breaks the shop for everybody, and the statistics would only see that both sides got worse. So it is
looked at directly: tables and columns that the policy maps or lists as required. A type may grow (a longer text, a
wider number) and must not change its family. Of a source with shards each is looked at: migrations reach them one by
one.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field

from canary.errors import DatabaseError
from canary.policy.kpis import segment_column
from canary.policy.model import Policy
from exporter.source.database import Session
from exporter.source.mapping import columns_of, spare_tables
from exporter.source.sources import run_in_each
from exporter.source.watch.catalog import kinds_of


@dataclass
class SchemaWatch:
    """Compares a source's databases with the policy's mapping, and with how they looked at the first time.

    Args:
        policy: as that source has it (`exporter.source.sources.policy_at`).

    Attributes:
        problems: what is wrong, one sentence each; empty when both versions find what they need.
        looked: whether it was looked at.
        absent: tables of the default schema that were never there and that nobody needs.
    """

    policy: Policy
    session: Session
    problems: tuple[str, ...] = ()
    looked: bool = False
    absent: frozenset[str] = frozenset()
    _types: dict[tuple[int, str, str], str] = field(default_factory=dict)

    async def look(self) -> None:
        """Look again.

        Raises:
            DatabaseError: the database could not be asked.
        """
        wanted = dict(_wanted(self.policy))
        shards = await run_in_each(
            self.session, lambda connection: {table: kinds_of(connection, table) for table in wanted}
        )
        if not self.looked:  # what goes later was there for both versions, and is missed
            spare = spare_tables(self.policy)
            self.absent = frozenset(table for table in spare if all(found.get(table) is None for found in shards))
        self.problems = tuple(
            problem if len(shards) == 1 else f"shard {shard}: {problem}"
            for shard, found in enumerate(shards, 1)
            for problem in self._problems(shard, wanted, found)
        )
        self.looked = True

    @property
    def compatible(self) -> bool | None:
        """Whether nothing is wrong; None before the first look."""
        return not self.problems if self.looked else None

    def _problems(
        self, shard: int, wanted: Mapping[str, set[str]], found: Mapping[str, Mapping[str, str] | None]
    ) -> Iterator[str]:
        for table, columns in wanted.items():
            there = found[table]
            if table in self.absent:
                continue
            if there is None:
                yield f"table {table} is not there"
                continue
            for column in sorted(columns):
                if column not in there:
                    yield f"column {table}.{column} is not there"
                    continue
                before = self._types.setdefault((shard, table, column), there[column])
                if there[column] != before:
                    yield f"column {table}.{column} was {before} and is now {there[column]}"


class SchemaWatches:
    """The schema watch of each source, as one."""

    def __init__(self, watches: Mapping[str | None, SchemaWatch]) -> None:
        self._by_source = dict(watches)
        self._watches = tuple(watches.values())

    async def look(self, away: Container[str | None] = ()) -> None:
        """Look again at all of them, but for the sources that are *away*, which would keep the others waiting.

        Raises:
            DatabaseError: one could not be asked; the others were.
        """
        fault: DatabaseError | None = None
        for source, watch in self._by_source.items():
            if source in away:
                continue
            try:
                await watch.look()
            except DatabaseError as error:
                fault = error
        if fault is not None:
            raise fault

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, of all."""
        return tuple(problem for watch in self._watches for problem in watch.problems)

    @property
    def absent(self) -> frozenset[str]:
        """Tables of the default schema that were never there and that nobody needs."""
        return frozenset().union(*(watch.absent for watch in self._watches))

    @property
    def compatible(self) -> bool | None:
        """Whether nothing is wrong; None before the first look."""
        found = [watch.compatible for watch in self._watches]
        return False if False in found else None if None in found else True


def _wanted(policy: Policy) -> Iterator[tuple[str, set[str]]]:
    tables: dict[str, set[str]] = {}
    for name, event in policy.database.events.items():
        if event.sql is None:
            tables.setdefault(event.table or name, set()).update(
                columns_of(event, segment_column(policy.kpis.values(), name))
            )
    given = policy.database.assignments
    if given is not None and given.table is not None:
        tables.setdefault(given.table, set()).update(
            filter(None, (given.unit, given.time, given.version, given.tester))
        )
    for pairs in policy.database.identities.values():
        if pairs.table is not None:
            columns = (pairs.unit, pairs.known_as, pairs.time)
            tables.setdefault(pairs.table, set()).update(column for column in columns if column is not None)
    for required in policy.database.required:
        tables.setdefault(required.table, set()).update(required.columns)
    yield from tables.items()
