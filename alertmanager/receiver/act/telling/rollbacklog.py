"""The strategy's `/var/log/canary-rollbacks.log`: three lines per rollback, whatever happens to the receiver meanwhile.

The first says that it was decided, and stands there at once: who reads the file while a router is away learns why. The
second says how it ended: every router was read back without a canary, after so many seconds, or a person gave it up.
Both are JSON, for programs. The third is the line that the strategy's own rollback script appends, word for word, for
whoever has always looked for that one; it is not written of a rollback that was given up.

A line is made from the journal's entries alone, so that it is the same whenever it is written: at once, after a
restart, or when the next rollout runs already. That is how a line that was written just before the receiver died is
known again, and not written twice. The script's line names no rollout: where several services share a file and finish
in one second, each has its own; so those are counted.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Self

from canary import files
from canary.errors import JournalError
from canary.policy.model import Policy
from canary.rollout.entries import Entry, Failed, RollbackDecided, StepDone
from canary.rollout.kinds import Step
from canary.rollout.state import Rollout
from canary.threads import Threads
from canary.timing.times import to_text

# JSON escapes quotation marks, so that no text of an alert's looks like this.
_COMPLETED = b'"outcome": "completed"'


@dataclass(frozen=True)
class Line:
    """What one line tells of.

    Attributes:
        decision: the rollback.
        end: what ended it, for the second line; None for the first.
    """

    decision: RollbackDecided
    end: StepDone | Failed | None = None


def lines_of(entries: Iterable[Entry]) -> list[Line]:
    """What the log says of a rollout that has these entries; the last one has no `end` while one is to come."""
    lines: list[Line] = []
    running: RollbackDecided | None = None
    for entry in entries:
        match entry:
            case RollbackDecided():
                running = entry
                lines.append(Line(entry))
            case StepDone(step=Step.TRAFFIC) | Failed() if running is not None:
                lines.append(Line(running, entry))
                running = None  # giving up a process that does not stop is no second end
            case _:
                pass
    return lines


class RollbackLog:
    """Appends lines; what is in the file already is not written again.

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

    async def write(self, rollout: Rollout, line: Line) -> None:
        """Write a line about a rollout, once.

        Raises:
            JournalError: the file cannot be written.
        """
        if self._path is not None:
            await self._threads.run(partial(_write, self._path, _texts(rollout, line)))

    def close(self) -> None:
        """Wait for nothing more."""
        self._threads.close()


def _write(path: Path, lines: tuple[bytes, ...]) -> None:
    try:
        with os.fdopen(files.open_linked(path, os.O_RDWR | os.O_APPEND | os.O_CREAT), "rb+") as file:
            files.require_regular(file.fileno(), path)
            before = file.read()
            missing = [line + b"\n" for line in _missing(before.split(b"\n"), lines)]
            if not missing:
                return
            # A full disk, or the machine's end, may have cut the last line short.
            file.write((b"" if not before or before.endswith(b"\n") else b"\n") + b"".join(missing))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise JournalError(f"{path} cannot be written ({error.strerror})", place="state.rollback_log") from error


def _missing(there: list[bytes], lines: tuple[bytes, ...]) -> list[bytes]:
    """The lines that are not there yet; of the script's there are as many as rollbacks that ended in its second."""
    known = set(there)
    ended, *scripts = lines
    missing = [] if ended in known else [ended]
    for script in scripts:
        second = ended[: len('{"time": "2026-01-31T12:00:00')]
        completed = sum(line.startswith(second) and _COMPLETED in line for line in known | {ended})
        missing += [script] * (there.count(script) < completed)
    return missing


def _texts(rollout: Rollout, line: Line) -> tuple[bytes, ...]:
    """Lines without raw control characters: JSON escapes what an alert's text may contain."""
    decision, end = line.decision, line.end
    if end is None:
        return (json.dumps(_decided(rollout, decision)).encode(),)
    ended = json.dumps(_ended(rollout, decision, end)).encode()
    return (ended,) if isinstance(end, Failed) else (ended, _as_the_script_writes(end.at))


def _as_the_script_writes(at: datetime) -> bytes:
    """`echo "Canary rollback completed at $(date)"`, as `date` prints it in the C locale at UTC."""
    return f"Canary rollback completed at {at.astimezone(UTC):%a %b %e %H:%M:%S UTC %Y}".encode()


def _decided(rollout: Rollout, decision: RollbackDecided) -> dict[str, object]:
    fields: dict[str, object] = {
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
    return fields


def _ended(rollout: Rollout, decision: RollbackDecided, end: StepDone | Failed) -> dict[str, object]:
    given_up = isinstance(end, Failed)
    return {
        "time": to_text(end.at),
        "rollout": rollout.id,
        "canary": rollout.canary,
        "stable": rollout.stable,
        "outcome": "given_up" if given_up else "completed",
        "seconds": max(0.0, round((end.at - decision.at).total_seconds(), 3)),  # the host's clock may be set back
        "actor": end.actor,
        "reason": end.reason if given_up else "all traffic is on stable, as read back",
    }
