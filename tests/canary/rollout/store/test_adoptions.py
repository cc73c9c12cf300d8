"""Adopting what is in force: written after the whole journal as it is now, once, and told once."""

from dataclasses import replace

import pytest

from canary.errors import RefusedError
from canary.rollout.commands.commands import Adopt
from canary.rollout.entries import Advanced
from canary.rollout.journal.rows import ROLLOUTS
from canary.rollout.kinds import Kind
from canary.rollout.store.store import RolloutStore
from canary.testing.journal import MemoryJournal, Table
from tests.support.clock import FakeClock
from tests.support.receiving.entries import started

NOON = FakeClock().now()
ADOPT = Adopt(
    rollout="r2", stable="v1", canary="v3", traffic=(0.05, 1.0), durations_seconds=(60, 60), weight=0.05, actor="ann"
)


@pytest.fixture
def table() -> Table:
    """A journal's rows: a rollout has begun."""
    made = Table()
    made.insert("shop", started("r1", NOON), ROLLOUTS)
    return made


async def test_an_adoption_that_is_outrun_is_written_after_what_came_first(table: Table) -> None:
    """Another receiver has written between the look and the append: all of it is looked at again."""
    asked = list[str]()

    async def outrun(operation: str) -> None:
        asked.append(operation)
        if asked == ["entries", "append"]:
            table.insert("shop", Advanced(rollout="r1", at=NOON, actor="eve", phase=1), ROLLOUTS)

    store = RolloutStore(MemoryJournal(table, "shop", before=outrun), FakeClock())
    written = await store.adopt(ADOPT)

    assert (written.seq, written.request) == (3, "")
    assert asked == ["entries", "append"] * 2
    assert (store.rollouts["r1"].phase, list(store.rollouts)) == (1, ["r1", "r2"])


async def test_a_repeated_adoption_is_told_once(table: Table) -> None:
    """The same key is answered with what is there."""
    store, heard = RolloutStore(MemoryJournal(table, "shop"), FakeClock()), list[Kind]()
    store.listen(lambda entry: heard.append(entry.kind))
    written = await store.adopt(ADOPT, request="k")

    assert await store.adopt(ADOPT, request="k") == written
    assert heard == [Kind.ADOPTED]


async def test_what_the_journal_knows_as_the_newest_is_not_adopted(table: Table) -> None:
    """Nothing is lacking; this receiver need not have read it yet."""
    store = RolloutStore(MemoryJournal(table, "shop"), FakeClock())

    with pytest.raises(RefusedError, match="cannot adopt"):
        await store.adopt(replace(ADOPT, rollout="r1"))

    assert len(table.entries("shop")) == 1
