"""A supervisor over services that know nothing of one another: one task, one policy file, one service.

Every service has its own journal chain, workers, routers and secrets, made as for a process of its own. What can go
wrong with one ends in its own task: a faulty policy, a database that is away at the start, an exception nobody thought
of. Its task says so, waits, and tries again when the file changes or after a pause; the others are not asked.

The files are looked at each second. A new one is served, one that is gone is served no more, and a changed one is read
again: what a reload can take over is taken over, and where only a restart helps, that one service is restarted. A file
that has become faulty leaves what it was before in force, because a rollout may be running by it.

What is found counts when the next look finds it too. A file that is being written may be valid at every line's end, as
another policy: without the tokens, and the routers, that stand further down. One that is replaced may be gone for a
moment.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from canary.errors import CanaryError, Fault, PolicyError, RestartNeededError
from canary.fleet.files import Mark, policy_files
from canary.logs import Log
from canary.policy.load import load_policy
from canary.policy.model import Policy
from canary.timing.backoff import Backoff
from canary.timing.clock import Clock
from canary.web.service import Service

# A `stat` for each file; whoever saves one sees what becomes of it while they look.
_LOOK_SECONDS = 1.0

# A service that could not begin is tried again: what it needs may come back.
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 30.0

Opening = Callable[[Path, Policy], AbstractAsyncContextManager[Service]]
"""Makes what serves one policy, running while the block is. Its shell does not listen: it is asked by its table."""


@dataclass
class Member:
    """One policy file and what serves it.

    Attributes:
        name: the service; until its policy could be read, the file's name without its ending.
        service: its shell, while it runs.
        fault: why it does not run, or why its file is not in force; empty when all is well.
        tried: whether it has run, or failed to, at least once.
    """

    path: Path
    mark: Mark | None
    name: str
    service: Service | None = None
    fault: str = ""
    tried: bool = False
    task: asyncio.Task[None] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Fleet:
    """Keeps one service running for each policy.

    Args:
        paths: files and folders of policies.
        opening: makes what serves one of them.
    """

    def __init__(self, paths: Sequence[Path], opening: Opening, clock: Clock) -> None:
        self._paths = paths
        self._opening = opening
        self._clock = clock
        self._log = Log("fleet")
        self._members: dict[Path, Member] = {}
        self._claims: dict[str, Member] = {}
        self._folders = [path for path in paths if path.is_dir()]
        self._found: Mapping[Path, Mark | None] | None = None
        # One policy is read at a time: what checks them is built from the sources at the first one, and Python's own
        # parser breaks where two threads use it at once ("AST constructor recursion depth mismatch").
        self._reading = asyncio.Lock()

    @property
    def members(self) -> Sequence[Member]:
        """All of them, by name."""
        return sorted(self._members.values(), key=lambda member: (member.name, member.path))

    @property
    def settled(self) -> bool:
        """Whether each has run, or failed to, once."""
        return all(member.tried for member in self._members.values())

    def service(self, name: str) -> Service | None:
        """What serves a service now; None when nothing does."""
        member = self._claims.get(name)
        return member.service if member is not None else None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve what there is while the block runs, and follow the files."""
        await self.look()
        watcher = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
            await asyncio.gather(*(self._leave(member) for member in list(self._members.values())))

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_SECONDS)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  # a folder that cannot be listed now may be again
                self._log.error("the policies cannot be looked for", exception=error)

    async def look(self) -> None:
        """Take up new files, let go of those that are gone, and read again those that have changed.

        Raises:
            OSError: a folder cannot be listed; every service goes on.
        """
        found = await asyncio.to_thread(policy_files, self._paths, self._folders)
        before, self._found = found if self._found is None else self._found, found
        for path in [path for path in self._members if path not in found and path not in before]:
            member = self._members.pop(path)
            what = "policy gone; its service ends, and a rollout that runs is guarded by nobody until it is back"
            self._log.warn(what, file=path, service=member.name)
            await self._leave(member)
        for path, mark in found.items():
            if path not in before or mark != before[path]:
                continue
            if path not in self._members:
                member = self._members[path] = Member(path, mark, path.stem)
                member.task = asyncio.create_task(self._keep(member))
            elif self._members[path].mark != mark:
                self._members[path].mark = mark
                self._members[path].changed.set()

    async def reload(self) -> None:
        """Read every policy again, as after a change of all files, which whoever asks has written whole."""
        self._found = None
        await self.look()
        for member in self.members:
            member.changed.set()

    async def shutdown(self) -> None:
        """End connections that would stay open."""
        await asyncio.gather(*(member.service.shutdown() for member in self.members if member.service))

    async def _leave(self, member: Member) -> None:
        if member.task is not None:
            member.task.cancel()
            await asyncio.gather(member.task, return_exceptions=True)

    async def _keep(self, member: Member) -> None:
        """Serve one policy, again and again, whatever comes."""
        backoff = Backoff(_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
        while True:
            member.changed.clear()
            try:
                await self._serve(member)
                backoff.succeeded()
                continue
            except Exception as error:  # noqa: BLE001  # whatever it is, it is this service's alone
                member.fault = str(error) if isinstance(error, CanaryError) else f"{type(error).__name__}: {error}"
                self._log.error("a service cannot run; trying again", exception=error, file=member.path)
            finally:
                member.service, member.tried = None, True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff.failed()):
                    await member.changed.wait()

    async def _serve(self, member: Member) -> None:
        """Until only a restart helps, or it ends by itself."""
        async with self._reading:
            policy = await asyncio.to_thread(load_policy, member.path)
        with self._claimed(policy.service, member):
            await self._served(policy, member)

    async def _served(self, policy: Policy, member: Member) -> None:
        async with self._opening(member.path, policy) as service:
            member.service, member.fault, member.tried = service, "", True
            self._log.info("serving", service=member.name, file=member.path)
            ended = asyncio.create_task(service.ended())
            try:
                while not ended.done():
                    changed = asyncio.create_task(member.changed.wait())
                    await asyncio.wait((ended, changed), return_when=asyncio.FIRST_COMPLETED)
                    changed.cancel()
                    if ended.done() or not await self._taken_over(member, service):
                        return
            finally:
                ended.cancel()
                member.service = None
                await service.shutdown()

    async def _taken_over(self, member: Member, service: Service) -> bool:
        """Whether a changed file needs no restart: it is in force, or is faulty and what was before stays."""
        member.changed.clear()
        try:
            await self._reloaded(member, service)
        except RestartNeededError as error:
            self._log.info("restarting one service for its changed policy", service=member.name, reason=str(error))
            return False
        except CanaryError as error:
            member.fault = str(error)
            self._log.error("a changed policy is refused; the old one stays", exception=error, file=member.path)
        else:
            member.fault = ""
            self._log.info("policy reloaded", service=member.name)
        return True

    async def _reloaded(self, member: Member, service: Service) -> None:
        """Have a changed file taken over.

        Raises:
            RestartNeededError: only a restart helps, and the file can be served then.
            CanaryError: it is faulty.
        """
        try:
            await service.reload()
        except RestartNeededError:
            async with self._reading:
                policy = await asyncio.to_thread(load_policy, member.path)
            self._require_free(policy.service, member)
            raise

    def _require_free(self, name: str, member: Member) -> None:
        """Refuse a service's name that another policy has."""
        other = self._claims.get(name, member)
        if other is not member:
            what = f"{name} is the service of {other.path} already"
            raise PolicyError([Fault("service", what, "give each service a name of its own")])

    @contextlib.contextmanager
    def _claimed(self, name: str, member: Member) -> Iterator[None]:
        """A service's name, which one policy at a time may have."""
        self._require_free(name, member)
        self._claims[name] = member
        member.name = name
        try:
            yield
        finally:
            del self._claims[name]
