"""nginx: the share lives in marker files that its configuration tests with `-f`, without a reload.

Every user has one of a hundred fixed buckets. A bucket is the canary's while `active/NN` exists, and `active` is a
symbolic link to one step's folder, swapped in one rename. A rollback removes the link: one `unlink`, which works on
a full disk and needs no rights over nginx. A wiped folder, as after a reboot, means that everybody is on stable.
"""

import asyncio
import contextlib
import functools
import os
import pwd
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from canary.errors import RouterError
from canary.finding import Finding, failed, warning
from canary.policy.release import NginxRouter
from canary.process.program import run
from canary.routers import nginx_config, nginx_dump
from canary.routers.base import Observation, Reading, Split
from canary.routers.bucket import NGINX_BUCKETS, nginx_order, nginx_place
from canary.threads import OwnThread, Threads
from canary.units import format_ratio

T = TypeVar("T")

TESTER = "tester"
# nginx' workers run as another user and must look in, whatever our umask is.
_OPEN_MODE = 0o755

_STEP = re.compile(r"(\d{1,10})-\d{1,3}-\w+")


class MarkerDirectory:
    """The marker files that one nginx host looks at. All methods block, as file systems do."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._active = path / "active"
        self._steps = path / "steps"

    def close(self) -> None:
        """Send everybody to stable.

        Raises:
            OSError: the link is still there.
        """
        with contextlib.suppress(FileNotFoundError):
            self._active.unlink()
        # Makes the removal survive a power failure; on a file system that cannot, it is in force all the same.
        with contextlib.suppress(OSError):
            self._sync()

    def open(self, split: Split) -> None:
        """Open the buckets of *split*; nothing is changed when they are open already.

        Raises:
            OSError: the new step could not be written; the old one is still in force.
        """
        if Observation((self.reading(),)).agrees(split):
            return
        self._make()
        before = self._active.readlink().name if self._active.is_symlink() else ""
        step = Path(tempfile.mkdtemp(prefix=f"{split.salt}-{_percent(split)}-", dir=self._steps))
        try:
            for marker in _markers(split):
                (step / marker).touch(mode=0o644)
            step.chmod(_OPEN_MODE)
            link = step.with_suffix(".link")
            link.symlink_to(Path("steps") / step.name)
            link.rename(self._active)
        except OSError:
            shutil.rmtree(step, ignore_errors=True)
            step.with_suffix(".link").unlink(missing_ok=True)
            raise
        # nginx may be looking through the link that was just replaced: what it led to goes at the next change.
        self._prune({step.name, before})

    def reading(self) -> Reading:
        """What is in force: the markers that nginx finds behind the link."""
        instance = str(self.path)
        try:
            target = self._active.readlink()
            markers = {entry.name for entry in self._active.iterdir()}
        except FileNotFoundError:
            return Reading(instance, 0.0, process=self._process())
        except OSError as error:
            return Reading(instance, None, error=f"{self._active}: cannot be read ({error.strerror})")
        buckets = {int(name) for name in markers if re.fullmatch(r"\d\d", name)}
        weight_ratio = len(buckets) / NGINX_BUCKETS
        step = _STEP.fullmatch(target.name)
        if step is None or buckets != set(nginx_order(int(step[1]))[: len(buckets)]):
            return Reading(instance, weight_ratio, error=f"{self._active}: holds markers that no rollout placed")
        salt, testers = int(step[1]), TESTER in markers
        return Reading(instance, weight_ratio, salt=salt, testers=testers, process=self._process())

    def _process(self) -> str:
        """Which making of the folder this is: a person who removes the link leaves it, a wiped folder is another."""
        try:
            status = self._steps.stat()
        except OSError:
            return ""
        return f"{status.st_dev}/{status.st_ino}"

    def check(self) -> list[tuple[str, str]]:
        """Problems and remedies: what would keep this user from changing the share."""
        found = []
        if self._active.exists() and not self._active.is_symlink():
            found.append(("`active` is not a symbolic link", "remove it; it is made when a rollout starts"))
        try:
            with tempfile.NamedTemporaryFile(dir=self._nearest(), prefix=".probe."):
                pass
        except OSError as error:
            found.append((f"cannot be written ({error.strerror})", "give the receiver's user this folder"))
        return found

    def closed_to(self, user: str) -> Path | None:
        """The outermost folder on the way to the markers that *user* may not enter.

        Raises:
            LookupError: there is no such user.
        """
        entry = pwd.getpwnam(user)
        groups = os.getgrouplist(user, entry.pw_gid)
        nearest = self._nearest()
        if entry.pw_uid == 0:
            return None
        for folder in reversed([nearest, *nearest.parents]):
            status = folder.stat()
            own, group = status.st_uid == entry.pw_uid, status.st_gid in groups
            if not status.st_mode & (0o100 if own else 0o010 if group else 0o001):
                return folder
        return None

    def _nearest(self) -> Path:
        return next(folder for folder in (self.path, *self.path.parents) if folder.exists())

    def _make(self) -> None:
        missing = [folder for folder in (self._steps, *self._steps.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            folder.chmod(_OPEN_MODE)

    def _sync(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _prune(self, keep: set[str]) -> None:
        for step in self._steps.iterdir():
            if step.name not in keep:
                shutil.rmtree(step, ignore_errors=True)


class NginxMarkerRouter:
    """Drives one or several nginx hosts by their marker folders.

    Args:
        section: The policy's `router` section of kind `nginx`.
        thread: Makes a thread for one folder, given its name.
    """

    def __init__(self, section: NginxRouter, thread: Callable[[str], Threads] = OwnThread) -> None:
        self.name = section.name
        self._section = section
        self._directories = [MarkerDirectory(Path(directory)) for directory in section.directories]
        self._threads = {directory.path: thread("nginx-markers") for directory in self._directories}

    async def set_weight(self, split: Split) -> None:
        """Place the markers in every folder, or remove the link when the share is 0, and read back.

        Raises:
            RouterError: a folder does not have the split in force, or the share is no whole percentage.
        """
        if split.weight_ratio and abs(split.weight_ratio * 100 - _percent(split)) > 0.005:
            raise RouterError(
                f"expected whole percents from 1 to 100, found {format_ratio(split.weight_ratio)}",
                place=f"router {self.name}: canary's share",
                remedy="use router kind haproxy for finer ones",
            )
        outcomes = await asyncio.gather(*(self._put(directory, split) for directory in self._directories))
        if faults := [fault for fault in outcomes if fault]:
            raise RouterError("; ".join(faults), place=f"router {self.name}")

    async def read(self) -> Observation:
        """What each folder's markers say."""
        return Observation(tuple(await asyncio.gather(*(self._reading(directory) for directory in self._directories))))

    async def check(self) -> list[Finding]:
        """Folders without rights, and what in `nginx -T` would defeat the markers."""
        findings = []
        for directory in self._directories:
            where = f"router {self.name}: {directory.path}"
            try:
                problems = await self._blocking(directory, directory.check)
            except OSError as error:
                problems = [(f"cannot be looked at ({error})", "give the receiver's user this folder")]
            findings += [failed(where, problem, remedy) for problem, remedy in problems]
        return findings + await self._check_configuration()

    def is_canary(self, user_id: str, split: Split) -> bool:
        """Whether *split* sends this user, who is no tester, to the canary."""
        return nginx_place(user_id, split.salt) < _percent(split)

    def snippet(self) -> Mapping[str, str]:
        """`canary.conf` (`canary-NAME.conf` for a router of another name), to be included at nginx' http level."""
        name = "canary.conf" if self.name == "nginx" else f"canary-{self.name}.conf"
        return {name: nginx_config.render(self._section)}

    async def _put(self, directory: MarkerDirectory, split: Split) -> str:
        """Bring one folder to *split*; what went wrong, or nothing."""
        try:
            if split.weight_ratio == 0:
                await self._blocking(directory, directory.close)
            else:
                await self._blocking(directory, lambda: directory.open(split))
        except OSError as error:
            return f"{directory.path}: cannot be changed ({error.strerror or error})"
        reading = await self._reading(directory)
        if Observation((reading,)).agrees(split):
            return ""
        return f"{directory.path}: expected {format_ratio(split.weight_ratio)}, found {Observation((reading,)).detail}"

    async def _reading(self, directory: MarkerDirectory) -> Reading:
        try:
            return await self._blocking(directory, directory.reading)
        except OSError as error:
            return Reading(str(directory.path), None, error=f"cannot be read ({error})")

    async def _blocking(self, directory: MarkerDirectory, work: Callable[[], T]) -> T:
        # A thread for each folder: a file server that hangs must not hang the other hosts' rollback.
        try:
            async with asyncio.timeout(self._section.timeout):
                return await self._threads[directory.path].run(work)
        except TimeoutError as error:
            raise OSError(f"the file system did not answer within {self._section.timeout:g}s") from error

    async def _check_configuration(self) -> list[Finding]:
        where = f"router {self.name}: nginx -T"
        argv = ["nginx", "-T", *(("-c", self._section.configuration) if self._section.configuration else ())]
        outcome = await run(argv, timeout_seconds=max(self._section.timeout, 10))
        if outcome.fault:
            remedy = "run `canary check` on nginx' host, as a user who may run `nginx -T`"
            return [warning(where, outcome.fault, remedy)]
        found = nginx_dump.problems(outcome.output, self._section.directories)
        findings = [failed(where, problem, remedy) for problem, remedy in found]
        user = nginx_dump.worker(outcome.output) or pwd.getpwuid(os.geteuid()).pw_name
        for directory in self._directories:
            try:
                closed = await self._blocking(directory, functools.partial(directory.closed_to, user))
            except (OSError, LookupError) as error:
                findings.append(failed(where, f"nginx' user {user!r} cannot be looked up ({error})", "check `user`"))
                continue
            if closed:
                problem = f"nginx' workers run as {user!r}, who may not enter {closed}"
                findings.append(failed(f"router {self.name}: {directory.path}", problem, f"chmod o+x {closed}"))
        return findings


def _percent(split: Split) -> int:
    return round(split.weight_ratio * 100)


def _markers(split: Split) -> list[str]:
    buckets = [f"{bucket:02d}" for bucket in nginx_order(split.salt)[: _percent(split)]]
    return [*buckets, TESTER] if split.testers else buckets
