"""Two small upstream servers, and customers with keep-alive connections who never try a request twice."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from tests.support.programs.processes import eventually


@dataclass
class Arrival:
    """One request as an upstream saw it."""

    at: float
    headers: dict[str, str]


class Relay:
    """Carries bytes to another port, each way late by the same time: customers who are far away.

    Args:
        target: Port of 127.0.0.1 that is carried to.
        delay_seconds: How late each direction is; half of a round trip.
    """

    def __init__(self, target: int, delay_seconds: float) -> None:
        self._target = target
        self._delay_seconds = delay_seconds
        self.port = 0

    async def start(self) -> None:
        """Listen on any port."""
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # From the customer's own address, for routers that tell customers apart by it.
        address = writer.get_extra_info("peername")[0]
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target, local_addr=(address, 0))
        except OSError:  # the router has ended before its customers
            writer.close()
            return
        await asyncio.gather(self._one_way(reader, far_writer), self._one_way(far_reader, writer))

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                loop.call_later(self._delay_seconds, writer.write, data)
        loop.call_later(self._delay_seconds, writer.close)


class Upstream:
    """An HTTP/1.1 server that answers everything with its own version's name.

    Args:
        version: Sent back in the header `X-Version`.
        service_seconds: How long it takes over an answer.
        listen: The address on which it listens.
    """

    def __init__(self, version: str, service_seconds: float = 0.0, listen: str = "127.0.0.1") -> None:
        self.version = version
        self.arrivals: list[Arrival] = []
        self._service_seconds = service_seconds
        self._listen = listen
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    async def start(self, port: int = 0) -> None:
        """Listen on *port*, or any."""
        self._server = await asyncio.start_server(self._serve, self._listen, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Die at once, with all connections."""
        assert self._server is not None, "was not started"
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        answer = f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Version: {self.version}\r\n\r\nok".encode()
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                arrived = time.perf_counter()
                headers = _headers(head)
                await reader.readexactly(int(headers.get("content-length", "0")))
                self.arrivals.append(Arrival(arrived, headers))
                if self._service_seconds:
                    await asyncio.sleep(self._service_seconds)
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


@dataclass
class Answer:
    """One request as its customer saw it; *version* is empty when it failed."""

    user: str
    sent_at: float
    version: str
    failure: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    answered_at: float = 0.0
    method: str = "GET"


class Customer:
    """One keep-alive connection of one user, as a browser has it: a request is sent once, or fails."""

    host = "127.0.0.1"

    def __init__(self, port: int, user: str | None, extra: dict[str, str] | None = None, path: str = "/shop") -> None:
        self._port = port
        self._user = user
        self._extra = extra or {}
        self._path = path
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str = "GET") -> Answer:
        """Send one request and read its answer."""
        sent_at = 0.0
        try:
            reader, writer = await self._connection()
            sent_at = time.perf_counter()
            writer.write(self._request(method))
            head = await reader.readuntil(b"\r\n\r\n")
            headers = _headers(head)
            await reader.readexactly(int(headers.get("content-length", "0")))
        except (asyncio.IncompleteReadError, OSError) as error:
            self.close()
            return Answer(self._user or "", sent_at, "", f"{type(error).__name__}: {error}", method=method)
        if headers.get("connection") == "close":
            self.close()
        status = head.split(b" ", 2)[1].decode()
        failure = "" if status == "200" else f"status {status}"
        version, answered_at = headers.get("x-version", ""), time.perf_counter()
        return Answer(self._user or "", sent_at, version, failure, headers, answered_at, method)

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and self._streams[0].at_eof():
            self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.host, self._port)
        return self._streams

    def _request(self, method: str) -> bytes:
        body = b"a=1&b=2" if method == "POST" else b""
        lines = [
            f"{method} {self._path} HTTP/1.1",
            "Host: shop",
            *(f"{name}: {text}" for name, text in self._extra.items()),
        ]
        if self._user is not None:
            lines.append(f"Cookie: theme=dark; user_id={self._user}")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@contextlib.asynccontextmanager
async def load(
    port: int,
    users: list[str],
    pause_seconds: float = 0.02,
    warm_up_requests: int = 1,
    customer_of: Callable[[int, str], Customer] = Customer,
) -> AsyncIterator[list[Answer]]:
    """Keep every user asking, one request in five a POST; the answers grow in the list that is given."""
    answers: list[Answer] = []
    leaving = asyncio.Event()

    async def shop(number: int, customer: Customer) -> None:
        while not leaving.is_set():
            number += 1
            answers.append(await customer.ask("POST" if number % 5 == 0 else "GET"))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(leaving.wait(), pause_seconds)
        customer.close()

    async with asyncio.TaskGroup() as group:
        for number, user in enumerate(users):
            group.create_task(shop(number, customer_of(port, user)))
        try:
            await eventually(lambda: len(answers) >= warm_up_requests * len(users), "the first requests")
            yield answers
        finally:
            leaving.set()


class AddressCustomer(Customer):
    """A customer whom the router knows by the address that the connection comes from."""

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None and self._user is not None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(self._user, 0))
        return await super()._connection()


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip().lower(): text.strip() for name, _, text in pairs}
