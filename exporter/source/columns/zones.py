"""Times that are stored without a zone, when the shop's clock does not run in UTC.

PostgreSQL and DuckDB turn them into UTC themselves, MariaDB its TIMESTAMP only (`of`). Texts with an offset
of their own count as what the shop's clock showed at that moment (`exporter.source.dialects`). So elsewhere the
ledger's buckets are in the shop's own wall-clock time, and single rows are turned into UTC here; in the hour that the
clock shows twice, the earlier one is meant.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from exporter.source.dialects import Dialect

Floats = NDArray[np.float64]

_TURNED_BACK_SECONDS = 3 * 3600
"""For so long after a clock was turned back, bounds begin earlier; an hour is usual, and there is room for more."""


class Zone:
    """Turns moments into stored times and back.

    Attributes:
        dialect: how the database that the times are stored in writes them.
    """

    def __init__(self, name: str, dialect: Dialect) -> None:
        self.dialect = dialect
        self._zone = ZoneInfo(name)
        self._plain = name == "UTC" or dialect.name in ("postgresql", "duckdb")

    def stored(self, moment: float) -> float:
        """How the moment is stored, as if it were UTC."""
        return moment if self._plain else moment + self.offset(moment)

    def moment(self, stored: float) -> float:
        """The moment that a stored time means."""
        return stored if self._plain else self._moment(stored)

    def horizon(self, moment: float, now: float) -> float:
        """A stored time from which on everything since *moment* is found, also when the clock was just turned back."""
        if self._plain:
            return moment
        back = self.offset(now - _TURNED_BACK_SECONDS) - self.offset(now)
        return min(self.stored(moment), self.stored(now)) - max(back, 0.0)

    def ahead(self, now: float) -> float:
        """The latest stored time that may have happened by now.

        In the hour that the clock shows twice, a time may be taken for the later one (PostgreSQL does), and just after
        it the clock shows less than what is stored.
        """
        back = self.offset(now - _TURNED_BACK_SECONDS) - self.offset(now + _TURNED_BACK_SECONDS)
        return self.stored(now) + max(back, 0.0)

    def of(self, *, instants: bool) -> "Zone":
        """The same database's times where they are instants: MariaDB's TIMESTAMP, and numbers since 1970."""
        return Zone("UTC", self.dialect) if instants and not self._plain else self

    def to_utc(self, stored: Floats) -> Floats:
        """Stored times as moments."""
        if self._plain or not len(stored):
            return stored
        hours, where = np.unique(np.floor(stored / 900.0), return_inverse=True)
        moments = [self._moment(hour * 900.0) - hour * 900.0 for hour in hours]
        turned: Floats = stored + np.asarray(moments)[where]
        return turned

    def offset(self, moment: float) -> float:
        """By how many seconds the shop's clock is ahead of UTC at a moment."""
        offset = datetime.fromtimestamp(moment, self._zone).utcoffset()
        assert offset is not None
        return offset.total_seconds()

    def _moment(self, stored: float) -> float:
        naive = datetime.fromtimestamp(stored, UTC).replace(tzinfo=self._zone)
        return naive.timestamp()
