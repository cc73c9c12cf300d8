"""What every router, process manager and journal must do, whoever wrote it; each function raises AssertionError.

They move what they are given: run them against a router that serves nobody, and a process that may be stopped.

    async def test_our_router() -> None:
        await router_contract(OurRouter(...))
"""

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from canary.errors import JournalConflictError
from canary.policy.routers.slots import Slot
from canary.process.manager import ENDED, ProcessManager, ProcessState
from canary.rollout.entries import Advanced, Entry, RollbackDecided, Started
from canary.rollout.journal.journal import Journal
from canary.routers.base import Observation, Router, Split
from canary.testing.clock import EPOCH

# Up, further up, a repetition, down, everybody, nobody, nobody once more; then another rollout.
_RATIOS = (0.05, 0.5, 0.5, 0.05, 1.0, 0.0, 0.0)
_ROLLOUTS = ("contract-1", "contract-2")


async def router_contract(
    router: Router,
    look: Callable[[Split, Observation], None] = lambda _split, _seen: None,
    *,
    stable_slot: Slot | None = None,
) -> None:
    """A router has in force what was set last, says so, and forgets it only when it is set anew.

    Args:
        look: told each split that was set, and what was read back.
        stable_slot: for a router with `slots`, the one that is stable.
    """
    for rollout in _ROLLOUTS:
        for ratio in _RATIOS:
            split = Split(rollout, ratio, testers=ratio > 0, stable_slot=stable_slot)
            await router.set_weight(split)
            seen = await router.read()
            assert seen.readings, f"{router.name}: read() gave no instance"
            assert seen.agrees(split), f"{router.name}: set to {ratio:.2%} of {rollout}, read {seen.detail}"
            again = await router.read()
            assert again == seen, f"{router.name}: two looks in a row differ: {seen.detail}, {again.detail}"
            other = Split(rollout, 0.25, testers=ratio > 0, stable_slot=stable_slot)
            assert not seen.agrees(other), f"{router.name}: agrees with a share that was not set"
            closed = [reading for reading in seen.readings if reading.closed]
            assert all(ratio == 0 and reading.salt == split.salt for reading in closed), (
                f"{router.name}: says that a rollout was closed which is open, or another one"
            )
            look(split, seen)
    left = await router.sessions(0)
    assert left is None or left >= 0, f"{router.name}: {left} sessions are left on the canary"


async def process_contract(process: ProcessManager) -> None:
    """Start and stop do what they say, and may be repeated."""
    for _ in range(2):
        assert await process.stop() in ENDED, "stopped, and runs"
        assert await process.stop() in ENDED, "stopped twice, and runs"
        assert await process.state() in ENDED, "is stopped, and says that it runs"
        if process.starts:
            assert await process.start() is ProcessState.RUNNING, "started, and does not run"
            assert await process.start() is ProcessState.RUNNING, "started twice, and does not run"
            assert await process.state() is ProcessState.RUNNING, "runs, and says that it does not"


async def journal_contract(one: Journal, other: Journal) -> None:
    """Two clients of one empty journal: what is written is read by both, in order; nobody decides from an old past."""
    entries = _entries()
    assert await one.position() == 0, "an empty journal has a newest entry"
    assert await one.current() is None, "an empty journal has a rollout"
    position, written = 0, []
    for number, entry in enumerate(entries):
        writer, reader = (one, other) if number % 2 else (other, one)
        stored = await writer.append(entry, after=position)
        assert stored.seq > position, "an entry's position does not grow"
        assert dataclasses.replace(stored, seq=0) == entry, "an entry comes back changed"
        written.append(stored)
        assert list(await reader.entries(after=position)) == [stored], "the other client does not see the newest entry"
        refused = True
        with suppress(JournalConflictError):
            await reader.append(entry, after=position)
            refused = False
        assert refused, "two entries follow the same one"
        with suppress(JournalConflictError):
            await reader.append(entry, after=dataclasses.replace(stored, at=stored.at + timedelta(seconds=1)))
            refused = False
        assert refused, "an entry follows another one than its writer has read"
        position = stored.seq
    assert list(await other.entries()) == written, "the journal is not what was written"
    assert await one.position() == position, "the newest entry is another one"
    about = [entry for entry in written if entry.rollout == _ROLLOUTS[0]]
    assert list(await one.entries(_ROLLOUTS[0])) == about, "a rollout's entries are others"
    current = await other.current()
    assert current is not None, "the rollout that runs is not known"
    assert current.id == _ROLLOUTS[1], "the newest rollout is another one"
    await one.probe()
    assert await one.position() == position, "probing leaves an entry"


def _entries() -> list[Entry]:
    entries: list[Entry] = []
    for number, rollout in enumerate(_ROLLOUTS):
        at = EPOCH + timedelta(hours=number)
        plan = {"traffic": (0.05, 1.0), "durations_seconds": (300.0, 600.0)}
        entries += [
            Started(rollout=rollout, at=at, actor="ann", reason="a try: «ü»", stable="v1", canary="v2", **plan),  # type: ignore[arg-type]  # one dictionary of two tuples
            Advanced(
                rollout=rollout,
                at=at + timedelta(minutes=5),
                actor="alertmanager",
                phase=1,
                boot="b",
                uptime_seconds=1.5,
            ),
            RollbackDecided(
                rollout=rollout, at=at + timedelta(minutes=6), actor="bob", cause="manual", request="rollback:k"
            ),
        ]
    return entries
