"""What each router process was last confirmed to have in force, kept across restarts of the receiver.

A router that is found below what is wanted may have been lowered by a person, who is to be obeyed, or may have lost
what it had, and is to be restored. The difference is in the past: *this very process* was confirmed at the weight, and
this receiver has not been writing since. So each confirmation is kept with the process' identity (for HAProxy its pid
and start), and a write is entered before it begins: one that was cut short by a kill leaves its entry open, and what is
found then is nobody's decision.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from canary.errors import RouterError
from canary.rollout.store.sidefile import SideFile
from canary.routers import Observation, Split


@dataclass(frozen=True)
class Confirmation:
    """What a router had in force when it was last read as wanted.

    Attributes:
        processes: by instance, the process that was read.
        writing: a write of ours has begun since, and has not been confirmed.
        weights: how many weights the rollout had had by then; None where that is not known. Every later one may be what
            another receiver has put into force since.
    """

    split: Split
    processes: Mapping[str, str] = field(default_factory=dict)
    writing: bool = False
    weights: int | None = None


class Confirmations:
    """One confirmation per router."""

    def __init__(self, file: SideFile | None = None, known: Mapping[str, Confirmation] | None = None) -> None:
        self._file = file
        self._known = dict(known or {})
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, file: SideFile) -> Self:
        """As they were kept; what cannot be understood is not known, so that a router is restored in doubt."""
        data = await file.read()
        rows = data if isinstance(data, dict) else {}
        found = {str(name): one for name, row in rows.items() if (one := _read(row)) is not None}
        return cls(file, found)

    def of(self, router: str) -> Confirmation | None:
        """The router's; None when it was never confirmed."""
        return self._known.get(router)

    def confirm(self, router: str, split: Split, observation: Observation, weights: int | None = None) -> None:
        """The router was read as wanted by a rollout that has had so many weights."""
        processes = {reading.instance: reading.process for reading in observation.readings}
        confirmation = Confirmation(split, processes, weights=weights)
        if self._known.get(router) != confirmation:
            self._known[router] = confirmation
            self._keep_soon()

    def begin_lowering(self, router: str) -> None:
        """A write of ours begins that nothing may hold up: entered without waiting for the disk."""
        if self._enter(router):
            self._keep_soon()

    async def begin(self, router: str) -> None:
        """A write of ours begins; returns when that is kept."""
        if self._enter(router):
            await self._keep()

    async def close(self) -> None:
        """Keep what is left to be kept."""
        while self._tasks:
            await asyncio.gather(*self._tasks)
        if self._file is not None:
            self._file.close()

    def _enter(self, router: str) -> bool:
        known = self._known.get(router)
        if known is None or known.writing:
            return False
        self._known[router] = replace(known, writing=True)
        return True

    def _keep_soon(self) -> None:
        task = asyncio.ensure_future(self._keep())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self) -> None:
        if self._file is not None:
            await self._file.write({name: _row(one) for name, one in self._known.items()})


def _row(one: Confirmation) -> dict[str, Any]:
    split = {"rollout": one.split.rollout, "weight": one.split.weight_ratio, "testers": one.split.testers}
    split |= {"testers_alone": True} if one.split.testers_alone else {}
    split |= {"stable_slot": one.split.stable_slot} if one.split.stable_slot is not None else {}
    split |= {"weights": one.weights} if one.weights is not None else {}
    return {**split, "processes": dict(one.processes), "writing": one.writing}


def _read(row: object) -> Confirmation | None:
    try:
        assert isinstance(row, dict)
        alone = row.get("testers_alone") is True
        split = Split(
            str(row["rollout"]),
            float(row["weight"]),
            testers=row["testers"] is True,
            testers_alone=alone,
            stable_slot=row.get("stable_slot"),
        )
        processes = {str(name): str(process) for name, process in row["processes"].items()}
        weights = None if row.get("weights") is None else int(row["weights"])
        return Confirmation(split, processes, writing=row["writing"] is not False, weights=weights)
    except (AssertionError, KeyError, TypeError, ValueError, AttributeError, RouterError):
        return None
