"""The canary's process: looked at, stopped after its traffic has left, started again for a new rollout.

Traffic first, process second: a canary that is stopped while it still has traffic costs 125 to 166 failed requests per
rollback (500 requests a second, half of them its own), one that is stopped half a second after its traffic has left
costs none. So stopping is the second step of a rollback, and nothing here touches traffic.

A manager acts at once: between the call and the program that starts or stops there is no look and no other wait,
because whoever calls has just made sure that it still may (the receiver's `act.effects`). Afterwards only the reported
state is believed, not the program's exit status: a start that exits with 0 may be followed by a crash, and a stop that
ran into its time limit may have stopped it all the same. A process that is not known is as good as stopped; one whose
state cannot be learned is not.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol, Self

from canary.errors import ProcessError
from canary.policy.release import Process
from canary.policy.routers.slots import IN_NAMES, Slot
from canary.process.program import Outcome, run

# What a manager printed is quoted in an error, but not a whole page of it.
_SHOWN_CHARACTERS = 200


class ProcessState(StrEnum):
    """What a process manager says about the canary's process."""

    RUNNING = "running"
    STOPPED = "stopped"
    MISSING = "missing"
    """The manager does not know it; for a rollback that is as good as stopped."""
    UNKNOWN = "unknown"
    """The policy names no program that could tell."""


ENDED = frozenset({ProcessState.STOPPED, ProcessState.MISSING})
"""States in which there is nothing to stop."""


class ProcessManager(Protocol):
    """Starts, stops and looks at the canary's process. All may be repeated at will.

    Attributes:
        managed: whether the policy names a process at all; where it does not, nothing is started and nothing stopped.
        starts: whether `start` starts anything, or only looks.
    """

    managed: bool
    starts: bool

    async def start(self) -> ProcessState:
        """Start it, and say what it is then.

        Raises:
            ProcessError: it is not running afterwards.
        """
        ...

    async def stop(self) -> ProcessState:
        """Stop it, and say what it is then.

        Raises:
            ProcessError: it is still running, or its manager is unreachable.
        """
        ...

    async def state(self) -> ProcessState:
        """What it is now.

        Raises:
            ProcessError: its manager is unreachable.
        """
        ...


class NoProcess:
    """For canaries that nobody stops."""

    managed = False
    starts = False

    async def start(self) -> ProcessState:
        """Nothing to do."""
        return ProcessState.UNKNOWN

    async def stop(self) -> ProcessState:
        """Nothing to do."""
        return ProcessState.UNKNOWN

    async def state(self) -> ProcessState:
        """Nobody to ask."""
        return ProcessState.UNKNOWN


class _Managed(ABC):
    """Start and stop by one program each, then believe only what the manager says about the state."""

    managed = True

    def __init__(self, section: Process) -> None:
        self._section = section
        self.starts = section.kind != "command" or bool(section.start)

    async def start(self) -> ProcessState:
        return await self._bring("start", self._start_argv(), {ProcessState.RUNNING, ProcessState.UNKNOWN})

    async def stop(self) -> ProcessState:
        return await self._bring("stop", self._stop_argv(), {*ENDED, ProcessState.UNKNOWN})

    @abstractmethod
    async def state(self) -> ProcessState: ...

    @abstractmethod
    def _start_argv(self) -> Sequence[str]: ...

    @abstractmethod
    def _stop_argv(self) -> Sequence[str]: ...

    async def _bring(self, verb: str, argv: Sequence[str], wanted: set[ProcessState]) -> ProcessState:
        outcome = await self._run(argv)
        state = await self.state()
        if state not in wanted:
            raise ProcessError(
                f"expected {' or '.join(sorted(wanted))} after {verb}, found {state}; "
                f"{outcome.fault or f'`{argv[0]}` reported success'}",
                place=self._title,
            )
        if outcome.fault and state is ProcessState.UNKNOWN:
            raise ProcessError(f"{verb}: {outcome.fault}", place=self._title)
        return state

    async def _run(self, argv: Sequence[str]) -> Outcome:
        return await run(argv, timeout_seconds=self._section.timeout)

    @property
    def _title(self) -> str:
        return f"process {self._section.name} ({self._section.kind})"


@dataclass(frozen=True)
class _Seen:
    """One instance in pm2's list."""

    name: str
    namespace: str
    ended: bool

    @classmethod
    def of(cls, entry: Any) -> Self:
        """From the list; before version 4 there were no namespaces."""
        about = entry["pm2_env"]
        # "stopping", "launching" and whatever pm2 adds are not the end of a process.
        ended = about["status"] in ("stopped", "errored")
        return cls(str(entry["name"]), str(about.get("namespace", "default")), ended)


class Pm2Process(_Managed):
    """A process of pm2, by its name; all its instances when it runs as a cluster."""

    async def state(self) -> ProcessState:
        """What `pm2 jlist` says."""
        outcome = await self._run(("pm2", "jlist"))
        if outcome.fault:
            raise ProcessError(outcome.fault, place=self._title)
        # A pm2 that has just started its daemon, or is older than its daemon, prints lines of its own before the list.
        listed = outcome.output[outcome.output.rfind("\n[") + 1 :] if "\n[" in outcome.output else outcome.output
        try:
            seen = [_Seen.of(entry) for entry in json.loads(listed)]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            found = outcome.output[:_SHOWN_CHARACTERS]
            raise ProcessError(f"expected pm2's list as JSON, found {found!r}", place=self._title) from error
        ours = [one for one in seen if one.name == self._section.name]
        if ours and all(one.ended for one in ours):
            return ProcessState.STOPPED
        self._only_ours(ours, [one for one in seen if not one.ended])
        return ProcessState.RUNNING if ours else ProcessState.MISSING

    def _only_ours(self, ours: Sequence[_Seen], running: Sequence[_Seen]) -> None:
        """Nothing is stopped by a name by which pm2 would stop others too: stable may well be one of them."""
        namespaces = sorted({one.namespace for one in ours})
        if len(namespaces) > 1:
            raise ProcessError(
                f"pm2 has processes of this name in the namespaces {', '.join(namespaces)}, and would stop all of them",
                place=self._title,
                remedy="give the canary's process a name of its own, and `process.name` that name",
            )
        inside = sorted({one.name for one in running if one.namespace == self._section.name})
        if not ours and inside:
            raise ProcessError(
                f"is no process, but a namespace of pm2's, which would stop all in it: {', '.join(inside)}",
                place=self._title,
                remedy="set `process.name` to the name of the canary's process",
            )

    def _start_argv(self) -> Sequence[str]:
        # Not `start`: for a name that pm2 does not know it runs the file or the command of that name, such as our own.
        return ("pm2", "restart", self._section.name)

    def _stop_argv(self) -> Sequence[str]:
        return ("pm2", "stop", self._section.name)


class SystemdProcess(_Managed):
    """A unit of systemd."""

    async def state(self) -> ProcessState:
        """What `systemctl show` says."""
        argv = ("systemctl", "show", "--property=LoadState,ActiveState", "--", self._section.name)
        outcome = await self._run(argv)
        said = dict(line.partition("=")[::2] for line in outcome.output.splitlines())
        if outcome.fault or not {"LoadState", "ActiveState"} <= said.keys():
            found = outcome.output[:_SHOWN_CHARACTERS]
            raise ProcessError(outcome.fault or f"expected the state of the unit, found {found!r}", place=self._title)
        # A deactivating unit still has its process; only these two states are systemd's word that it has none.
        if said["ActiveState"] in ("inactive", "failed"):
            return ProcessState.MISSING if said["LoadState"] == "not-found" else ProcessState.STOPPED
        return ProcessState.RUNNING

    def _start_argv(self) -> Sequence[str]:
        return ("systemctl", "start", "--", self._section.name)

    def _stop_argv(self) -> Sequence[str]:
        return ("systemctl", "stop", "--", self._section.name)


class CommandProcess(_Managed):
    """The user's own programs; without `status`, a stop is believed to have worked when it exits with 0."""

    async def start(self) -> ProcessState:
        """Run the program `start`, where there is one."""
        return await super().start() if self.starts else await self.state()

    async def state(self) -> ProcessState:
        """Running when the program `status` exits with 0."""
        if not self._section.status:
            return ProcessState.UNKNOWN
        outcome = await self._run(self._section.status)
        if outcome.status is None:
            raise ProcessError(f"status: {outcome.fault}", place=self._title)
        return ProcessState.STOPPED if outcome.status else ProcessState.RUNNING

    def _start_argv(self) -> Sequence[str]:
        return self._section.start

    def _stop_argv(self) -> Sequence[str]:
        return self._section.stop


def in_slot(section: Process, slot: Slot) -> Process:
    """The section with a slot's letter wherever it leaves room for one: a process belongs to a slot, not to a role."""

    def named(words: Sequence[str]) -> tuple[str, ...]:
        return tuple(word.replace(IN_NAMES, slot) for word in words)

    return replace(
        section,
        name=section.name.replace(IN_NAMES, slot),
        start=named(section.start),
        stop=named(section.stop),
        status=named(section.status),
    )


def process_of(section: Process) -> ProcessManager:
    """The manager that the policy's `process` section names.

    Raises:
        ProcessError: `command` without a program to stop the canary.
    """
    if section.kind == "command" and not section.stop:
        raise ProcessError("expected a program and its arguments for kind `command`, found none", place="process: stop")
    match section.kind:
        case "pm2":
            return Pm2Process(section)
        case "systemd":
            return SystemdProcess(section)
        case "command":
            return CommandProcess(section)
        case "none":
            return NoProcess()
