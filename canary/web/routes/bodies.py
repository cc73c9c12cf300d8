"""Request bodies: read whole, unpacked within a limit, and made into the route's model with errors in plain words.

Bodies are unpacked here, for callers who may send one, and never beyond the limit. aiohttp's own unpacking was tried:
it begins before anybody has asked who is calling, and goes on over what is thrown away, in one go. A megabyte from a
stranger, which unpacks to a gigabyte, kept everything else waiting for ten seconds, a rollback included.

A body is read to its end or not at all. Reading *at most n* bytes was tried: it gives what one segment happened to
bring, and a form that came in two lost its second half, with the session's key or the end of the reason in it.
"""

import json
import zlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from canary.errors import PayloadError
from canary.web.routes.table import FORM, Refusal, Route

# Longer values are shortened where an error quotes them: the answer is for people, and may be logged.
_SHOWN_CHARACTERS = 40

# The page's largest form has six fields.
_MOST_FIELDS = 50


# How zlib is to read what a `Content-Encoding` names: with the head of gzip, or of deflate.
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}

# By pydantic's kind of fault; its own sentences speak of Python's types.
_EXPECTED = {
    "string_type": "a text",
    "bool_type": "true or false",
    "dict_type": "a JSON object",
    "model_type": "a JSON object",
    "string_unicode": "a text in Unicode",
    "string_too_short": "a text",
}


class Body(BaseModel):
    """What a request may hold: exactly the keys that are named, each of exactly its type."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class MalformedError(PayloadError):
    """A body is not even of its format: no JSON, no form, not what its content encoding says."""


async def read_bytes(request: web.Request, most: int) -> bytes:
    """The whole body, unpacked.

    Raises:
        Refusal: it is larger than *most*.
        MalformedError: it is not whole, or not packed as `Content-Encoding` says.
    """
    if (request.content_length or 0) > most:
        raise _too_large(most)
    content = request.content
    pieces: list[bytes] = []
    size = 0
    try:
        while not content.at_eof():
            pieces.append(await content.readany())
            size += len(pieces[-1])
            if size > most:
                raise _too_large(most)
    except (web.RequestPayloadError, HttpProcessingError) as error:
        raise MalformedError("expected a body that is whole, found less", place="body") from error
    data = b"".join(pieces)  # a single piece, the usual case, is not copied
    packing = request.headers.get("Content-Encoding", "identity")
    return data if packing == "identity" else unpacked(data, packing, most)


def unpacked(data: bytes, packing: str, most: int) -> bytes:
    """A body as it was before it was packed.

    Args:
        packing: what `Content-Encoding` says.

    Raises:
        Refusal: it is larger than *most*.
        MalformedError: it is not packed so, or in a way that is not known.
    """
    windows = _WINDOWS.get(packing)
    if windows is None:
        raise MalformedError(f"expected one of gzip and deflate, found {packing[:40]!a}", place="Content-Encoding")
    # Some clients leave the head of a `deflate` body out, whose lower four bits are 8.
    unpacker = zlib.decompressobj(-windows if packing == "deflate" and data[:1] and data[0] & 0xF != 8 else windows)
    try:
        text = unpacker.decompress(data, most + 1)
    except zlib.error as error:
        raise MalformedError(f"expected it packed by Content-Encoding {packing!a}", place="body") from error
    if len(text) > most:
        raise _too_large(most)
    if not unpacker.eof or unpacker.unused_data:
        raise MalformedError(f"expected one whole body packed by Content-Encoding {packing!a}", place="body")
    return text


def _too_large(most: int) -> Refusal:
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {most} bytes, found more", place="body")


def read_body(route: Route, body: bytes) -> Any:
    """The body as the route's handler wants it.

    Raises:
        PayloadError: it is not what the route takes.
    """
    if route.read is not None:
        return route.read(body)
    assert route.body is not None
    return validated(route.body, _form(body)) if FORM in route.types else _from_json(route.body, body)


def validated(model: type[BaseModel], data: object) -> BaseModel:
    """Data as a model.

    Raises:
        PayloadError: it does not fit; every fault is named.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        known = ", ".join(field.alias or name for name, field in model.model_fields.items())
        faults = [_sentence(detail, known) for detail in error.errors(include_url=False)]
        raise PayloadError("; ".join(faults)) from None


def _from_json(model: type[BaseModel], body: bytes) -> BaseModel:
    """JSON as a model: pydantic parses and checks in one go, in half the time that doing one after the other takes.

    Its parser does not tell what is no JSON from a text that is no Unicode, so what it refuses is read again by
    Python's.
    """
    text = body or b"{}"
    try:
        return model.model_validate_json(text)
    except ValidationError:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise MalformedError("expected JSON, found something else", place="body") from error
        return validated(model, data)


def _form(body: bytes) -> Mapping[str, str]:
    """A form's fields; the first of several with one name."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise MalformedError("expected a form's fields, found something else", place="body") from error
    return dict(reversed(pairs))


def _sentence(detail: ErrorDetails, known: str) -> str:
    """One fault: where, what was expected, what was found."""
    where = ".".join(_part(part) for part in detail["loc"]) or "body"
    found, limits = detail["input"], detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return f"{where}: is required"
        case "extra_forbidden":
            return f"{where}: unknown key; known are {known or 'none'}"
        case "string_too_long":
            return f"{where}: expected at most {limits['max_length']} characters, found {len(found)}"
        case "string_pattern_mismatch":
            return f"{where}: expected a text that matches {limits['pattern']}, found {shown(found)}"
        case kind:
            expected = _EXPECTED.get(kind) or f"{detail['msg'][:1].lower()}{detail['msg'][1:]}"
            return f"{where}: expected {expected}, found {shown(found)}"


def _part(part: str | int) -> str:
    return str(part) if isinstance(part, int) else ascii(part[:_SHOWN_CHARACTERS])[1:-1]


def shown(value: object) -> str:
    """A value as an error quotes it: in ASCII, and short."""
    text = ascii(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
