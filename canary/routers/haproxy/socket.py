"""HAProxy's runtime socket: how the numbers of the map are changed and read back while HAProxy runs.

Why `set map`, and not a server's state or weight: `set server … state maint` is lost at a reload, `set weight` divides
requests and not users, and neither knows a rollout's users. `set map` is one short command, in force at the next
request: in trials at 500 requests a second the last canary request had arrived within 1 ms, and none failed.

What the socket says must be read with care, each of these seen at a real one:

* Success is an empty answer. Everything else is an error, in words only.
* A value that is no number is answered as success and changes nothing. So only reading back is proof.
* A key that the map lacks (its file was empty at the start) is refused by `set map`, and taken by `add map`.
* Several commands on one line are answered in one text. So each command has a connection of its own.

After a reload the old process goes on with its own copy of the map until its last connection ends, and the socket
speaks to the new one: one more reason to let nobody need a reload for a rollout.
"""

import asyncio

from canary.errors import RouterError, reason
from canary.routers.haproxy.mapfile import SALT, STABLE, TESTERS, WEIGHT, Entries


class RuntimeSocket:
    """One HAProxy's runtime socket, and the map that it changes.

    Args:
        address: A path, or `tcp:host:port`.
        map_path: The map's path, exactly as HAProxy's configuration has it: that is its name at the socket.
        timeout_seconds: How long one command may take.
        slots: Whether the map's weight is the share of slot b.
    """

    def __init__(self, address: str, map_path: str, timeout_seconds: float, *, slots: bool = False) -> None:
        self.address = address
        self._slots = slots
        self._map = map_path
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
                f"cannot be reached ({reason(error)})",
                place=self.place,
                remedy="is HAProxy running, and may this user open the socket?",
            ) from error

    async def put(self, wanted: Entries) -> None:
        """Put *wanted* into force, in the order that lets no user of another rollout through, and read it back.

        Raises:
            RouterError: HAProxy cannot be reached, refused a command, or has something else in force.
        """
        if wanted.weight == wanted.closed:
            # Nothing comes before closing: not even a look at what is in force.
            await self._set(WEIGHT, wanted.closed)
            await self._set(TESTERS, wanted.testers)
            await self._set(SALT, wanted.salt)  # nobody is chosen by it; it says whose rollback this was
            await self._record(wanted)
        else:
            present = await self.entries()
            # HAProxy serves requests between two commands: the new salt with the old weight, or the reverse, would
            # send users to the canary who belong to neither rollout.
            another = (present.salt, present.stable) != (wanted.salt, wanted.stable)
            if another and present.weight != wanted.closed:
                await self._set(WEIGHT, wanted.closed)
            # Testers before the salt: a rollout's salt without them says that it was closed.
            await self._set(TESTERS, wanted.testers or 1)
            await self._set(SALT, wanted.salt)
            await self._record(wanted)
            await self._set(WEIGHT, wanted.weight)
            if not wanted.testers:
                await self._set(TESTERS, 0)
        found = await self.entries()
        if found != wanted:
            raise RouterError(f"expected {wanted} in force, found {found}", place=self.place)

    async def entries(self) -> Entries:
        """The map's entries; keys that it lacks count as 0, as in HAProxy's configuration.

        Raises:
            RouterError: HAProxy cannot be reached, or has no such map.
        """
        command = f"show map {self._map}"
        answer = await self.ask(command)
        try:
            return _parse(answer, slots=self._slots)
        except ValueError as error:
            raise RouterError(
                f"expected the numbers of {self._map}, found {answer!r}",
                place=self.place,
                remedy="does HAProxy's configuration use exactly this path?",
            ) from error

    async def _record(self, wanted: Entries) -> None:
        """Which slot is stable; it moves nobody as long as there is a weight."""
        if wanted.stable is not None:
            await self._set(STABLE, wanted.stable)

    async def _set(self, key: str, value: int) -> None:
        command = f"set map {self._map} {key} {value}"
        answer = await self.ask(command)
        if "entry not found" in answer:
            command = f"add map {self._map} {key} {value}"
            answer = await self.ask(command)
        if answer:
            raise RouterError(f"refused `{command}`: {answer}", place=self.place)

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


def _parse(answer: str, *, slots: bool) -> Entries:
    """The entries in an answer to `show map`: each line is an address, a key and a value."""
    rows = [line.split() for line in answer.splitlines()]
    if not all(len(row) == 3 and row[0].startswith("0x") for row in rows):
        raise ValueError(answer)
    return Entries.parse({key: value for _, key, value in rows}, slots=slots)
