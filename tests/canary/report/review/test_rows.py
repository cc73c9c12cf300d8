"""What a review says of rows that do not fit together."""

from collections.abc import Mapping
from datetime import datetime

from canary import names
from canary.prometheus import Series
from canary.report import text
from canary.report.review.asking import Asking
from canary.report.review.rows import ReplicaRows, RowShare, replica_rows, row_shares
from canary.rollout.state import State
from tests.support.receiving.pageview import BEGAN, NOW, release

_UNPAID = {"event": "orders", "fault": "childless", "column": "payments"}
_CARTLESS = {"event": "orders", "fault": "empty", "column": "cart_id"}
_RELEASE = release("r-1", State.PROMOTED)


class _Prometheus:
    """Remembers a canary that left orders unpaid."""

    async def query_range(self, expression: str, start: datetime, end: datetime, step_seconds: float) -> list[Series]:
        def one(labels: Mapping[str, str], value: float, **more: str) -> Series:
            return Series({**labels, **more}, [(end.timestamp(), value)])

        if "broken" in expression:
            return [one(_UNPAID, 1), one(_CARTLESS, 0)]
        shares = [(_UNPAID, 0.01, 0.3), (_CARTLESS, 0, 0)]
        return [
            series
            for labels, stable, canary in shares
            for series in (
                one(labels, stable, version=_RELEASE.stable),
                one(labels, canary, version=_RELEASE.canary),
                one(labels, 0.9, version="of-yesterday"),
            )
        ]


async def test_each_kind_is_told_by_role_and_only_those_found_are_listed() -> None:
    """The share of stable and canary, whether it was proven, and in how many ways was looked."""
    rows = await row_shares("shop", _RELEASE, Asking(_Prometheus(), BEGAN, NOW))

    assert rows == [
        RowShare("orders", "childless", "payments", 0.01, 0.3, broken=True),
        RowShare("orders", "empty", "cart_id", 0, 0),
    ]
    assert text.faulty(rows) == [("orders, payments: childless", "1.00%", "30.00%", "more than chance explains")]
    assert text.rows_looked_at(rows) == "Looked for in 2 ways, found in 1 of them."


class _Replica:
    """Remembers how often a replica lacked rows, or that nobody looked."""

    def __init__(self, *found: tuple[str, float]) -> None:
        self._found = found

    async def query_range(self, expression: str, start: datetime, end: datetime, step_seconds: float) -> list[Series]:
        assert names.REPLICA_FAULTY_ROWS in expression
        return [Series({"event": "orders", "fault": kind}, [(end.timestamp(), rows)]) for kind, rows in self._found]


async def test_a_replica_that_lacked_rows_is_told_and_one_that_nobody_looked_at_is_not_called_whole() -> None:
    """Of each kind the most at any look; no rows of any kind is said too, and nothing where there was no look."""
    lacked, whole, unseen = [
        await replica_rows("shop", _RELEASE, Asking(_Replica(*found), BEGAN, NOW))
        for found in ([("missing", 3.0), ("surplus", 0.0)], [("missing", 0.0)], [])
    ]

    assert lacked == [ReplicaRows("orders", "missing", 3)]
    assert text.replica_told(lacked).endswith("its lag apart: 3 of orders missing.")
    assert whole == []
    assert text.replica_told(whole).startswith("The read replica had its primary's newest rows")
    assert unseen is None
