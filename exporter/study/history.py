"""Past rows of the order database: everything of a stretch of time, joined as the judge needs it.

Commands read days at once where the exporter reads seconds. Statements grow with what the last one brought, so that a
quiet shop is read with few of them and a large one without a statement that times out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from canary.policy.kpis import Conversion, Mean, events_of
from canary.policy.model import Policy
from exporter.judge.joins import JoinedRows, merged
from exporter.ledger.lookups import Lookups
from exporter.ledger.reader import known_units
from exporter.ledger.rows import FAILED_CODE, SUCCEEDED_CODE, Codes, EventRows
from exporter.source.assignments.routed import LEFT_OUT, UnitVersions, version_of
from exporter.source.columns.zones import Zone
from exporter.source.database import Session
from exporter.source.dialects import FARTHEST_OFFSET_SECONDS, offset_seconds
from exporter.source.mapping import parents_of, with_ancestors
from exporter.source.sources import Sources, single_rows
from exporter.source.streams import Stream, fitted

_FIRST_SPAN_SECONDS = 3600
"""How much the first statement reads; the others as much as brings about `_SPAN_ROWS`."""
_LONGEST_SPAN_SECONDS = 30 * 86_400
"""No statement reads more than a month, however quiet the shop."""
_SPAN_ROWS = 200_000
"""Rows that a statement should bring: enough that its own cost does not matter, few enough to be held at once."""


@dataclass
class History:
    """Reads stretches of the past, one after the other.

    Attributes:
        tagged: tells the versions of the sides in the router's tag; None where nobody knows of rollouts.
    """

    policy: Policy
    sources: Sources
    tagged: UnitVersions | None = None
    versions: Codes = field(default_factory=Codes)
    currencies: Codes = field(default_factory=Codes)
    _zones: dict[str | None, Zone] = field(init=False)
    _streams: list[tuple[Stream, Session]] = field(init=False)
    _offset_seconds: dict[str, int] = field(default_factory=dict)
    _fitted: dict[Stream, Stream] = field(default_factory=dict)
    _lookups: Lookups = field(init=False)

    def __post_init__(self) -> None:
        """Build the statements."""
        wanted = needed_events(self.policy)
        self._zones = self.sources.zones(self.policy)
        self._streams = [one for one in self.sources.streams(self.policy) if one[0].event in wanted]
        self._lookups = Lookups.of(self.policy, self.sources, [stream for stream, _ in self._streams])

    async def between(self, low: float, high: float) -> JoinedRows:
        """All rows from `low` to `high` (seconds since the epoch), and what became of them.

        Payments are followed for the pending timeout beyond `high`; what is asked of the time before a rollout is read
        from `database.window` before `low` on.

        Raises:
            DatabaseError: one of its kinds.
        """
        policy = self.policy
        found: dict[str, dict[str, EventRows]] = {}
        for lookup in self._lookups.all:
            await lookup.look(high + policy.database.lateness)
        for stream, session in self._streams:
            late = policy.evidence.pending_timeout if stream.kind == "settled" else 0.0
            table = await self._read(stream, session, low - self._early_seconds(stream.event), high + late)
            found.setdefault(stream.event, {})[stream.kind] = table
        tables = {}
        for event_name, kinds in found.items():
            empty = EventRows.empty(len(parents_of(policy.database.events, event_name)))
            parts = (kinds.get(kind, empty) for kind in ("settled", "unsettled", "pending"))
            tables[event_name] = kinds["rows"] if "rows" in kinds else merged(*parts)
        return JoinedRows(policy.database.events, tables)

    def within(self, joined: JoinedRows, low: float, high: float) -> JoinedRows:
        """Of rows that were read from a longer stretch, those that `between` would have read for a shorter one."""
        late = self.policy.evidence.pending_timeout
        tables = {}
        for event, table in joined.rows.items():
            settled = (table.outcome == SUCCEEDED_CODE) | (table.outcome == FAILED_CODE)
            wanted = (table.time >= low - self._early_seconds(event)) & (
                table.time < high + np.where(settled, late, 0.0)
            )
            tables[event] = table.where(wanted)
        return JoinedRows(joined.events, tables)

    def _early_seconds(self, event: str) -> float:
        """What the shop was like before: currencies, caps, how late conversions are, stable's level, its segments."""
        policy = self.policy
        early = event in self._compared or policy.database.events[event].currency is not None
        return policy.database.window if early else 0.0

    @cached_property
    def _compared(self) -> set[str]:
        """The events of KPIs that ask what they were before a rollout, and those that their rows come from."""
        policy = self.policy
        asked = [
            kpi
            for kpi in policy.kpis.values()
            if (isinstance(kpi, Conversion) and policy.evidence.slower != "none")
            or (not isinstance(kpi, Mean) and (policy.evidence.stable_harm == "hold" or kpi.by is not None))
        ]
        return set(with_ancestors(policy.database.events, (event for kpi in asked for event in events_of(kpi))))

    async def _read(self, stream: Stream, session: Session, low: float, high: float) -> EventRows:
        if stream not in self._fitted:
            self._fitted[stream] = await fitted(stream, session)
        stream = self._fitted[stream]
        clock_zone = self._zones[stream.source]
        zone = clock_zone.of(instants=stream.instants)
        entered = clock_zone.of(instants=stream.entered_instants)
        first, last = int(zone.horizon(low, high)), int(zone.stored(high)) + 1
        tables = []
        start, span = first, _FIRST_SPAN_SECONDS
        while start < last:
            end = min(start + span, last)
            parameters = stream.dialect.parameters(start, end, offset_seconds=await self._offset(stream, session))
            pairs = self._lookups.pairs
            rows = known_units(stream, await single_rows(stream, session, parameters), entered, pairs)
            if stream.key is not None:
                # Whom a router chose, no file of rollouts tells.
                told = self.tagged if stream.key == "tag" else self._lookups.versions
                versions = ((row, version_of(told, row[4], row[2], zone, clock_zone, pairs)) for row in rows)
                rows = [(*row[:4], version, *row[5:]) for row, version in versions if version != LEFT_OUT]
            table = EventRows.of(rows, len(stream.parents), self.versions, self.currencies)
            tables.append(table.shifted(zone.to_utc, entered.to_utc))
            wanted = (end - start) * _SPAN_ROWS // max(1, len(rows))
            start, span = end, max(_FIRST_SPAN_SECONDS, min(wanted, _LONGEST_SPAN_SECONDS))
        return EventRows.empty(len(stream.parents)).then(tables)

    async def _offset(self, stream: Stream, session: Session) -> int:
        """SQLite: how far the stream's texts may be written from what the shop's clock shows."""
        if stream.newest_times is None:
            return 0
        if stream.event not in self._offset_seconds:
            endings = [row[0] for row in await session.rows(stream.newest_times)]
            elsewhere = any(offset_seconds(ending) is not None for ending in endings)
            self._offset_seconds[stream.event] = FARTHEST_OFFSET_SECONDS if elsewhere else 0
        return self._offset_seconds[stream.event]


def needed_events(policy: Policy) -> set[str]:
    """The events that the judged KPIs are made of, and all that they descend from."""
    judged = (kpi for kpi in policy.kpis.values() if kpi.judge == "evidence")
    return with_ancestors(policy.database.events, (event for kpi in judged for event in events_of(kpi)))
