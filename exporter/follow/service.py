"""The follower as a service: one task for each way in, one batch at a time, and the web shell around them.

A batch is kept whole or not at all: assignments, visits and the place in the log are one transaction, and the metrics
count it after that. Before a batch is understood the journal is looked at, so that the version of each line is that of
the rollout which the router served it in: the journal is written before the router is changed, and a line after it was
served. While journal or store is away the batch waits: a file keeps what is behind it, and datagrams wait in memory.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from canary.errors import CanaryError, Fault, PolicyError
from canary.logs import Log
from canary.policy.database.requestlog import RequestLog
from canary.policy.model import Policy
from canary.policy.routers.slots import BOTH, slots_of
from canary.rollout.folding import fold
from canary.rollout.journal.journal import Journal
from canary.routers import routers_of
from canary.threads import OwnThread
from canary.timing.backoff import Backoff
from canary.timing.clock import Clock, SystemClock
from canary.units import format_duration
from canary.web.metrics import service_registry
from canary.web.options import WebOptions
from canary.web.service import Service
from canary.web.strangers.peers import host_of
from exporter.follow.datagrams import Datagrams
from exporter.follow.files import LogFile
from exporter.follow.lines import Endpoints, Garbage, Group, Request, read_line
from exporter.follow.metrics import LogMetrics
from exporter.follow.rotated import Place
from exporter.follow.store import Store
from exporter.follow.tally import Changes, Tally
from exporter.source.assignments.logged import store_url
from exporter.source.assignments.routed import RoutedVersions, Served

_BATCH = 2000
"""Datagrams of one batch, about as many lines as `files` reads at once: some ten milliseconds' work."""
_WAIT_SECONDS = 1.0
_LOOK_SECONDS = 0.25
"""Between two looks at a file whose end was reached."""
_PRUNE_SECONDS = 60.0
_AHEAD_SECONDS = 600.0
"""A router's clock may be ahead of ours. What is further ahead was written by a clock that is wrong, and would hold its
customers where they were then until that time has come."""
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.5, 10.0


T = TypeVar("T")


@dataclass
class Follower:
    """Follows one policy's log until it is stopped.

    Raises:
        PolicyError: the policy names no log, or no way in.
    """

    policy: Policy
    options: WebOptions
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        """Read the policy."""
        self._given = _required(self.policy)
        self._log = Log("assignments")
        self._lock = asyncio.Lock()
        self._routed = RoutedVersions(routers_of(self.policy)[0])
        self._servers = _servers(self.policy)
        self._endpoints = Endpoints()
        self._journal: Journal | None = None
        self._position = -1
        self._first: str | None = None
        self._pruned_at = float("-inf")
        self._kept_at = self._caught_up_at = self.clock.monotonic()
        registry = service_registry()
        self.metrics = LogMetrics(registry, self.policy.service, self.line_age_seconds)
        self.web = Service(
            name="assignments",
            options=self.options,
            registry=registry,
            ready=lambda: self._position >= 0,
            hosts=lambda: (host_of(self.policy.signals.follower_target),),
            status=self._status,
            clock=self.clock,
        )

    async def run(self) -> None:
        """Serve and follow until a signal ends it.

        Raises:
            WebConfigError, ListenError: an address cannot be listened on.
            DatabaseError: the store cannot be opened.
        """
        async with self.following():
            await self.web.run()

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow in the background while the block runs."""
        store = Store.of(store_url(self.policy))
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(store.close)
            self._tally = Tally(*await store.open())
            self.store = store
            self._journals = await stack.enter_async_context(contextlib.AsyncExitStack())
            tasks = [asyncio.create_task(way) for way in await self._ways(stack)]
            for task in tasks:
                task.add_done_callback(self._ended)
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def line_age_seconds(self) -> float:
        """How long ago the last line was kept, or the end of the log was last reached, whichever is longer."""
        now = self.clock.monotonic()
        return max(now - self._kept_at, now - self._caught_up_at)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._log.error("following failed; the service ends", exception=task.exception())
            self.web.stop()

    async def _ways(self, stack: contextlib.AsyncExitStack) -> list[Coroutine[Any, Any, None]]:
        ways: list[Coroutine[Any, Any, None]] = []
        if self._given.file is not None:
            path = Path(self.policy.base) / self._given.file
            ways.append(self._follow_file(LogFile(path, await self.store.place(str(path)))))
        for where in (self._given.udp, self._given.socket):
            if where is None:
                continue
            datagrams = Datagrams()
            if where is self._given.udp:
                host, _, port = where.rpartition(":")
                datagrams.listen_udp(host.strip("[]"), int(port))
            else:
                datagrams.listen_unix(Path(self.policy.base) / where)
            stack.callback(datagrams.close)
            ways.append(self._follow_datagrams(datagrams))
        return ways

    async def _follow_file(self, file: LogFile) -> None:
        thread = OwnThread("request-log")
        gaps = overlong = 0
        try:
            while True:
                lines, place = await self._until_done(partial(thread.run, file.read), "the log cannot be read")
                self.metrics.gaps.inc(file.gaps - gaps)
                self.metrics.garbage.inc(file.overlong - overlong)
                gaps, overlong = file.gaps, file.overlong
                if lines:
                    await self._keep(lines, str(file.path), place)
                else:
                    self._caught_up_at = self.clock.monotonic()
                    await self.clock.sleep(_LOOK_SECONDS)
        finally:
            file.close()
            thread.close()

    async def _follow_datagrams(self, datagrams: Datagrams) -> None:
        dropped = 0
        while True:
            lines = await datagrams.lines(_BATCH, _WAIT_SECONDS)
            self.metrics.dropped.inc(datagrams.dropped - dropped)
            dropped = datagrams.dropped
            if len(lines) < _BATCH and self._given.file is None:
                self._caught_up_at = self.clock.monotonic()
            if lines:
                await self._keep(lines, "syslog", None)

    async def _keep(self, lines: list[bytes], source: str, place: Place | None) -> None:
        """Understand and keep one batch; returns when it is kept."""
        garbage, requests = 0, list[Request]()
        for number, line in enumerate(lines):
            try:
                requests.append(read_line(line, self._servers))
            except Garbage:
                garbage += 1
            if number % 500 == 0:
                await asyncio.sleep(0)  # scrapes come in between
        now = self.clock.now().timestamp()
        requests = [one if one.at <= now + _AHEAD_SECONDS else replace(one, at=now) for one in requests]
        async with self._lock:
            await self._until_done(self._know, "the journal cannot be read")
            counted = await self._write(requests, source, place)
        for served, request in counted:
            self.metrics.served(served.version, self._endpoints.of(request), request.status, request.took_seconds)
        self.metrics.lines.inc(len(lines))
        self.metrics.garbage.inc(garbage)
        self.metrics.crawlers.inc(sum(request.robot for request in requests))
        self._kept_at = self.clock.monotonic()

    async def _write(self, requests: list[Request], source: str, place: Place | None) -> list[tuple[Served, Request]]:
        counted = [
            (self._served(request.group, request.at), request) for request in requests if request.group is not None
        ]
        known = [(self._unit(request.user), served, request) for served, request in counted if request.user is not None]
        unknown = self._tally.unknown(unit for unit, _, _ in known)
        self._tally.remember(await self._until_done(partial(self.store.customers, unknown), "the store cannot be read"))
        changes = Changes()
        for unit, served, request in known:
            self._tally.take(unit, served, request, changes)
        await self._until_done(partial(self.store.write, changes, source, place), "the store cannot be written")
        self._tally.forget()
        now = self.clock.monotonic()
        if now - self._pruned_at >= _PRUNE_SECONDS:
            self._pruned_at = now
            before = self.clock.now().timestamp() - self._given.keep
            await self._until_done(
                partial(self.store.prune, before, self._given.max_rows), "the store cannot be pruned"
            )
        return counted

    async def _know(self) -> None:
        """Look at what the journal says of the rollouts."""
        if self._journal is None:
            self._journal = await self._journals.enter_async_context(Journal.open(self.policy))
        position = await self._journal.position()
        if position == self._position:
            return
        rollouts = list(fold(await self._journal.entries()).values())
        self._routed.know(rollouts)
        if rollouts and self._position <= 0:
            await self.store.heal(rollouts[0].stable)
            self._tally.healed(rollouts[0].stable)
        self._position = position

    def _served(self, group: Group, moment: float) -> Served:
        if group in BOTH:
            return self._routed.served_by(group, moment)
        canary = group == "canary"
        return Served(canary, self._routed.served(canary=canary, moment=moment))

    def _unit(self, user: str) -> str:
        return hashlib.sha256(user.encode()).hexdigest() if self._given.hashed else user

    async def _until_done(self, work: Callable[[], Awaitable[T]], what: str) -> T:
        """What *work* gives, however often it has to be tried."""
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)
        failed = False
        while True:
            try:
                result = await work()
            except (CanaryError, OSError) as error:
                if not failed:
                    self._log.error(f"{what}; trying again", exception=error)
                failed = True
                self.metrics.store_up.set(0)
                await self.clock.sleep(backoff.failed())
            else:
                self.metrics.store_up.set(1)
                return result

    def _status(self) -> dict[str, str]:
        ways = (self._given.file, self._given.udp, self._given.socket)
        return {
            "Service": self.policy.service,
            "Log": ", ".join(way for way in ways if way is not None),
            "Last line kept": f"{format_duration(round(self.clock.monotonic() - self._kept_at))} ago",
            "Journal": "not read yet" if self._position < 0 else "read",
        }


def _servers(policy: Policy) -> dict[str, Group]:
    """Whose each server is, by its address; the canary's are those that are nobody else's."""
    found: dict[str, Group] = {}
    for router in policy.router:
        slots = slots_of(router)
        if slots is None:
            found |= dict.fromkeys(router.upstreams.stable, "stable")
        else:
            found |= {address: slot for slot in BOTH for address in slots.of(slot)}
    return found


def _required(policy: Policy) -> RequestLog:
    given = policy.database.log
    if given is None:
        raise PolicyError([Fault("database.log", "is missing", "say where the router's log comes in")])
    if not policy.router:
        raise PolicyError([Fault("database.log", "there is no `router` that would write it", "add one")])
    return given
