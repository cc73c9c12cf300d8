"""What a review says of rows that do not fit together."""

from collections.abc import Mapping
from datetime import datetime

from canary.prometheus import Series
from canary.report import text
from canary.report.review.asking import Asking
from canary.report.review.rows import RowShare, row_shares
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
