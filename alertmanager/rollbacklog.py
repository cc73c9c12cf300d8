"""The strategy's `/var/log/canary-rollbacks.log`: one line per rollback, whatever happens to the receiver meanwhile."""

import asyncio
import json
import os
from pathlib import Path
from typing import Self

from canary.errors import JournalError
from canary.policy.model import Policy
from canary.rollout import Rollout
from canary.times import to_text


class RollbackLog:
    """Appends lines of JSON; a rollback that is in the file already is not written again."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    @classmethod
    def of(cls, policy: Policy) -> Self:
        """The log that `state.rollback_log` names."""
        named = policy.state.rollback_log
        return cls(Path(policy.base) / named if named else None)

    async def write(self, rollout: Rollout) -> None:
        """Write the rollout's rollback, once.

        Raises:
            JournalError: the file cannot be written.
        """
        if self._path is not None:
            await asyncio.to_thread(self._write, self._path, _line(rollout))

    def _write(self, path: Path, line: bytes) -> None:
        try:
            with path.open("ab+") as file:
                file.seek(0)
                if line in file.read().split(b"\n"):
                    return
                file.write(line + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise JournalError(f"state.rollback_log: {path} cannot be written ({error.strerror})") from error


def _line(rollout: Rollout) -> bytes:
    """One line without raw control characters: JSON escapes what an alert's text may contain."""
    fields = {
        "time": to_text(rollout.weights[-1].since),
        "rollout": rollout.id,
        "canary": rollout.canary,
        "stable": rollout.stable,
        "cause": rollout.cause,
        "actor": rollout.actor,
        "reason": rollout.reason,
    }
    return json.dumps(fields).encode()
