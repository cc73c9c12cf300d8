"""Bodies become models, or a sentence that says where, what was expected and what was found."""

import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from canary.errors import PayloadError
from canary.web.routes.bodies import Body, MalformedError, read_body, shown, unpacked
from canary.web.routes.table import FORM, Call, Refusal, Route


class Note(Body):
    """A body."""

    reason: Annotated[str, Field(min_length=1, max_length=5)]
    force: bool = False
    size: Literal["s", "l"] = "s"
    seen: str | None = Field(None, pattern="^[a-z]+$")


async def _handler(_call: Call) -> None:
    raise AssertionError


ROUTE = Route(method="POST", path="/note", handler=_handler, body=Note)  # type: ignore[arg-type]  # never called
FORM_ROUTE = replace(ROUTE, types=(FORM,))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"reason": 1}', "reason: expected a text, found 1"),
        ('{"reason": null}', "reason: expected a text, found None"),
        ("{}", "reason: is required"),
        ('{"reason": ""}', "reason: expected a text, found ''"),
        ('{"reason": "123456"}', "reason: expected at most 5 characters, found 6"),
        ('{"reason": "\\ud800"}', "reason: expected a text in Unicode, found '\\ud800'"),
        ('{"reason": "x", "force": 1}', "force: expected true or false, found 1"),
        ('{"reason": "x", "size": "xl"}', "size: expected input should be 's' or 'l', found 'xl'"),
        ('{"reason": "x", "seen": "A"}', "seen: expected a text that matches ^[a-z]+$, found 'A'"),
        ('{"reason": "x", "forse": true}', "forse: unknown key; known are reason, force, size, seen"),
        ('{"reason": 1, "force": 1}', "reason: expected a text, found 1; force: expected true or false, found 1"),
        ("[]", "body: expected a JSON object, found []"),
    ],
)
def test_a_fault_says_where_what_was_expected_and_what_was_found(text: str, fault: str) -> None:
    """One sentence each, all of them at once."""
    with pytest.raises(PayloadError) as caught:
        read_body(ROUTE, text.encode())

    assert str(caught.value) == fault


_PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
}


@given(st.binary(max_size=2000), st.sampled_from(sorted(_PACK)), st.integers(0, 2000))
def test_a_packed_body_is_what_was_packed_or_too_large(data: bytes, packing: str, most: int) -> None:
    """Whatever it holds, and never more of it than is allowed."""
    if len(data) > most:
        with pytest.raises(Refusal, match=f"expected at most {most} bytes, found more"):
            unpacked(_PACK[packing](data), packing, most)
    else:
        assert unpacked(_PACK[packing](data), packing, most) == data


def test_deflate_without_its_head_is_known() -> None:
    """Some clients leave it out."""
    assert unpacked(zlib.compress(b"a text")[2:-4], "deflate", 100) == b"a text"


_GZIPPED = gzip.compress(b"a text", mtime=0)


@pytest.mark.parametrize(
    ("data", "packing"),
    [
        (b"", "gzip"),
        (b"garbage", "deflate"),
        (_GZIPPED[:-1], "gzip"),
        (_GZIPPED * 2, "gzip"),
        (zlib.compress(b"a text") + b"x", "deflate"),
        (b"a text", "br"),
        (b"a text", "gzip, gzip"),
    ],
)
def test_what_is_packed_otherwise_is_malformed(data: bytes, packing: str) -> None:
    """Cut short, with something after it, or in a way that is not known."""
    with pytest.raises(MalformedError):
        unpacked(data, packing, 100)


@pytest.mark.parametrize("body", [b"not json", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_said_so(body: bytes) -> None:
    """A body that is not even JSON is told apart from one that does not fit."""
    with pytest.raises(MalformedError, match="body: expected JSON"):
        read_body(ROUTE, body)


@pytest.mark.parametrize(
    ("body", "reason"), [(b"reason=a+b&size=l", "a b"), (b"reason=%C3%A4&reason=x", "ä"), (b"size=l&reason=+", " ")]
)
def test_a_form_is_a_body_too(body: bytes, reason: str) -> None:
    """Its fields are checked by the same model; of several with one name the first counts."""
    assert read_body(FORM_ROUTE, body).reason == reason


@pytest.mark.parametrize("body", [b"reason=\xff", b"reason=%ff", b"&".join([b"a=1"] * 100)])
def test_what_is_no_form_is_refused(body: bytes) -> None:
    """What is not UTF-8, or has more fields than any form of ours, is no form."""
    with pytest.raises(MalformedError, match="expected a form's fields"):
        read_body(FORM_ROUTE, body)


@given(body=st.binary(max_size=100) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
).map(lambda data: json.dumps(data).encode()), route=st.sampled_from([ROUTE, FORM_ROUTE]))  # fmt: skip
def test_every_body_is_a_model_or_a_fault(body: bytes, route: Route) -> None:
    """Nothing else comes out, and the fault fits into one line of an answer."""
    try:
        outcome: object = read_body(route, body)
    except PayloadError as error:
        outcome = str(error)

    assert isinstance(outcome, Note) or (isinstance(outcome, str) and outcome.isprintable())


@given(st.text() | st.binary() | st.integers() | st.lists(st.text()))
def test_a_quoted_value_is_short_and_plain(value: object) -> None:
    """Whatever a stranger sends, an answer and a log line show little of it, and only printable ASCII."""
    text = shown(value)

    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= 43
