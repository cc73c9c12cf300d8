"""The log of rollbacks: each line once, the same whenever it is written."""

import dataclasses
import json
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from alertmanager.receiver.act.telling.rollbacklog import Line, RollbackLog, lines_of
from canary.errors import JournalError
from canary.policy.model import Policy, State
from canary.rollout.commands.commands import RollBack
from canary.rollout.entries import Failed, RollbackDecided, StepDone
from canary.rollout.kinds import Step
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
    await log.write(leader.rollout, Line(decision))
    await leader.give_up()
    await log.write(leader.rollout, Line(decision))

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

    await log.write(leader.rollout, Line(await decided(leader, 'bad\n{"rollout": "forged"}\x1b[2J')))

    (line,) = (tmp_path / "log").read_bytes().splitlines()
    assert b"\x1b" not in line


async def test_a_log_that_cannot_be_written_says_which_key_names_it(leader: Acting, tmp_path: Path) -> None:
    """The error names the policy's key, the file and the system's reason."""
    log = RollbackLog(tmp_path, InlineThreads())

    with pytest.raises(JournalError, match=r"^state\.rollback_log: .* cannot be written \(Is a directory\)$"):
        await log.write(leader.rollout, Line(await decided(leader)))


async def test_a_pipe_in_the_logs_place_holds_nobody_up(leader: Acting, tmp_path: Path) -> None:
    """Nobody reads from it: it is no log, which is said, and waited for no longer."""
    os.mkfifo(tmp_path / "log")

    with pytest.raises(JournalError, match="log cannot be written"):
        await RollbackLog(tmp_path / "log", InlineThreads()).write(leader.rollout, Line(await decided(leader)))


async def test_what_was_cut_short_is_not_glued_to_the_next_line(leader: Acting, tmp_path: Path) -> None:
    """A full disk took half of a line: the whole one stands below it, where programs find it."""
    log, line = RollbackLog(tmp_path / "log", InlineThreads()), Line(await decided(leader))
    (tmp_path / "log").write_bytes(b'{"time": "2026-03')
    await log.write(leader.rollout, line)

    _, whole = (tmp_path / "log").read_text().splitlines()
    assert json.loads(whole)["reason"] == "bad"


async def test_without_a_file_nothing_is_written(leader: Acting, tmp_path: Path) -> None:
    """A policy that names no log gets none; one that does has it next to the policy's file."""
    await RollbackLog.of(Policy(service="shop", base=str(tmp_path)), InlineThreads()).write(
        leader.rollout, line := Line(await decided(leader))
    )
    assert not (tmp_path / "rollbacks.log").exists()

    named = Policy(service="shop", base=str(tmp_path), state=State(rollback_log="rollbacks.log"))
    await RollbackLog.of(named, InlineThreads()).write(leader.rollout, line)
    assert (tmp_path / "rollbacks.log").exists()


async def test_the_second_line_says_how_long_it_took(leader: Acting, tmp_path: Path) -> None:
    """When every router was read back without a canary, a line says so, with the seconds since the decision.

    The line of the strategy's own script follows; written twice, both stand there once.
    """
    log = RollbackLog(tmp_path / "log", InlineThreads())
    decision = await decided(leader)
    (only,) = lines_of(await leader.store.entries())
    assert only == Line(decision)
    end = StepDone(
        rollout=leader.rollout.id, at=decision.at + timedelta(seconds=2.5), actor="receiver", step=Step.TRAFFIC
    )

    lines = lines_of([decision, end, Failed(rollout=end.rollout, at=end.at, actor="ann", reason="will not stop")])
    for line in (*lines, *lines):
        await log.write(leader.rollout, line)

    _, second, third = (tmp_path / "log").read_text().splitlines()
    assert third == "Canary rollback completed at Tue Mar  3 12:00:03 UTC 2026"
    assert json.loads(second) == {
        "time": "2026-03-03T12:00:03.500000Z",
        "rollout": leader.rollout.id,
        "canary": "v2.0",
        "stable": "v1.0",
        "outcome": "completed",
        "seconds": 2.5,
        "actor": "receiver",
        "reason": "all traffic is on stable, as read back",
    }


async def test_services_that_share_a_log_have_the_scripts_line_each(leader: Acting, tmp_path: Path) -> None:
    """It names nobody, and two rollbacks that ended in one second are two; whatever is written again is there once."""
    log = RollbackLog(tmp_path / "log", InlineThreads())
    decision, other = await decided(leader), dataclasses.replace(leader.rollout, id="another-shops")
    end = StepDone(rollout="-", at=decision.at, actor="receiver", step=Step.TRAFFIC)

    for rollout in (leader.rollout, other, leader.rollout, other):
        await log.write(rollout, Line(decision, end))
    whole = (tmp_path / "log").read_bytes()
    assert whole.count(b"Canary rollback completed at ") == whole.count(b'"outcome": "completed"') == 2

    # A full disk took the last line, which is written again while the other service's stands there.
    (tmp_path / "log").write_bytes(whole[: whole.rindex(b"Canary")])
    for rollout in (other, leader.rollout):
        await log.write(rollout, Line(decision, end))
    assert (tmp_path / "log").read_bytes() == whole


async def test_a_rollback_that_was_given_up_says_so(leader: Acting, tmp_path: Path) -> None:
    """Nobody takes it for completed: the second line has who gave it up, and why."""
    log = RollbackLog(tmp_path / "log", InlineThreads())
    await decided(leader)
    await leader.give_up()

    for line in lines_of(await leader.store.entries()):
        await log.write(leader.rollout, line)

    _, second = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert (second["outcome"], second["reason"]) == ("given_up", leader.rollout.reason)
