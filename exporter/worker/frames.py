"""Messages between the exporter and its workers: a pickled object behind its length, on a socket that both hold.

Nobody else can reach that socket: it has no name, and both ends were made by this program.
"""

import asyncio
import pickle

_LENGTH_BYTES = 8


def frame(message: object) -> bytes:
    """A message as it goes over the socket."""
    body = pickle.dumps(message)
    return len(body).to_bytes(_LENGTH_BYTES) + body


async def next_message(reader: asyncio.StreamReader) -> object:
    """The next message.

    Raises:
        IncompleteReadError: the other side has ended.
        ConnectionError: the same.
    """
    length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES))
    return pickle.loads(await reader.readexactly(length))  # noqa: S301  # written by this program, on a nameless socket
