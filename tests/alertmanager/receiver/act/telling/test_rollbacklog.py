"""The log of rollbacks: one line each, the same whenever it is written."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alertmanager.receiver.act.telling.rollbacklog import RollbackLog
from canary.errors import JournalError
from canary.policy.model import Policy, State
from canary.rollout.commands.commands import RollBack
from canary.rollout.entries import RollbackDecided
from canary.threads import InlineThreads
from tests.support.receiving.acting import Acting, World


@pytest.fixture
async def leader(tmp_path: Path) -> AsyncIterator[Acting]:
    """A receiver with a rollout that has just begun."""
    async with World.around(tmp_path) as world:
        leader = world.receiver()
        await leader.start()
        yield leader


async def decided(leader: Acting, reason: str = "bad") -> RollbackDecided:
    """A rollback's decision."""
    decision = await leader.propose(RollBack(actor="ann", reason=reason, cause="CanaryHighErrorRate"))
    assert isinstance(decision, RollbackDecided)
    return decision


async def test_a_line_is_the_same_whenever_it_is_written(leader: Acting, tmp_path: Path) -> None:
    """Written right away and again when the rollback was given up for another reason, it is one line."""
    log = RollbackLog(tmp_path / "log", InlineThreads())
    decision = await decided(leader)
    await log.write(leader.rollout, decision)
    await leader.give_up()
    await log.write(leader.rollout, decision)

    (line,) = (tmp_path / "log").read_text().splitlines()
    assert json.loads(line) == {
        "time": "2026-03-03T12:00:01.000000Z",
        "rollout": leader.rollout.id,
        "canary": "v2.0",
        "stable": "v1.0",
        "cause": "CanaryHighErrorRate",
        "actor": "ann",
        "reason": "bad",
    }


async def test_what_an_alert_says_stays_one_line(leader: Acting, tmp_path: Path) -> None:
    """Line breaks and control characters of a text from outside do not make lines of their own."""
    log = RollbackLog(tmp_path / "log", InlineThreads())

    await log.write(leader.rollout, await decided(leader, 'bad\n{"rollout": "forged"}\x1b[2J'))

    (line,) = (tmp_path / "log").read_bytes().splitlines()
    assert b"\x1b" not in line


async def test_a_log_that_cannot_be_written_says_which_key_names_it(leader: Acting, tmp_path: Path) -> None:
    """The error names the policy's key, the file and the system's reason."""
    log = RollbackLog(tmp_path, InlineThreads())

    with pytest.raises(JournalError, match=r"^state\.rollback_log: .* cannot be written \(Is a directory\)$"):
        await log.write(leader.rollout, await decided(leader))


async def test_without_a_file_nothing_is_written(leader: Acting, tmp_path: Path) -> None:
    """A policy that names no log gets none; one that does has it next to the policy's file."""
    await RollbackLog.of(Policy(service="shop", base=str(tmp_path)), InlineThreads()).write(
        leader.rollout, decision := await decided(leader)
    )
    assert not (tmp_path / "rollbacks.log").exists()

    named = Policy(service="shop", base=str(tmp_path), state=State(rollback_log="rollbacks.log"))
    await RollbackLog.of(named, InlineThreads()).write(leader.rollout, decision)
    assert (tmp_path / "rollbacks.log").exists()
