"""`canary check` and `canary plan` as the page runs them."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from alertmanager.receiver.act.selfchecks import SelfCheck, SelfChecks
from canary.errors import RefusedError
from canary.process.program import Outcome
from canary.timing.clock import SystemClock

FINDINGS = [{"place": "clock", "status": "failed", "what": "is wrong", "remedy": ""}]


class Programs:
    """Answers as the command does, once it is let."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.argv: list[str] = []
        self.may_end = asyncio.Event()

    async def run(self, argv: Sequence[str]) -> Outcome:
        """Run one."""
        self.argv = list(argv)
        await self.may_end.wait()
        return self.outcome


async def result_of(what: SelfCheck, outcome: Outcome) -> tuple[Sequence[object], str]:
    """Rows and fault of one run."""
    programs = Programs(outcome)
    programs.may_end.set()
    checks = SelfChecks(Path("canary"), Path("canary.yaml"), programs.run, SystemClock())
    ended = asyncio.Event()
    checks.listener = lambda: ended.set() if checks.running is None else None
    checks.start(what)
    await ended.wait()
    return checks.results[what].rows, checks.results[what].fault


async def test_one_runs_at_a_time_and_never_in_this_process() -> None:
    """It is the command with the receiver's own policy; a second one is refused meanwhile, and so is the same."""
    programs = Programs(Outcome(0, "[]"))
    checks = SelfChecks(Path("bin/canary"), Path("canary.yaml"), programs.run, SystemClock())
    checks.start(SelfCheck.PLAN)
    await asyncio.sleep(0)
    with pytest.raises(RefusedError, match="canary plan is running"):
        checks.start(SelfCheck.CHECK)
    await checks.close()

    assert programs.argv == ["bin/canary", "plan", "--config.file=canary.yaml", "--format=json"]
    assert checks.running is None


async def test_findings_count_whatever_the_exit_status() -> None:
    """A check that found faults ends with 1 and has been run all the same; a plan prints an object a line."""
    found = await result_of(SelfCheck.CHECK, Outcome(1, json.dumps(FINDINGS), "expected exit status 0, found 1"))
    planned = await result_of(SelfCheck.PLAN, Outcome(0, '{"phase": 0}\n{"phase": 1}\n'))

    assert found == (FINDINGS, "")
    assert planned == ([{"phase": 0}, {"phase": 1}], "")


@pytest.mark.parametrize("output", ["", "no json", "[1", '{"phase": 0}\nTraceback'])
async def test_what_is_no_result_is_a_fault(output: str) -> None:
    """A command that cannot be started, is killed, or prints something else."""
    rows, fault = await result_of(SelfCheck.CHECK, Outcome(None, output, "it was killed"))

    assert list(rows) == []
    assert fault == "it was killed"
