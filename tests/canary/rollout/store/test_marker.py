"""What was lowered and is not written yet: remembered over a restart, and next to what others remember."""

from datetime import UTC, datetime, timedelta

from canary.rollout.entries import Entry, Held, RollbackDecided
from canary.rollout.store.marker import Marker
from canary.testing.sidefile import Disk, MemorySideFile

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def rollback(rollout: str = "r1", minutes: float = 0) -> Entry:
    """A rollback that was decided some minutes after noon."""
    at = NOON + timedelta(minutes=minutes)
    return RollbackDecided(rollout=rollout, at=at, actor="bob", reason="because", cause="manual")


def marker(disk: Disk) -> Marker:
    """A receiver's marker on a machine's disk."""
    return Marker(MemorySideFile(disk, "unwritten"))


async def test_the_next_process_recalls_what_was_decided() -> None:
    """Entry by entry as they were, oldest first."""
    disk, first = Disk(), marker(Disk())
    first = marker(disk)
    hold = Held(rollout="r1", at=NOON, actor="alertmanager", cause="CanaryBlind", weight=0.05)
    first.keep([hold, rollback(minutes=1)])
    await first.close()

    assert await marker(disk).recall() == [hold, rollback(minutes=1)]


async def test_what_is_resolved_is_forgotten() -> None:
    """By whoever decided it, and by whoever has recalled it."""
    disk = Disk()
    first = marker(disk)
    first.keep([rollback()])
    await first.written()
    second = marker(disk)
    assert await second.recall() == [rollback()]

    second.keep([])
    await second.written()

    assert await marker(disk).recall() == []


async def test_what_another_receiver_remembers_is_left_alone() -> None:
    """Two on one machine share the file; neither takes away what it knows nothing of."""
    disk = Disk()
    first, second = marker(disk), marker(disk)
    first.keep([rollback("r1")])
    await first.written()
    second.keep([rollback("r2")])
    await second.written()
    second.keep([])
    await second.written()

    assert await marker(disk).recall() == [rollback("r1")]


async def test_rows_that_are_none_are_passed_over() -> None:
    """A damaged file, or one of a newer version, hides nothing that is understood."""
    disk = Disk()
    first = marker(disk)
    first.keep([rollback()])
    await first.written()
    file = MemorySideFile(disk, "unwritten")
    rows = await file.read()
    assert isinstance(rows, list)

    await file.write([1, {}, {**rows[0], "kind": "frozen"}, {**rows[0], "data": 7}, *rows])

    assert await marker(disk).recall() == [rollback()]
    for damage in ({"rows": rows}, "text", None):
        await file.write(damage)
        assert await marker(disk).recall() == []


async def test_the_newest_are_kept() -> None:
    """More than a few are a fault, and must not outgrow the file."""
    disk = Disk()
    first = marker(disk)
    first.keep([rollback(minutes=minute) for minute in range(50)])
    await first.written()

    recalled = await marker(disk).recall()

    assert [entry.at for entry in recalled] == [NOON + timedelta(minutes=minute) for minute in range(30, 50)]
