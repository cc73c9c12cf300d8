"""What `canary check --data` tells of a version whose rows fit together worse than those of the others."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from canary.finding import Finding, Status
from canary.policy import Policy
from canaryctl.check.shop.consistency import worse_versions
from exporter.source.consistency.faults import KnownIds, row_faults
from exporter.source.consistency.newest import NEWEST, NewestRows

NOW = 1_000_000.0
OLD = NOW - 86_400
_EVERY = 5
"""One row in so many is the canary's."""


def _version(number: int) -> str:
    return "v2" if number % _EVERY == 0 else "v1"


def _event(name: str, rows: Sequence[tuple[Any, ...]], moments: Sequence[float]) -> NewestRows:
    event = Policy(service="shop").database.events[name]
    return NewestRows(
        name, event, rows, moments, [None] * len(rows), lambda at: ".".join(map(str, at)), "", complete=True
    )


def _shop(count: int = 400, *, at: float = OLD) -> dict[str, list[list[Any]]]:
    """By event, rows as they are looked at: id, moment, value, outcome, settled, version, customer, parents."""
    numbers = range(1, count + 1)
    return {
        "orders": [[one, at, 20, None, None, _version(one), None, one, one, one] for one in numbers],
        "payments": [[one, at, 20, "succeeded", None, _version(one), None, one] for one in numbers],
    }


def _told(rows: dict[str, list[list[Any]]], orders: KnownIds | None = None) -> list[Finding]:
    looked = {
        name: _event(name, [tuple(one) for one in every], [one[1] for one in every]) for name, every in rows.items()
    }
    known = orders or KnownIds.of([one[0] for one in rows["orders"]], complete=True)
    policy = Policy(service="shop")
    return list(worse_versions(row_faults(policy, looked, {"orders": known}, NOW), policy.evidence.alpha))


def _canarys(rows: list[list[Any]], share: int = 3) -> Iterator[list[Any]]:
    return (one for one in rows if one[5] == "v2" and one[0] % share == 0)


def _unpaid(rows: dict[str, list[list[Any]]]) -> None:
    gone = {one[0] for one in _canarys(rows["payments"])}
    rows["payments"] = [one for one in rows["payments"] if one[0] not in gone]


def _paid_less(rows: dict[str, list[list[Any]]]) -> None:
    for one in _canarys(rows["payments"]):
        one[2] = 19.99


def _orphaned(rows: dict[str, list[list[Any]]]) -> None:
    for one in _canarys(rows["payments"]):
        one[7] += 10_000


def _emptied(rows: dict[str, list[list[Any]]]) -> None:
    for one in _canarys(rows["orders"]):
        one[8] = one[9] = None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_unpaid, "of 80 orders of v2 (32.5%) have no row of payments, and 0 of 320 (0%) of all others"),
        (
            _paid_less,
            "of 80 orders of v2 (32.5%) have another total than their payments together, and 0 of 320 (0%)",
        ),
        (_orphaned, "of 80 payments of v2 (32.5%) name a row of orders (order_id) that is not there"),
        (_emptied, "of 80 orders of v2 (32.5%) have no cart_id"),
    ],
)
def test_a_version_that_writes_worse_rows_is_told(spoil: Any, said: str) -> None:
    """Which version, how many of its rows and of the others', at the line of the mapping."""
    rows = _shop()
    spoil(rows)

    told = [one for one in _told(rows) if said in one.what]

    assert [one.status for one in told] == [Status.WARNING]
    assert told[0].what.startswith("26 of 80 ")
    assert told[0].place.startswith("database.events.")


def test_what_both_versions_have_is_no_difference() -> None:
    """A shop in which every seventh order is never paid has versions that are alike."""
    rows = _shop()
    rows["payments"] = [one for one in rows["payments"] if one[0] % 7]

    assert [(one.status, one.what) for one in _told(rows)] == [
        (Status.OK, "rows of v1 and v2 fit together alike, compared in 8 ways")
    ]


def test_a_single_bad_row_proves_nothing() -> None:
    """One of 80, where the others have none, is chance."""
    rows = _shop()
    next(_canarys(rows["orders"]))[2] = None

    assert [one.status for one in _told(rows)] == [Status.OK]


def test_what_is_not_known_is_not_counted() -> None:
    """Orders too young for a payment, orders before the oldest payment that was read, parents beyond those read."""
    young = _shop(at=NOW - 60)
    _unpaid(young)
    assert [one for one in _told(young) if "no row of payments" in one.what] == []

    cut = _shop(NEWEST)
    cut["payments"] = [[one[0], OLD + 60, *one[2:]] for one in cut["payments"]]
    assert len(cut["payments"]) == NEWEST
    assert [one for one in _told(cut) if one.status is not Status.OK] == []

    older = _shop()
    _orphaned(older)
    newest = KnownIds.of([one[0] for one in older["orders"]], complete=False)
    assert newest.lacks(10_003) is True
    assert newest.lacks(0) is None
    assert KnownIds.of(["a", "b"], complete=False).lacks("c") is None


def test_one_version_alone_is_compared_with_nobody() -> None:
    """Nothing is said before a second version has rows enough."""
    rows = _shop(24)
    _unpaid(rows)

    assert _told(rows) == []
