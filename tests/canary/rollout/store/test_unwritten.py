"""What is acted upon and not written yet: in the order of deciding, and in the marker until it is."""

from datetime import UTC, datetime

import pytest

from canary.rollout.commands.commands import RollBack
from canary.rollout.entries import Entry, Held, RollbackDecided
from canary.rollout.folding import fold
from canary.rollout.store.marker import Marker
from canary.rollout.store.recalled import UNKNOWN
from canary.rollout.store.unwritten import Pending, Unwritten
from canary.testing.sidefile import Disk, MemorySideFile
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
RUNNING = fold([started("r1", NOON)])["r1"]


def rollback(rollout: str = "r1", request: str = "") -> RollbackDecided:
    """A rollback, as a request with this key has led to it."""
    return RollbackDecided(rollout=rollout, at=NOON, actor="bob", reason="x", cause="manual", request=request)


def pending(entry: Entry, *, acted: bool = False) -> Pending:
    """An entry in the queue."""
    return Pending(entry, RollBack(actor="bob"), acted=acted)


@pytest.fixture
def disk() -> Disk:
    """What the machine keeps."""
    return Disk()


@pytest.fixture
def marker(disk: Disk) -> Marker:
    """The marker of the process that runs now."""
    return Marker(MemorySideFile(disk, "unwritten"))


async def _left(disk: Disk, marker: Marker) -> list[Entry]:
    """What the next process would find."""
    await marker.written()
    return await Marker(MemorySideFile(disk, "unwritten")).recall()


def test_only_what_is_acted_upon_counts() -> None:
    """What waits for its moment to be written counts for nobody yet; what was refused for its text counts."""
    unwritten = Unwritten(None)
    unwritten.pending += [pending(rollback("r2"), acted=True), pending(rollback("r3"))]
    unwritten.refused.append(rollback("r1"))

    assert [entry.rollout for entry in unwritten.entries] == ["r1", "r2"]


def test_a_request_that_is_sent_again_waits_for_the_first() -> None:
    """The same key about the same rollout; without a key every request is one of its own."""
    unwritten = Unwritten(None)
    first, other = pending(rollback(request="k")), pending(rollback())
    unwritten.pending += [other, first]

    assert unwritten.waiting("r1", "k") is first
    assert unwritten.waiting("r2", "k") is None
    assert unwritten.waiting("r1", "") is None


async def test_what_was_recalled_becomes_pending_about_its_rollout(disk: Disk, marker: Marker) -> None:
    """It stays in the marker until somebody has acted upon it; what another rollout has overtaken is dropped."""
    marker.keep([rollback("r0"), rollback("r1")])
    unwritten = Unwritten(Marker(MemorySideFile(disk, "unwritten")))
    await marker.written()
    await unwritten.recall()
    assert unwritten.recalled

    taken = unwritten.take_recalled(RUNNING)

    assert [one.entry for one in taken] == [one.entry for one in unwritten.pending] == [rollback("r1")]
    assert not unwritten.recalled
    assert await _left(disk, marker) == [rollback("r0"), rollback("r1")]


async def test_the_marker_has_all_that_is_acted_upon(disk: Disk, marker: Marker) -> None:
    """And nothing else, once it is written."""
    unwritten = Unwritten(marker)
    held = Held(rollout="r1", at=NOON, actor="bob")
    unwritten.pending += [pending(held, acted=True), pending(rollback("r2"))]
    unwritten.found(rollback(UNKNOWN))
    assert await _left(disk, marker) == [rollback(UNKNOWN), held]

    unwritten.forget()

    assert await _left(disk, marker) == []


async def test_a_persons_word_ends_what_was_done_without_knowing(disk: Disk, marker: Marker) -> None:
    """What was decided about a rollout by its name stays."""
    unwritten = Unwritten(marker)
    unwritten.found(rollback(UNKNOWN))
    unwritten.found(rollback("r1"))

    unwritten.forget()

    assert await _left(disk, marker) == [rollback("r1")]
