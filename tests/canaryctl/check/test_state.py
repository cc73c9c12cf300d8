"""The places a rollout is remembered in."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
from sqlalchemy.engine import make_url

from canary.policy import Policy
from canary.rollout.journal.journal import Journal
from canaryctl.check import Status
from canaryctl.check.state import check_state
from tests.support.databases.postgres import Postgres

Write = Callable[[str], Policy]


async def test_looking_creates_no_journal(write_policy: Write, tmp_path: Path) -> None:
    """Before the receiver has run there is no file, and a check as another user must not make it."""
    findings = await check_state(write_policy(""))

    assert {finding.status for finding in findings} == {Status.OK, Status.SKIPPED}
    assert not (tmp_path / "state.db").exists()


async def test_a_probe_leaves_no_entry(write_policy: Write) -> None:
    """Writing is tried and taken back."""
    policy = write_policy("state: {rollback_log: rollbacks.log}\n")
    async with Journal.open(policy):
        pass

    findings = await check_state(policy)
    async with Journal.open(policy) as journal:
        entries = await journal.entries()

    assert "the journal can be written, 0 entries" in findings[0].what
    assert entries == []


async def test_a_journal_that_is_none_is_a_failure(write_policy: Write, tmp_path: Path) -> None:
    """A file that SQLite cannot write to is reported with a remedy."""
    (tmp_path / "state.db").write_text("this is no database, but a long enough text to be read as one" * 100)

    findings = await check_state(write_policy(""))

    assert findings[0].status is Status.FAILED
    assert "file is not a database" in findings[0].what


async def test_postgresql_keeps_the_journal_of_several_receivers(write_policy: Write, postgres: Postgres) -> None:
    """The probe works on a real PostgreSQL, and an unreachable one is a failure."""
    there = await check_state(write_policy(f"state: {{url: '{postgres.new_database()}'}}\n"))
    gone = await check_state(write_policy("state: {url: 'postgresql://shop:hunter2@127.0.0.1:1/state'}\n"))

    assert there[0].status is Status.OK
    assert gone[0].status is Status.FAILED
    assert "hunter2" not in str(gone[0])


async def test_a_server_with_too_few_connections_is_found(write_policy: Write, postgres: Postgres) -> None:
    """A service without a connection leads nothing: it is told before, for all who keep a journal there."""
    url = postgres.new_database()
    policy = write_policy(f"state: {{url: '{url}'}}\n")

    async def crowded(limit: int) -> str:
        postgres.execute(url, f'ALTER DATABASE "{make_url(url).database}" CONNECTION LIMIT {limit}')
        return "".join(one.what for one in await check_state(policy) if one.status is Status.WARNING)

    assert await crowded(6) == ""
    async with AsyncExitStack() as stack:
        for _ in range(3):
            held = await asyncpg.connect(url.replace("+asyncpg", ""))
            stack.push_async_callback(held.close)
        assert await crowded(6) == "2 of 6 connections are free, expected 3 for each service"
    each = "3 for each service in each of 2 receivers"
    assert await crowded(5) == f"found 5 connections, expected 6 ({each}, services: 1)"
    entry = "INSERT INTO canary_journal (service, previous, rollout, kind, at, actor, reason, data) VALUES"
    postgres.execute(url, f"{entry} ('books/experiments', 0, '', '', '', '', '', '')")
    assert await crowded(6) == f"found 6 connections, expected 12 ({each}, services: 2)"
