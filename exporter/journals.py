"""Follows the rollout's journal and the experiments', for the judge: while one cannot be read, the last known stays.

The journal may be in another database than the orders, and away while they are there. Then KPIs and counters go on, and
only what is said about the rollout is blind.
"""

import contextlib
from typing import Self

from canary.logs import Log
from canary.policy.model import Policy
from canary.rollout import experiments
from canary.rollout.folding import fold
from canary.rollout.journal.journal import Journal
from exporter.refresher import Refresher


class Journals:
    """The journals of one policy, opened when they are first read."""

    def __init__(self, policy: Policy, log: Log) -> None:
        self._policy = policy
        self._log = log
        self._stack = contextlib.AsyncExitStack()
        self._journal: Journal | None = None
        self._experiments: Journal | None = None
        self._position = -1

    async def __aenter__(self) -> Self:
        """Open nothing yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close what was opened."""
        await self._stack.aclose()

    async def follow(self, refresher: Refresher) -> None:
        """Tell the refresher which rollout runs."""
        try:
            if self._journal is None:
                self._journal = await self._stack.enter_async_context(Journal.open(self._policy))
            refresher.rollout = await self._journal.current()
            if refresher.routed is not None and (position := await self._journal.position()) != self._position:
                refresher.routed.know(fold(await self._journal.entries()).values())
                self._position = position
            if self._policy.experiments:
                if self._experiments is None:
                    opening = Journal.open(self._policy, experiments.CHAIN)
                    self._experiments = await self._stack.enter_async_context(opening)
                refresher.experiments.trials = experiments.fold(await self._experiments.entries())
        except Exception as error:  # noqa: BLE001  # an unreadable journal blinds the judge, and ends nothing
            if not refresher.journal_fault:
                self._log.error("the journal cannot be read", exception=error)
            refresher.journal_fault = True
        else:
            refresher.journal_fault = False
