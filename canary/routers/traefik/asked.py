"""Drives Traefiks that ask for their dynamic configuration: Traefik's HTTP provider.

The receiver writes no file, and needs none that Traefik can see. A question is a plain GET that says nothing of what
Traefik has, so the receiver remembers what it told on each *connection*: while nothing else is wanted the question
stays open, and the answer comes the moment something is. A Traefik that was restarted comes on a new connection and is
answered at once. Where something in between shares connections, an answer is late by the time that a question is kept
open, and never wrong: each one holds everything.

That a Traefik was told is no proof that it has it in force. So each instance's API is read back, as with the file.

Traefik takes any other answer than 200 for a fault, and asks again after a pause that grows to some twenty seconds.
It is given none while there is something to say: only a receiver that stands by refuses, or one that was just started
and has not read its journal yet.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from canary.errors import RouterError
from canary.finding import Finding, failed, warning
from canary.routers.asking import Leads, Question, Wanted
from canary.routers.base import FINEST_RATIO, Observation, Split, TellsNothingOfServers
from canary.routers.traefik import config
from canary.routers.traefik.section import TraefikRouter
from canary.routers.traefik.shown import Shown
from canary.units import format_ratio


class TraefikHttpRouter(TellsNothingOfServers):
    """Answers one or several Traefiks that have the same configuration.

    Args:
        section: The policy's `router` section of kind `traefik`, with `receiver`.
        monotonic: seconds that never go backwards.
    """

    finest_ratio = FINEST_RATIO

    def __init__(self, section: TraefikRouter, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.name = section.name
        self._section = section
        self._shown = Shown(section, "http")
        self._wanted: Wanted[Mapping[str, Any]] = Wanted(section.name, monotonic)

    def opened(self) -> None:
        """Questions can reach it, which changes nothing: what is in force is read from Traefik."""

    async def answer(self, question: Question, leads: Leads) -> Mapping[str, Any] | None:
        """The dynamic configuration, as soon as another one is wanted than was told; None when none was for a while.

        Raises:
            RefusedError: this receiver stands by.
        """

        def due_in(wanted: Mapping[str, Any], _now: float) -> float | None:
            return None if json.dumps(wanted) == question.in_force else 0

        return await self._wanted.answer(due_in, leads)

    async def set_weight(self, split: Split) -> None:
        """Tell every Traefik that asks, and wait until each shows it.

        Raises:
            RouterError: an instance does not have the split in force in time.
        """
        try:
            async with asyncio.timeout(self._section.timeout):
                with self._wanted.told(config.document(self._section, split), split):
                    await self._shown.until(split)
        except TimeoutError as error:
            wanted, found = format_ratio(split.weight_ratio), self._shown.last.detail or "no answer"
            remedy = "see each Traefik's log for why it does not reach the receiver, or refuses what it is told"
            raise RouterError(
                f"expected {wanted}, found {found}", place=f"router {self.name}", remedy=remedy
            ) from error

    async def read(self) -> Observation:
        """What each Traefik's API shows."""
        return await self._shown.read()

    async def check(self) -> list[Finding]:
        """An API that does not answer; a Traefik that was told nothing yet."""
        place = f"router {self.name}"
        remedy = "start Traefik with the generated traefik.yml and file, or give it this entry point, API and provider"
        findings = []
        for one in (await self.read()).readings:
            if one.error:
                findings.append(failed(f"{place}: {one.instance}", one.error, remedy))
            elif not one.process:
                what = "was told nothing by a receiver yet, and has everybody on stable"
                after = "start the receiver; if it runs, see Traefik's log for why it does not reach it"
                findings.append(warning(f"{place}: {one.instance}", what, after))
        return findings

    def is_canary(self, user_id: str, split: Split) -> bool:
        """Whether *split* sends this address to the canary."""
        return config.is_canary(user_id, split)

    def snippet(self) -> Mapping[str, str]:
        """`traefik.yml` (or `NAME.yml`), and the file of a Traefik that was told nothing yet."""
        return config.files(self._section)
