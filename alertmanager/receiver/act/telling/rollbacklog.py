"""The strategy's `/var/log/canary-rollbacks.log`: one line per rollback, whatever happens to the receiver meanwhile.

A line is made from the rollback's decision alone, so that it is the same whenever it is written: at once, after a
restart, or when somebody has given the rollback up and the next rollout runs already. That is how a line that was
written just before the receiver died is known again, and not written twice.
"""

import json
import os
from functools import partial
from pathlib import Path
from typing import Self

from canary.errors import JournalError
from canary.policy.model import Policy
from canary.rollout.entries import RollbackDecided
from canary.rollout.state import Rollout
from canary.threads import Threads
from canary.timing.times import to_text


class RollbackLog:
    """Appends lines of JSON; a rollback that is in the file already is not written again.

    Args:
        path: the file; None when the policy names none, then nothing is written.
        threads: where the disk is waited for.
    """

    def __init__(self, path: Path | None, threads: Threads) -> None:
        self._path = path
        self._threads = threads

    @classmethod
    def of(cls, policy: Policy, threads: Threads) -> Self:
        """The log that `state.rollback_log` names."""
        named = policy.state.rollback_log
        return cls(Path(policy.base) / named if named else None, threads)

    async def write(self, rollout: Rollout, decision: RollbackDecided) -> None:
        """Write the rollback of a rollout, as it was decided, once.

        Raises:
            JournalError: the file cannot be written.
        """
        if self._path is not None:
            await self._threads.run(partial(_write, self._path, _line(rollout, decision)))

    def close(self) -> None:
        """Wait for nothing more."""
        self._threads.close()


def _write(path: Path, line: bytes) -> None:
    try:
        with path.open("ab+") as file:
            file.seek(0)
            if line in file.read().split(b"\n"):
                return
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise JournalError(f"{path} cannot be written ({error.strerror})", place="state.rollback_log") from error


def _line(rollout: Rollout, decision: RollbackDecided) -> bytes:
    """One line without raw control characters: JSON escapes what an alert's text may contain."""
    fields = {
        "time": to_text(decision.at),
        "rollout": rollout.id,
        "canary": rollout.canary,
        "stable": rollout.stable,
        "cause": str(decision.cause),
        "actor": decision.actor,
        "reason": decision.reason,
    }
    if decision.category is not None:  # absent in what earlier versions wrote, whose lines must be known again
        fields["category"] = decision.category.value
    return json.dumps(fields).encode()
