"""nginx: the weight lives in marker files that its configuration tests with `-f`, without a reload.

Every user has one of a hundred fixed buckets. A bucket is the canary's while `active/NN` exists, and `active` is a
symbolic link to one step's folder (`markers`). The configuration that looks (`config`) is installed once;
nginx never reloads for a rollout, a step or a rollback, and the receiver needs no right over nginx: only a folder.

Why not a percentage in an included file and a reload, as everybody does first: a reload closes keep-alive connections
under the requests on them (about 28 failed requests per reload at 500 requests a second from clients 50 ms away; the
markers lost none in any run), `nginx -s reload` returns before the old workers have stopped answering, a reload that
nginx refuses goes unnoticed under `kill -HUP`, and whoever may write a file that nginx' master reads is root. The test
of a file at each request costs nothing that could be measured.

A wiped folder, as after a reboot, means that everybody is on stable; the receiver then asks for the weight again.
"""

import asyncio
import os
import pwd
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from canary.errors import RouterError, reason
from canary.finding import Finding, failed, warning
from canary.policy.routers.sections import NginxRouter
from canary.process.program import run
from canary.routers.base import Observation, Reading, Split
from canary.routers.bucket import NGINX_BUCKETS, nginx_place
from canary.routers.nginx import check, config
from canary.routers.nginx.markers import MarkerDirectory, percent_of
from canary.threads import OwnThread, Threads
from canary.units import format_ratio

T = TypeVar("T")

# Half of the finest step that a policy can write, 0.01 %: what float arithmetic adds is far less, a change far more.
_ROUNDING_PERCENT = 0.005

# `nginx -T` reads every file and resolves every upstream's name: on a slow name server that takes seconds.
_LEAST_CHECK_SECONDS = 10.0

_ON_ITS_HOST = "run `canary check` on nginx' host, as a user who may run `nginx -T`"


class NginxMarkerRouter:
    """Drives one or several nginx hosts by their marker folders.

    Args:
        section: The policy's `router` section of kind `nginx`.
        thread: Makes the threads for what may hang, one for each folder and one for the configuration, given a name.
    """

    finest_ratio = 0.01

    def __init__(self, section: NginxRouter, thread: Callable[[str], Threads] = OwnThread) -> None:
        self.name = section.name
        self._section = section
        self._slots = section.slots is not None
        self._directories = [MarkerDirectory(Path(path), slots=self._slots) for path in section.directories]
        self._threads = {directory.path: thread("nginx-markers") for directory in self._directories}
        self._reading_thread = thread("nginx-configuration")

    async def set_weight(self, split: Split) -> None:
        """Place the markers in every folder, or remove the link when the weight is 0, and read back.

        Raises:
            RouterError: a folder does not have the split in force, or the weight is no whole percentage.
        """
        if split.weight_ratio and abs(split.weight_ratio * 100 - percent_of(split)) > _ROUNDING_PERCENT:
            raise RouterError(
                f"expected whole percents from 1 to 100, found {format_ratio(split.weight_ratio)}",
                place=f"router {self.name}: canary's traffic weight",
                remedy="use router kind haproxy for finer ones",
            )
        outcomes = await asyncio.gather(*(self._put(directory, split) for directory in self._directories))
        if faults := [fault for fault in outcomes if fault]:
            raise RouterError("; ".join(faults), place=f"router {self.name}")

    async def read(self) -> Observation:
        """What each folder's markers say."""
        return Observation(tuple(await asyncio.gather(*(self._reading(directory) for directory in self._directories))))

    async def check(self) -> list[Finding]:
        """Folders without rights, and what in nginx' configuration would defeat the markers."""
        findings = []
        for directory in self._directories:
            where = f"router {self.name}: {directory.path}"
            try:
                problems = await self._blocking(directory, directory.check)
            except OSError as error:
                problems = [(f"cannot be looked at ({reason(error)})", "give the receiver's user this folder")]
            findings += [failed(where, problem, remedy) for problem, remedy in problems]
        return findings + await self._check_configuration()

    async def unhealthy(self) -> Mapping[str, str]:
        """Nothing: this router checks no servers."""
        return {}

    async def sessions(self, lasting_seconds: float) -> int | None:  # noqa: ARG002  # nothing to hold it against
        """Unknown: nginx counts connections of the whole server only."""
        return None

    def is_canary(self, user_id: str, split: Split) -> bool:
        """Whether *split* sends this user, who is no tester, to the canary."""
        if not self._slots:
            return nginx_place(user_id, split.salt) < percent_of(split)
        on_slot_b = nginx_place(user_id, split.salt) < round(split.slot_b_ratio * NGINX_BUCKETS)
        return on_slot_b != (split.stable_slot == "b")

    def snippet(self) -> Mapping[str, str]:
        """`canary.conf` (`canary-NAME.conf` for a router of another name), to be included at nginx' http level."""
        name = "canary.conf" if self.name == "nginx" else f"canary-{self.name}.conf"
        return {name: config.render(self._section)}

    async def _put(self, directory: MarkerDirectory, split: Split) -> str:
        """Bring one folder to *split*; what went wrong, or nothing."""
        try:
            if not split.open:
                await self._blocking(directory, partial(directory.close, split.stable_slot))
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
            return Reading(str(directory.path), None, error=f"cannot be read ({reason(error)})")

    async def _blocking(self, directory: MarkerDirectory, work: Callable[[], T]) -> T:
        # A thread for each folder: a file server that hangs must not hang the other hosts' rollback.
        return await _limited(self._threads[directory.path], work, self._section.timeout)

    async def _check_configuration(self) -> list[Finding]:
        named, limit_seconds = self._section.configuration, max(self._section.timeout, _LEAST_CHECK_SECONDS)
        outcome = await run(["nginx", "-T", *(("-c", named) if named else ())], timeout_seconds=limit_seconds)
        file = named or check.main_file(outcome.output) or check.DEFAULT_MAIN_FILE
        try:
            loaded = await _limited(self._reading_thread, partial(check.load, file), limit_seconds)
        except OSError as error:
            return [warning(f"router {self.name}: {file}", f"cannot be read ({reason(error)})", _ON_ITS_HOST)]
        findings = [warning(f"router {self.name}: nginx -T", outcome.fault, _ON_ITS_HOST)] if outcome.fault else []
        findings += [warning(f"router {self.name}: {gap.place}", gap.what, gap.remedy) for gap in loaded.unread]
        # Only where nginx accepts the configuration and all of it was read is its word the last.
        judge = warning if findings else failed
        findings += [
            judge(f"router {self.name}: {problem.place}", problem.what, problem.remedy)
            for problem in check.problems(loaded, self._section.directories)
        ]
        return findings + await self._check_way_in(loaded.user or pwd.getpwuid(os.geteuid()).pw_name)

    async def _check_way_in(self, user: str) -> list[Finding]:
        """Folders that nginx' workers may not enter."""
        findings = []
        for directory in self._directories:
            where = f"router {self.name}: {directory.path}"
            try:
                closed = await self._blocking(directory, partial(directory.closed_to, user))
            except (OSError, LookupError) as error:
                findings.append(
                    failed(where, f"nginx' user {user!r} cannot be looked up ({reason(error)})", "check `user`")
                )
                continue
            if closed:
                problem = f"nginx' workers run as {user!r}, who may not enter {closed}"
                findings.append(failed(where, problem, f"chmod o+x {closed}"))
        return findings


async def _limited(thread: Threads, work: Callable[[], T], limit_seconds: float) -> T:
    """What *work* gives on *thread*.

    Raises:
        OSError: the work itself failed, or did not end in time.
    """
    try:
        async with asyncio.timeout(limit_seconds):
            return await thread.run(work)
    except TimeoutError as error:
        raise OSError(f"the file system did not answer within {limit_seconds:g}s") from error
