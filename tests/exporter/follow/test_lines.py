"""Lines of the router's log, as routers and strangers write them."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.follow.lines import OTHER, Endpoints, Garbage, Group, Request, read_line

_SERVERS: dict[str, Group] = {"10.0.0.1:80": "stable", "10.0.0.3:80": "a", "10.0.0.4:80": "b"}


def _haproxy(**changes: str) -> bytes:
    line = {
        "at_ms": "1700000000123", "took_ms": "12", "user": "u-1", "side": "canary", "server": "canary1",
        "status": "200", "path": "/checkout/42", "agent": "Mozilla/5.0",
    }  # fmt: skip
    return json.dumps({**line, **changes}).encode()


def _nginx(**changes: str) -> bytes:
    line = {
        "ended": "1700000000.135", "took": "0.012", "user": "u-1", "side": "canary", "server": "10.0.0.2:80",
        "status": "200", "path": "/", "agent": "",
    }  # fmt: skip
    return json.dumps({**line, **changes}).encode()


def test_both_routers_say_the_same() -> None:
    """Time of arrival, customer, side, status and duration, whatever syslog puts before the line."""
    for line in (b"<134>Nov 28 12:00:00 lb haproxy[1]: " + _haproxy(), _nginx()):
        request = read_line(line, _SERVERS)
        assert request.at == pytest.approx(1700000000.123)
        assert (request.user, request.group, request.status) == ("u-1", "canary", 200)
        assert request.took_seconds == pytest.approx(0.012)


@pytest.mark.parametrize(
    ("line", "group"),
    [
        (_haproxy(server="stable1"), "stable"),
        (_haproxy(server="<NOSRV>"), None),
        (_haproxy(side="trial-b", server="trial-b12"), "b"),
        (_haproxy(side="trial-b", server="slot-a1"), "a"),
        (_nginx(server="10.0.0.2:80, 10.0.0.1:80"), "stable"),
        (_nginx(server="[2001:db8::2]:80"), "canary"),
        (_nginx(side="stable", server="10.0.0.9:80"), "stable"),
        (_nginx(side="trial-b", server="10.0.0.4:80, 10.0.0.3:80"), "a"),
        (_nginx(side="slot-b", server="10.0.0.9:80"), "b"),
        (_nginx(server="-"), None),
    ],
)
def test_the_server_that_answered_decides(line: bytes, group: Group | None) -> None:
    """A dead canary's customers are served by stable; where no server answered there is no side."""
    assert read_line(line, _SERVERS).group == group


def test_crawlers_and_nobody() -> None:
    """A known crawler is told apart, and who has no customer's mark, or one that is none, is nobody."""
    assert read_line(_haproxy(agent="Googlebot/2.1"), {}).robot
    assert not read_line(_haproxy(), {}).robot
    assert [read_line(_haproxy(tester=mark), {}).tester for mark in ("1", "-", "")] == [True, False, False]
    assert not read_line(_nginx(), {}).left_out
    assert [read_line(_haproxy(user=user), {}).user for user in ("", "-", "x" * 300)] == [None] * 3


@given(st.binary(max_size=300))
def test_garbage_ends_nothing(line: bytes) -> None:
    """Any bytes are a request or garbage, and nothing else."""
    for text in (line, b"{" + line, _haproxy()[:-1] + line):
        with contextlib.suppress(Garbage):
            assert isinstance(read_line(text, {}), Request)


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=50))
def test_what_a_client_sends_stays_what_it_is(agent: str, path: str, user: str) -> None:
    """No user agent, path or cookie forges another key."""
    request = read_line(_haproxy(agent=agent, path=path, user=user), {})
    assert (request.group, request.status, request.path) == ("canary", 200, path)


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000 + b"{",
        b'{"a":' * 5000,
        b"{" + b"x" * 100_000,
        _haproxy(at_ms="-"),
        _haproxy(took_ms="nan"),
        _haproxy(at_ms="1e999"),
        b'{"at_ms":1e999}',
        b"{}",
        json.dumps({"status": 200, "user": None}).encode(),
    ],
)
def test_what_is_no_line_is_garbage(line: bytes) -> None:
    """Nested, endless, without numbers, or of another program."""
    with pytest.raises(Garbage):
        read_line(line, {})


def test_endpoints_are_few() -> None:
    """Ids do not count as endpoints, scans of a shop neither, and beyond fifty all are `other`."""
    endpoints = Endpoints()
    assert endpoints.of(read_line(_haproxy(), {})) == "/checkout/:id"
    assert endpoints.of(read_line(_haproxy(path="/wp-login.php", status="404"), {})) == OTHER
    names = {
        endpoints.of(read_line(_haproxy(path=f"/{letter}{other}"), {})) for letter in "abcdefgh" for other in "xyzuvwst"
    }
    assert OTHER in names
    assert len(names) == 50
