"""HAProxy: the share lives in a map that its runtime socket changes, without a reload.

Two numbers decide: `weight`, in hundredths of a percent, and `salt`, which chooses the users of a rollout. The
map's file is written too, because a reload or restart of HAProxy starts from the file and forgets the runtime.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from canary.errors import RouterError
from canary.finding import Finding, failed, warning
from canary.policy.release import HaproxyRouter
from canary.routers import haproxy_config
from canary.routers import haproxy_map as mapfile
from canary.routers.base import Observation, Reading, Split
from canary.routers.bucket import haproxy_bucket
from canary.routers.haproxy_map import SALT, TESTERS, WEIGHT, Entries
from canary.threads import OwnThread, Threads
from canary.units import format_ratio

# What may stand on a line of HAProxy's command line: blanks, `;` and `\` would end or change the command.
_PATH = re.compile(r"[A-Za-z0-9/._+@:-]+")

_SOCKET = re.compile(r"/\S+|tcp:(?:\[[0-9a-fA-F:.]+\]|[^\s:]+):\d{1,5}")


class RuntimeSocket:
    """One HAProxy's runtime socket; every command has a connection of its own, so each answer is clear.

    Args:
        address: A path, or `tcp:host:port`.
        timeout_seconds: How long one command may take.
    """

    def __init__(self, address: str, timeout_seconds: float) -> None:
        self.address = address
        self.place = f"HAProxy socket {address}"
        self._timeout_seconds = timeout_seconds

    async def ask(self, command: str) -> str:
        """HAProxy's answer to one command, without the blank line that ends it.

        Raises:
            RouterError: HAProxy cannot be reached, or does not answer in time.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._exchange(command)
        except TimeoutError as error:
            raise RouterError(
                f"expected an answer to `{command}` within {self._timeout_seconds:g}s, found none",
                place=self.place,
                remedy="is HAProxy overloaded or stopped?",
            ) from error
        except (OSError, ValueError) as error:
            raise RouterError(
                f"cannot be reached ({error})",
                place=self.place,
                remedy="is HAProxy running, and may this user open the socket?",
            ) from error

    async def _exchange(self, command: str) -> str:
        if self.address.startswith("tcp:"):
            host, _, port = self.address.removeprefix("tcp:").rpartition(":")
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        else:
            reader, writer = await asyncio.open_unix_connection(self.address)
        try:
            writer.write(f"{command}\n".encode())
            await writer.drain()
            return (await reader.read(-1)).decode(errors="replace").strip()
        finally:
            writer.close()


class HAProxyRouter:
    """Drives one or several HAProxies that read the same map.

    Args:
        section: The policy's `router` section of kind `haproxy`.
        thread: Makes the thread in which the map's file is written, given its name.

    Raises:
        RouterError: the map's path cannot be written on HAProxy's command line, or a socket is no address.
    """

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
        self._sockets = [RuntimeSocket(address, section.timeout) for address in section.sockets]

    async def set_weight(self, split: Split) -> None:
        """Set the map on every HAProxy, read it back, and write the map's file.

        A HAProxy that does not answer hinders neither the others nor the file; the file is then only ever
        lowered, so that a HAProxy which comes back later has at most the share that it had.

        Raises:
            RouterError: a HAProxy does not have the split in force, or the file could not be written.
        """
        wanted = Entries.of(split)
        if split.weight_ratio and not wanted.weight:
            share = format_ratio(split.weight_ratio)
            raise RouterError(
                f"expected 0 or at least 0.01%, found {share}", place=f"router {self.name}: canary's share"
            )
        results = await asyncio.gather(*(self._put(socket, wanted) for socket in self._sockets), return_exceptions=True)
        faults = [str(result) for result in results if isinstance(result, RouterError)]
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, RouterError):
                raise result
        try:
            await self._thread.run(partial(self._write, wanted, split.rollout, bool(faults)))
        except OSError as error:
            faults.append(
                f"HAProxy map file {self._section.map}: cannot be written ({error.strerror}); until it is, "
                f"a reload of HAProxy brings the old share back"
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

    def is_canary(self, user_id: str, split: Split) -> bool:
        """Whether *split* sends this user, who is no tester, to the canary."""
        return haproxy_bucket(user_id, split.salt) < Entries.of(split).weight

    def snippet(self) -> Mapping[str, str]:
        """`haproxy.cfg` (or `NAME.cfg`) and the map it starts from, which sends everybody to stable."""
        return {
            f"{self.name}.cfg": haproxy_config.render(self._section),
            Path(self._section.map).name: mapfile.render(Entries(), "none"),
        }

    async def _put(self, socket: RuntimeSocket, wanted: Entries) -> None:
        if wanted.weight == 0:
            # Nothing comes before closing: not even a look at what is in force.
            await self._set(socket, WEIGHT, 0)
            await self._set(socket, TESTERS, 0)
        else:
            present = await self._entries(socket)
            if present.salt != wanted.salt:
                if present.weight:
                    await self._set(socket, WEIGHT, 0)
                await self._set(socket, SALT, wanted.salt)
            await self._set(socket, TESTERS, wanted.testers)
            await self._set(socket, WEIGHT, wanted.weight)
        # An integer map answers success to a value it did not take: only reading back is proof.
        found = await self._entries(socket)
        if (found.weight, found.testers) != (wanted.weight, wanted.testers) or (
            wanted.weight and found.salt != wanted.salt
        ):
            raise RouterError(f"expected {wanted} in force, found {found}", place=socket.place)

    async def _set(self, socket: RuntimeSocket, key: str, value: int) -> None:
        command = f"set map {self._section.map} {key} {value}"
        answer = await socket.ask(command)
        if "entry not found" in answer:
            command = f"add map {self._section.map} {key} {value}"
            answer = await socket.ask(command)
        if answer:
            raise RouterError(f"refused `{command}`: {answer}", place=socket.place)

    async def _entries(self, socket: RuntimeSocket) -> Entries:
        """The map's entries; keys that it lacks count as 0, as in HAProxy's configuration."""
        command = f"show map {self._section.map}"
        answer = await socket.ask(command)
        try:
            return _parse(answer)
        except ValueError as error:
            raise RouterError(
                f"expected the numbers of {self._section.map}, found {answer!r}",
                place=socket.place,
                remedy="does HAProxy's configuration use exactly this path?",
            ) from error

    async def _reading(self, socket: RuntimeSocket) -> Reading:
        try:
            process, entries = await asyncio.gather(self._process(socket), self._entries(socket))
        except RouterError as error:
            return Reading(socket.address, None, error=str(error))
        return Reading(
            instance=socket.address,
            weight_ratio=entries.weight / 10_000,
            salt=entries.salt if entries.weight else None,
            testers=bool(entries.testers and entries.weight),
            process=process,
        )

    async def _process(self, socket: RuntimeSocket) -> str:
        """Which HAProxy this is; nothing when its map lacks the weight, which it then has lost."""
        info, entry = await asyncio.gather(socket.ask("show info"), socket.ask(f"get map {self._section.map} {WEIGHT}"))
        facts = dict(line.split(": ", 1) for line in info.splitlines() if ": " in line)
        if "found=yes" not in entry and "match=yes" not in entry:
            return ""
        return f"{facts.get('Pid', '')}/{facts.get('Start_time_sec', '')}"

    def _write(self, wanted: Entries, rollout: str, only_lower: bool) -> None:
        if not self._section.write_map:
            return
        path = Path(self._section.map)
        try:
            present = mapfile.read(path)
        except (FileNotFoundError, ValueError):
            present = Entries()
        if only_lower and wanted.weight and (wanted.weight > present.weight or wanted.salt != present.salt):
            return
        text = mapfile.render(wanted, rollout)
        if wanted != present or not path.exists() or path.stat().st_size != len(text):
            mapfile.write(path, text)

    async def _check_socket(self, socket: RuntimeSocket) -> list[Finding]:
        where = f"router {self.name}: {socket.address}"
        try:
            level = await socket.ask("show cli level")
            await self._entries(socket)
        except RouterError as error:
            remedy = "; ".join(filter(None, (error.remedy, "until it answers, its share cannot be changed")))
            return [failed(where, error.what, remedy)]
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
            written = mapfile.read(path).weight / 10_000
        except (OSError, ValueError) as error:
            return [failed(where, f"cannot be read ({error})", "install the generated map file there")]
        if in_force is not None and written != in_force:
            findings.append(
                failed(
                    where,
                    f"says {format_ratio(written)}, but {format_ratio(in_force)} is in force: a reload would change it",
                    "leave the file to the receiver, which writes both",
                )
            )
        try:
            mapfile.probe(path.parent)
        except OSError as error:
            findings.append(
                failed(
                    where,
                    f"a new file cannot be written beside it ({error.strerror})",
                    "give this user the folder, so that a reload of HAProxy keeps the share",
                )
            )
        return findings


def _parse(answer: str) -> Entries:
    """The entries in an answer to `show map`: each line is an address, a key and a value."""
    rows = [line.split() for line in answer.splitlines()]
    if not all(len(row) == 3 and row[0].startswith("0x") for row in rows):
        raise ValueError(answer)
    return Entries.parse({key: value for _, key, value in rows})
