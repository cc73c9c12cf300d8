"""The follower behind real routers, and on stores that come and go."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from canary.policy.database.requestlog import RequestLog
from canary.policy.model import Policy
from canary.policy.release import Upstreams
from canary.policy.routers.sections import HaproxyRouter
from canary.policy.routers.slots import Slots
from canary.rollout.journal.journal import Journal
from canary.routers import Split
from canary.testing.clock import FakeClock
from canary.web.options import WebOptions
from exporter.follow.service import Follower
from tests.support.databases.exporting import policy_for
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.nginx import Nginx
from tests.support.programs.ports import free_port
from tests.support.programs.processes import eventually
from tests.support.receiving.entries import started
from tests.support.web.traffic import Customer, Upstream

_AT = float(round(time.time()))
"""Lines that are older than `keep` would be deleted at once."""


def _policy(folder: Path, log: RequestLog, router: Any = None) -> Policy:
    policy = policy_for("sqlite:///shop.db", folder, log=log)
    chosen = router or HaproxyRouter(kind="haproxy", upstreams=Upstreams(stable=("127.0.0.1:1",)))
    return replace(policy, router=(chosen,), state=replace(policy.state, url="sqlite:///state.db"))


@asynccontextmanager
async def _following(policy: Policy) -> AsyncIterator[Follower]:
    follower = Follower(policy, WebOptions())
    async with follower.following():
        yield follower


def _rows(folder: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "requests.db")) as connection:
        return connection.execute(statement).fetchall()


def _value(follower: Follower, name: str, **labels: str) -> float:
    return follower.web.registry.get_sample_value(name, {"service": "shop", **labels}) or 0.0


def _line(user: str, at: float = _AT, **changes: str) -> str:
    line = {"ended": f"{at}", "took": "0", "user": user, "side": "stable", "server": "127.0.0.1:1", "status": "200"}
    return json.dumps({**line, "path": "/cart", "agent": "", **changes}) + "\n"


async def _visited(port: int) -> dict[str, str]:
    """Thirty customers with odd paths and user agents, a tester and a robot: who was answered by which version."""
    answers = {}
    for number in range(30):
        agent = {"User-Agent": 'a"b\\c{"user":"forged"} \x7f\xff' if number % 2 else "x" * 3000}
        customer = Customer(port, f"u{number}", agent, path=f'/cart"{number}\\?q={{}}')
        answers[f"u{number}"] = (await customer.ask()).version
        customer.close()
    for unit, headers in (("tester", {"X-Team": "inside-1"}), (None, {"User-Agent": "Googlebot"})):
        customer = Customer(port, unit, headers)
        version = (await customer.ask()).version
        answers |= {unit: version} if unit is not None else {}
        customer.close()
    return answers


def _front(kind: str, folder: Path, stable: Upstream, canary: Upstream, *, slots: bool) -> tuple[Any, RequestLog]:
    """A router that logs, and where its log comes in; with slots, b is the stable one."""
    changes: dict[str, Any] = {"slots": Slots(a=(canary.address,), b=(stable.address,))} if slots else {}
    if kind == "haproxy":
        socket = str(folder / "log.sock")
        front = HAProxy(folder / "front", stable.address, canary.address, log=socket, **changes)
        return front, RequestLog(socket=socket)
    path = str(folder / "access.log")
    return Nginx(folder / "front", stable.address, canary.address, log=path, **changes), RequestLog(file=path)


@pytest.mark.parametrize("slots", [False, True], ids=["roles", "slots"])
@pytest.mark.parametrize("kind", ["haproxy", "nginx"])
async def test_behind_a_real_router(kind: str, slots: bool, tmp_path: Path) -> None:
    """Each customer is kept with the version that answered them, whatever they send; testers are marked, and make no
    visit; crawlers that keep no cookie are not kept.

    With slots, b is stable already, and the canary in a.
    """
    stable, canary = Upstream("v1"), Upstream("v2")
    await stable.start()
    await canary.start()
    front, log = _front(kind, tmp_path, stable, canary, slots=slots)
    policy = _policy(tmp_path, log, front.section)
    async with Journal.open(policy) as journal:
        entry = started("r1", FakeClock().now(), stable="v1", canary="v2")
        await journal.append(replace(entry, stable_slot="b" if slots else None))
        rollout = await journal.current()
    assert rollout is not None
    try:
        async with _following(policy) as follower:
            await front.start()
            await front.router.set_weight(Split("r1", 0.5, stable_slot="b" if slots else None))
            answers = await _visited(front.port)
            lines = 32 + (kind == "haproxy")
            await eventually(lambda: _value(follower, "canary_log_lines_total") == lines, "all lines")
            assert dict(_rows(tmp_path, "SELECT unit, version FROM canary_assignments")) == answers
            assert set(answers.values()) == {"v1", "v2"}
            assert _rows(tmp_path, "SELECT unit FROM canary_assignments WHERE left_out") == [("tester",)]
            assert _rows(tmp_path, "SELECT count(*), sum(requests) FROM canary_visits") == [(30, 30)]
            # HAProxy logs besides that its frontend has started.
            assert _value(follower, "canary_log_garbage_lines_total") == (kind == "haproxy")
            assert _value(follower, "canary_log_crawler_requests_total") == 1
            assert 'version="v2"' in generate_latest(follower.web.registry).decode()
    finally:
        front.stop()
        await stable.stop()
        await canary.stop()


async def test_a_restart_neither_loses_nor_doubles(tmp_path: Path) -> None:
    """What was written while the follower was away is read, through a rotation, and nothing twice."""
    log = tmp_path / "access.log"
    policy = _policy(tmp_path, RequestLog(file="access.log"))
    log.write_text(_line("a") + _line("b"))
    async with _following(policy) as follower:
        await eventually(lambda: _value(follower, "canary_log_lines_total") == 2, "the first two lines")
    with log.open("a") as file:
        file.write(_line("a", _AT + 10))
    log.rename(tmp_path / "access.log.1")
    log.write_text("\x00 garbage\n" + _line("c"))
    async with _following(policy) as follower:
        await eventually(lambda: _value(follower, "canary_log_lines_total") == 3, "what came meanwhile")
    visits = "SELECT unit, requests, repeated_at - started_at FROM canary_visits ORDER BY unit"
    assert _rows(tmp_path, visits) == [("a", 2, 10.0), ("b", 1, None), ("c", 1, None)]
    assert _value(follower, "canary_log_garbage_lines_total") == 1


async def test_a_router_whose_clock_was_wrong_holds_nobody_where_they_were(tmp_path: Path) -> None:
    """A line of next year is of now: its customer moves on with the next request, of a clock that was set right."""
    policy, log = _policy(tmp_path, RequestLog(file="access.log")), tmp_path / "access.log"
    async with Journal.open(policy) as journal:
        await journal.append(started("r1", FakeClock().now(), stable="v1", canary="v2"))
    async with _following(policy) as follower:
        log.write_text(_line("ann", time.time() + 366 * 86400))
        await eventually(lambda: _value(follower, "canary_log_lines_total") == 1, "a line")
        with log.open("a") as file:
            file.write(_line("ann", time.time() + 1, side="canary", server="127.0.0.1:2"))
        await eventually(lambda: _value(follower, "canary_log_lines_total") == 2, "another")

    assert _rows(tmp_path, "SELECT version FROM canary_assignments ORDER BY id") == [("v1",), ("v2",)]
    assert _rows(tmp_path, "SELECT max(last_at) < strftime('%s', 'now') + 60 FROM canary_visits") == [(1,)]


async def test_without_a_rollout_the_version_comes_later(tmp_path: Path) -> None:
    """Before the first rollout versions are unknown; when it begins, they are what it calls stable."""
    log = tmp_path / "access.log"
    policy = _policy(tmp_path, RequestLog(file="access.log", hashed=True))
    log.write_text(_line("a"))
    async with _following(policy) as follower:
        await eventually(lambda: _value(follower, "canary_log_lines_total") == 1, "the first line")
        versions = "SELECT version, length(unit) FROM canary_visits ORDER BY id"
        assert _rows(tmp_path, versions) == [(None, 64)]
        async with Journal.open(policy) as journal:
            await journal.append(started("r1", FakeClock().now()))
            rollout = await journal.current()
        with log.open("a") as file:
            file.write(_line("b", _AT + 3600))
        await eventually(lambda: _value(follower, "canary_log_lines_total") == 2, "the second line")
        assert rollout is not None
        assert _rows(tmp_path, versions) == [(rollout.stable, 64)] * 2


async def test_datagrams_wait_for_the_store(tmp_path: Path, postgres_url: str) -> None:
    """UDP on IPv6, kept in PostgreSQL; garbage among it ends nothing, and rows beyond the bound go."""
    port = free_port()
    url = postgres_url.replace("+asyncpg", "")
    policy = _policy(tmp_path, RequestLog(udp=f"[::1]:{port}", url=url))
    async with _following(policy) as follower:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("::1", port))
        for text in (_line("2001:db8::1"), "\x00\xff", "{" * 5000, _line("b")):
            transport.sendto(text.encode())
        await eventually(lambda: _value(follower, "canary_log_lines_total") == 4, "the datagrams")
        transport.close()
        assert _value(follower, "canary_log_garbage_lines_total") == 2
        customers = await follower.store.customers(["2001:db8::1", "b", "nobody"])
        assert {unit for unit, one in customers.items() if one.visit is not None} == {"2001:db8::1", "b"}
        await follower.store.prune(0.0, 1)
        assert set(await follower.store.customers(["2001:db8::1", "b"])) == {"b"}
