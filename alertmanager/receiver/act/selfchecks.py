"""`canary check` and `canary plan`, run as programs of their own when somebody at the page asks for them.

Both read the order database and compute for seconds, in which a rollback must not wait: so they are no part of this
process, get a time limit, and run one at a time. What they say is kept until it is asked for again, or a restart: it
is about now, and the journal is about what was decided.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from canary.errors import RefusedError
from canary.process.program import Outcome
from canary.timing.clock import Clock

TIMEOUT_SECONDS = 180.0
"""A plan looks back over a week of orders; whoever waits longer than this runs it in a terminal."""

Run = Callable[[Sequence[str]], Awaitable[Outcome]]


class SelfCheck(StrEnum):
    """What can be run."""

    CHECK = "check"
    PLAN = "plan"


@dataclass(frozen=True)
class Result:
    """What one run said.

    Attributes:
        rows: the objects that the command printed.
        fault: why there are none; empty when there are.
    """

    at: datetime
    rows: Sequence[Mapping[str, Any]] = ()
    fault: str = ""


class SelfChecks:
    """Runs them, and remembers the last result of each.

    Args:
        program: the command `canary`.
        config_file: the policy.
        run: runs a program to its end.
        listener: called when something has begun or ended.

    Attributes:
        results: by what was run.
        running: what runs now.
    """

    def __init__(
        self, program: Path, config_file: Path, run: Run, clock: Clock, listener: Callable[[], None] = lambda: None
    ) -> None:
        self.results: dict[SelfCheck, Result] = {}
        self.running: SelfCheck | None = None
        self.listener = listener
        self._command = (str(program),)
        self._arguments = (f"--config.file={config_file}", "--format=json")
        self._run = run
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self, what: SelfCheck) -> None:
        """Begin one.

        Raises:
            RefusedError: one runs already; together they could slow down what guards customers.
        """
        if self.running is not None:
            raise RefusedError(f"canary {self.running} is running", place=f"cannot run canary {what}", remedy="wait")
        self.running = what
        self._task = asyncio.create_task(self._finish(what))

    async def close(self) -> None:
        """End what runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _finish(self, what: SelfCheck) -> None:
        self.listener()
        try:
            outcome = await self._run([*self._command, what.value, *self._arguments])
            self.results[what] = _result(outcome, self._clock.now())
        finally:
            self.running = None
            self.listener()


def _result(outcome: Outcome, at: datetime) -> Result:
    """What the command printed; `canary check` ends with 1 when it has found something, and prints it all the same."""
    try:
        rows = json.loads(outcome.output) if outcome.output.startswith("[") else _lines(outcome.output)
    except ValueError:
        rows = []
    fault = "" if rows else outcome.fault or "the command printed nothing"
    return Result(at, rows, fault)


def _lines(output: str) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]
