"""What a router says over HTTP, or prints, as JSON; whatever else it says is a fault of the answer's, told in a line.

A router's answer decides whether customers are believed to be off the canary, so whoever reads one knows three
outcomes: there was no answer, it was not what was expected, or it is this. An address may lead to anything, though: to
a download without end, to `[[[[…`, to a list where an object was meant. So a body is read up to a bound and never
unpacked (a small answer may be any size then); it is parsed by pydantic's parser, which stops at 200 levels where
Python's own ends in a RecursionError, or goes on to what the code behind it cannot walk; and what comes of looking for
something in an answer of another shape has one name, `ODD`.
"""

from typing import Any, Final

import aiohttp
from pydantic_core import from_json

IDENTITY: Final = {"Accept-Encoding": "identity"}
"""Headers of every question: the answer is not to be packed."""

ODD: Final = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError)
"""What comes of looking for something in an answer of another shape."""

# Envoy's whole configuration, the longest of these answers, has some hundred kilobytes.
_MOST_BYTES: Final = 16 * 1024**2

_CHUNK_BYTES: Final = 64 * 1024


async def body_of(answer: aiohttp.ClientResponse, most_bytes: int = _MOST_BYTES) -> bytes:
    """All that was answered.

    Raises:
        ValueError: it is longer than *most_bytes*.
        aiohttp.ClientError: it ended too early.
    """
    body = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > most_bytes:
            raise ValueError(f"the answer is larger than {most_bytes // 1024} KiB")
    return bytes(body)


def json_of(text: bytes | str) -> Any:
    """What JSON says; `NaN` and its like are none.

    Raises:
        ValueError: it is no JSON, or nested deeper than any router's.
    """
    return from_json(text, allow_inf_nan=False)
