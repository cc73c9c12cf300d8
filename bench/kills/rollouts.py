"""Rollouts on the real chain, one after the other, and what must be so whatever was killed meanwhile."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

import aiohttp

from alertmanager.receiver.act.outbox import early_key
from bench.kills.victims import Killer
from canary.errors import CanaryError, JournalError
from canary.rollout.entries import Entry, Notified
from canary.rollout.kinds import Kind
from canary.routers.base import Router
from canary.web.client import Client
from tests.support.programs.processes import eventually
from tests.support.receiving.chain import Chain
from tests.support.receiving.receiver import Setting, Team

# A rollout takes seconds; what has not ended by then never does.
_PATIENCE_SECONDS = 180.0
_LOOK_SECONDS = 0.05

# A router that was killed starts with the share that it had; the receiver looks at it five times a second.
_RESTORED_SECONDS = 2.0

_HARMFUL_RATIO = 0.7
_LATEST_HARM_SECONDS = 3.0

_TOLD = frozenset({Kind.STARTED, Kind.ROLLBACK, Kind.PROMOTED})


@dataclass
class Tally:
    """What became of the rollouts of one chain.

    Attributes:
        gone_seconds: from the first harmful request that Prometheus could see to no customer on the canary.
        broken: promises that were not kept.
    """

    harmful: int = 0
    healthy: int = 0
    gone_seconds: list[float] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


class Rollouts:
    """Begins rollouts and sees to their ends, as a person and a shop would."""

    def __init__(
        self, setting: Setting, router: Router, chain: Chain, team: Team, killer: Killer, random: Random
    ) -> None:
        self._setting, self._router = setting, router
        self._signals, self._prometheus = chain.signals, chain.prometheus
        self._team, self.killer, self._random = team, killer, random
        self.tally = Tally()
        self._samples: list[tuple[float, float]] = []

    async def run(self, count: int, enough: asyncio.Event) -> Tally:
        """So many, one after the other, or until there are *enough*."""
        async with self._watching():
            for number in range(1, count + 1):
                if enough.is_set():
                    break
                try:
                    await self._one(f"v{number}")
                except TimeoutError:
                    found = f"{await self._now()}; {(await self._router.read()).detail}"
                    self.tally.broken.append(f"v{number} has no end after {_PATIENCE_SECONDS:.0f} s: {found}")
                    break
        return self.tally

    async def _one(self, version: str) -> None:
        harmful = self._random.random() < _HARMFUL_RATIO
        self._signals.bad, self._signals.complete = False, not harmful
        await eventually(self._is_forgotten, "Prometheus has seen that errors are over", _PATIENCE_SECONDS)
        rollout = await self._until_done("start", canary=version, stable="v0", again=True)
        if harmful:
            self.tally.harmful += 1
            await asyncio.sleep(self._random.uniform(0, _LATEST_HARM_SECONDS))
            began = time.time()
            self._signals.bad = True
            await self._in_state("rolled_back")
            self.tally.gone_seconds.append(max(0.0, self._last_seen() - began))
        else:
            self.tally.healthy += 1
            await self._in_state("promoted")
            await self._until_done("rollback", reason="the next one shall begin")
            await self._in_state("rolled_back")
        await self._check(rollout, harmful=harmful)
        # Rollouts are named by the second.
        await asyncio.sleep(1.1)

    async def _is_forgotten(self) -> bool:
        """Whether Prometheus knows that the canary before is gone: its errors are not the next one's."""
        try:
            found = await asyncio.to_thread(self._prometheus.query, 'signal{name="bad"} == 0')
        except OSError:
            return False
        return bool(found)

    async def _until_done(self, verb: str, **keys: Any) -> str:
        """Give a command until a receiver takes it; the rollout that it is about."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                try:
                    async with Client.of(self._setting.policy) as client:
                        return str((await client.command(verb, **keys))["rollout"])
                except (CanaryError, aiohttp.ClientError):
                    now = await self._now()
                    if verb == "start" and now and now["canary"] == keys["canary"]:
                        return str(now["id"])  # it was taken, and the answer was lost
                    if verb == "rollback" and now and now["state"] in ("rolling_back", "rolled_back"):
                        return str(now["id"])
                    await asyncio.sleep(0.2)

    async def _now(self) -> dict[str, Any] | None:
        try:
            async with asyncio.timeout(5), Client.of(self._setting.policy) as client:
                found: dict[str, Any] | None = (await client.get("status"))["rollout"]
                return found
        except (CanaryError, aiohttp.ClientError, TimeoutError):
            return None

    async def _in_state(self, state: str) -> None:
        async def there() -> bool:
            now = await self._now()
            return now is not None and now["state"] == state

        try:
            await eventually(there, state, _PATIENCE_SECONDS)
        except AssertionError as error:
            raise TimeoutError from error

    @asynccontextmanager
    async def _watching(self) -> AsyncIterator[None]:
        """Read the router's share again and again."""

        async def watch() -> None:
            while True:
                await self._look()
                await asyncio.sleep(_LOOK_SECONDS)

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()

    async def _look(self) -> bool:
        """Read the router's share once; gives whether it can be read."""
        seen = await self._router.read()
        if seen.weight_ratio is not None:
            self._samples.append((time.time(), seen.weight_ratio))
        return seen.weight_ratio is not None

    def _last_seen(self) -> float:
        """When a customer could last be on the canary."""
        return max((at for at, weight in self._samples if weight > 0), default=0.0)

    async def _check(self, rollout: str, *, harmful: bool) -> None:
        """What must be so at a rollout's end."""
        entries = await self._complete(rollout)
        await eventually(self._look, "the router can be read", _PATIENCE_SECONDS)
        kinds = Counter(entry.kind for entry in entries)
        decided = next((entry.at for entry in entries if entry.kind is Kind.ROLLBACK), None)
        wrong = [f"{kinds[kind]} times {kind.value}" for kind in (Kind.ROLLBACK, Kind.ROLLED_BACK) if kinds[kind] != 1]
        if harmful and kinds[Kind.PROMOTED]:
            wrong.append("promoted though harmful")
        if decided is not None and (raised := self._raised_after(decided)):
            wrong.append(raised)
        told = " ".join(str(message["message"]) for message in self._team.messages)
        wrong += [
            f"nobody was notified of #{entry.seq} ({entry.kind.value})"
            for entry in entries
            # A message that is sent before the journal has taken its decision has no position in its key.
            if entry.kind in _TOLD and not any(f"/{rollout}/{key}]" in told for key in (entry.seq, early_key(entry)))
        ]
        self.tally.broken += [f"{rollout}: {what}" for what in wrong]
        self._samples.clear()
        self._team.messages.clear()

    async def _complete(self, rollout: str) -> list[Entry]:
        """A rollout's entries, once everybody has been told of its decisions, or ought to have been."""
        entries: list[Entry] = []
        for _ in range(int(_PATIENCE_SECONDS)):
            try:
                entries = [entry for entry in await self._setting.journal() if entry.rollout == rollout]
            except JournalError:
                entries = []
            told = {entry.entry for entry in entries if isinstance(entry, Notified)}
            if entries and all(entry.seq in told for entry in entries if entry.kind in _TOLD):
                return entries
            await asyncio.sleep(1)
        return entries

    def _raised_after(self, decided: datetime) -> str:
        """When the share rose again after it had fallen to zero, by anything but a router that had just started."""
        after = [(at - decided.timestamp(), weight) for at, weight in self._samples if at > decided.timestamp()]
        # A router is there before whoever started it has seen so.
        absences = [
            (start - decided.timestamp(), end - decided.timestamp()) for start, end in self.killer.absences["router"]
        ]
        zero = next((at for at, weight in after if weight == 0), None)
        if zero is None:
            return f"no look of {len(after)} saw everybody on stable after its rollback"
        raised = [
            at
            for at, weight in after
            if weight > 0 and at > zero and not any(start < at < end + _RESTORED_SECONDS for start, end in absences)
        ]
        if not raised:
            return ""
        away = ", ".join(f"{start:.1f} to {end:.1f}" for start, end in absences if end > 0)
        return f"customers were on it {raised[0]:.1f} to {raised[-1]:.1f} s after its rollback (router away: {away})"
