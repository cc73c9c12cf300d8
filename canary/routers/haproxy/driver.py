"""HAProxy: the weight lives in a map that its runtime socket changes, without a reload.

Two numbers decide about a user: `weight`, in hundredths of a percent, and `salt`, which chooses the users of a rollout
(`bucket`). The generated configuration (`config`) looks both up at every request; `socket` changes
them. Why not a reload: it closes keep-alive connections under the requests on them (290 failed requests per reload,
72 of them POST, at 500 requests a second from clients 50 ms away); through the socket not one failed.

The map's file (`mapfile`) is written too, because a reload or restart of HAProxy, by whomever, starts from the
file and forgets the runtime: a rollback made in the socket alone would be undone by the next renewal of a certificate.
Socket first, file second: the socket is what customers feel, and a full disk must not keep a rollback from them.
"""

import asyncio
import contextlib
import dataclasses
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from canary.errors import RouterError, reason
from canary.finding import Finding, failed, warning
from canary.policy.routers.sections import HaproxyRouter
from canary.policy.routers.slots import Slot, other
from canary.routers import files
from canary.routers.base import FINEST_RATIO, Observation, Reading, Split
from canary.routers.bucket import HAPROXY_BUCKETS, haproxy_bucket
from canary.routers.haproxy import config, mapfile
from canary.routers.haproxy.mapfile import WEIGHT, Entries
from canary.routers.haproxy.socket import RuntimeSocket
from canary.routers.haproxy.stat import down_in, left_on
from canary.threads import OwnThread, Threads
from canary.units import format_ratio

# What may stand on a line of HAProxy's command line: blanks, `;` and `\` would end or change the command.
_PATH = re.compile(r"[A-Za-z0-9/._+@:-]+")

# HAProxy itself also knows abstract sockets and file descriptors, which no other process can open by a name.
_SOCKET = re.compile(r"/\S+|tcp:(?:\[[0-9a-fA-F:.]+\]|[^\s:]+):\d{1,5}")

# A backend, as the generated configuration names it, and its servers (2 + 4), all of them (-1).
_SESSIONS = "show stat {} 6 -1"


class HAProxyRouter:
    """Drives one or several HAProxies that read the same map.

    Args:
        section: The policy's `router` section of kind `haproxy`.
        thread: Makes the thread in which the map's file is written, given its name.

    Raises:
        RouterError: the map's path cannot be written on HAProxy's command line, or a socket is no address.
    """

    finest_ratio = FINEST_RATIO

    def __init__(self, section: HaproxyRouter, thread: Callable[[str], Threads] = OwnThread) -> None:
        if not _PATH.fullmatch(section.map):
            raise RouterError(
                f"expected a path of letters, digits and `/._+@:-`, found {section.map!r}",
                place=f"router {section.name}: map",
            )
        for address in section.sockets:
            if not _SOCKET.fullmatch(address):
                raise RouterError(
                    f"expected a path from / or `tcp:host:port`, found {address!r}",
                    place=f"router {section.name}: sockets",
                )
        self.name = section.name
        self._section = section
        self._thread = thread("haproxy-map")
        self._slots = section.slots is not None
        self._sockets = [
            RuntimeSocket(address, section.map, section.timeout, slots=self._slots) for address in section.sockets
        ]

    async def set_weight(self, split: Split) -> None:
        """Set the map on every HAProxy, read it back, and write the map's file.

        A HAProxy that does not answer hinders neither the others nor the file; the file is then only ever
        lowered, so that a HAProxy which comes back later has at most the weight that it had.

        Raises:
            RouterError: a HAProxy does not have the split in force, or the file could not be written.
        """
        if self._slots and split.stable_slot is None:
            split = dataclasses.replace(split, stable_slot=await self._recorded())
        wanted = Entries.of(split, slots=self._slots)
        if split.weight_ratio and not wanted.canary_weight:
            raise RouterError(
                f"expected 0 or at least 0.01%, found {format_ratio(split.weight_ratio)}",
                place=f"router {self.name}: canary's traffic weight",
            )
        results = await asyncio.gather(*(socket.put(wanted) for socket in self._sockets), return_exceptions=True)
        faults = [str(result) for result in results if isinstance(result, RouterError)]
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, RouterError):
                raise result
        try:
            await self._thread.run(partial(self._write, wanted, split.rollout, bool(faults)))
        except OSError as error:
            faults.append(
                f"HAProxy map file {self._section.map}: cannot be written ({error.strerror}); until it is, "
                f"a reload of HAProxy brings the old weight back"
            )
        if faults:
            raise RouterError("; ".join(faults), place=f"router {self.name}")

    async def read(self) -> Observation:
        """What each HAProxy's map says."""
        return Observation(tuple(await asyncio.gather(*(self._reading(socket) for socket in self._sockets))))

    async def check(self) -> list[Finding]:
        """Unreachable or too weak sockets, a missing map, a file that does not match or cannot be written."""
        by_socket = await asyncio.gather(*(self._check_socket(socket) for socket in self._sockets))
        findings = [finding for findings in by_socket for finding in findings]
        if self._section.write_map:
            in_force = (await self.read()).weight_ratio
            findings += await self._thread.run(partial(self._check_file, in_force))
        return findings

    async def unhealthy(self) -> Mapping[str, str]:
        """The stable servers that a HAProxy takes for down, by `show stat`.

        Raises:
            RouterError: a HAProxy is unreachable.
        """
        if self._slots:  # a release is finished without moving anybody to other servers
            return {}
        tables = await asyncio.gather(*(socket.ask("show stat") for socket in self._sockets))
        return {address: fault for table in tables for address, fault in down_in(table)}

    async def sessions(self, lasting_seconds: float) -> int | None:
        """What HAProxy counts on the canary's servers, and what waits for one of them.

        None for a HAProxy that began less than *lasting_seconds* ago: after a reload the old worker serves what it had.

        Raises:
            RouterError: a HAProxy is unreachable.
        """
        counts = await asyncio.gather(*(self._sessions(socket, lasting_seconds) for socket in self._sockets))
        return None if None in counts else sum(count or 0 for count in counts)

    def is_canary(self, user_id: str, split: Split) -> bool:
        """Whether *split* sends this user, who is no tester, to the canary."""
        on_slot_b = haproxy_bucket(user_id, split.salt) < Entries.of(split, slots=self._slots).weight
        return on_slot_b != (self._slots and split.stable_slot == "b")

    def snippet(self) -> Mapping[str, str]:
        """`haproxy.cfg` (or `NAME.cfg`) and the map it starts from, which sends everybody to stable."""
        return {
            f"{self.name}.cfg": config.render(self._section),
            Path(self._section.map).name: mapfile.render(Entries.parse({}, slots=self._slots), "none"),
        }

    async def _reading(self, socket: RuntimeSocket) -> Reading:
        try:
            process, entries = await asyncio.gather(self._process(socket), socket.entries())
        except RouterError as error:
            return Reading(socket.address, None, error=str(error))
        return Reading(
            instance=socket.address,
            weight_ratio=entries.canary_weight / HAPROXY_BUCKETS,
            salt=entries.salt if entries.canary_weight or not self._slots else None,
            testers=bool(entries.testers and entries.canary_weight),
            testers_alone=entries.testers == mapfile.ALONE and not entries.canary_weight,
            process=process,
            closed=entries.says_closed and not self._slots,
            stable_slot=entries.stable_slot,
        )

    async def _recorded(self) -> Slot:
        """The stable slot that the HAProxies have recorded."""
        readings = (await self.read()).readings
        return next((reading.stable_slot for reading in readings if reading.stable_slot is not None), "a")

    async def _process(self, socket: RuntimeSocket) -> str:
        """Which HAProxy this is; nothing when its map lacks the weight, which it then has lost."""
        info, entry = await asyncio.gather(socket.ask("show info"), socket.ask(f"get map {self._section.map} {WEIGHT}"))
        facts = _facts(info)
        if "found=yes" not in entry and "match=yes" not in entry:
            return ""
        return f"{facts.get('Pid', '')}/{facts.get('Start_time_sec', '')}"

    async def _sessions(self, socket: RuntimeSocket, lasting_seconds: float) -> int | None:
        backends: tuple[str, ...] = ("canary",)
        if (stable := (await socket.entries()).stable_slot) is not None:
            backends = (f"trial-{other(stable)}", f"slot-{other(stable)}")
        asked = [socket.ask("show info"), *(socket.ask(_SESSIONS.format(name)) for name in backends)]
        info, *tables = await asyncio.gather(*asked)
        uptime_seconds = _facts(info).get("Uptime_sec", "")
        if not uptime_seconds.isdecimal() or int(uptime_seconds) < lasting_seconds:
            return None
        counts = [left_on(table) for table in tables]
        return None if None in counts else sum(count or 0 for count in counts)

    def _write(self, wanted: Entries, rollout: str, only_lower: bool) -> None:
        if not self._section.write_map:
            return
        path = Path(self._section.map)
        present, legible = Entries.parse({}, slots=self._slots), False
        with contextlib.suppress(OSError, ValueError):  # whatever cannot be read is replaced
            present, legible = mapfile.read(path, slots=self._slots), True
        another = (wanted.salt, wanted.stable) != (present.salt, present.stable)
        if (
            only_lower
            and (wanted.canary_weight or wanted.testers)
            and (another or wanted.canary_weight > present.canary_weight)
        ):
            return
        text = mapfile.render(wanted, rollout)
        if not legible or wanted != present or path.stat().st_size != len(text):
            files.write(path, text)

    async def _check_socket(self, socket: RuntimeSocket) -> list[Finding]:
        where = f"router {self.name}: {socket.address}"
        try:
            level = await socket.ask("show cli level")
            await socket.entries()
        except RouterError as error:
            remedy = "; ".join(filter(None, (error.remedy, "until it answers, its weight cannot be changed")))
            return [failed(where, error.what, remedy)]
        # Before 3.3 a socket of any level may change maps; from then on only one of level admin.
        if level != "admin":
            return [
                failed(
                    where,
                    f"the socket's level is {level!r}, newer HAProxies change maps at level admin only",
                    "write `stats socket PATH mode 660 level admin`",
                )
            ]
        if socket.address.startswith("tcp:"):
            return [
                warning(
                    where,
                    "HAProxy's command line over TCP asks for no password",
                    "let only this host reach the port, or use a unix socket",
                )
            ]
        return []

    def _check_file(self, in_force: float | None) -> list[Finding]:
        path = Path(self._section.map)
        where = f"router {self.name}: {path}"
        findings = []
        try:
            written = mapfile.read(path, slots=self._slots).canary_weight / HAPROXY_BUCKETS
        except (OSError, ValueError) as error:
            return [failed(where, f"cannot be read ({reason(error)})", "install the generated map file there")]
        if in_force is not None and written != in_force:
            findings.append(
                failed(
                    where,
                    f"says {format_ratio(written)}, but {format_ratio(in_force)} is in force: a reload would change it",
                    "leave the file to the receiver, which writes both",
                )
            )
        try:
            files.probe(path.parent)
        except OSError as error:
            findings.append(
                failed(
                    where,
                    f"a new file cannot be written next to it ({error.strerror})",
                    "give this user the folder, so that a reload of HAProxy keeps the weight",
                )
            )
        return findings


def _facts(info: str) -> dict[str, str]:
    """The answer to `show info`, by name."""
    return dict(line.split(": ", 1) for line in info.splitlines() if ": " in line)
