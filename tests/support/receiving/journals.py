"""Journals that give trouble when a test says so, and what is begun in them."""

import asyncio
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from canary.errors import JournalContentError, JournalError
from canary.rollout.commands.commands import Advance, Start
from canary.rollout.entries import Entry
from canary.rollout.journal.journal import Journal

START = Start(
    rollout="r1", stable="v1", canary="v2", traffic=(0.05, 0.5, 1.0), durations_seconds=(60, 60, 60), actor="ann"
)
ADVANCE = Advance(actor="ann", reason="complete")


class Stubborn(Journal):
    """A journal that fails, or takes its time, when a test says so."""

    def __init__(self, engine: AsyncEngine, service: str) -> None:
        super().__init__(engine, service)
        self.broken = False
        self.refuses = False
        self.answering = asyncio.Event()
        self.answering.set()

    async def append(self, entry: Entry, *, after: Entry | int | None = None) -> Entry:
        """As the real one, later or not at all."""
        await self.answering.wait()
        if self.broken:
            raise JournalError("disk is full", place="journal")
        if self.refuses:
            raise JournalContentError("not here", place="journal")
        return await super().append(entry, after=after)

    async def entries(self, rollout: str | None = None, *, after: int = 0) -> Sequence[Entry]:
        """As the real one, or not at all."""
        if self.broken:
            raise JournalError("disk is full", place="journal")
        return await super().entries(rollout, after=after)


class Gate:
    """What comes before each operation on a journal in memory.

    Attributes:
        answering: while it is not set, the journal hangs.
        trouble: the error that the journal answers with, by operation.
        asked: the operations so far.
    """

    def __init__(self) -> None:
        self.answering = asyncio.Event()
        self.answering.set()
        self.trouble: dict[str, type[JournalError]] = {}
        self.asked: list[str] = []

    async def __call__(self, operation: str) -> None:
        """Let it pass, now or later, or raise what is the trouble."""
        self.asked.append(operation)
        await self.answering.wait()
        if operation in self.trouble:
            raise self.trouble[operation]("disk is full", place="journal")

    @property
    def away(self) -> bool:
        """Whether the journal answers nothing but errors."""
        return bool(self.trouble)

    @away.setter
    def away(self, away: bool) -> None:
        self.trouble = dict.fromkeys(("append", "entries"), JournalError) if away else {}
