"""The journal's care: every row looked at, copied with its position, moved while nobody decides."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from alertmanager.receiver.lead.leader import leader_of
from canary.errors import JournalError, RefusedError
from canary.policy.model import Policy, State
from canary.rollout.entries import Entry, RollbackDecided
from canary.rollout.experiments import CHAIN, ExperimentStarted
from canary.rollout.journal.journal import Journal
from canary.timing.clock import SystemClock
from canaryctl.cli.state import command
from tests.support.databases.postgres import Postgres
from tests.support.programs.processes import eventually
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def policy(request: pytest.FixtureRequest, tmp_path: Path) -> Policy:
    """A policy with a journal of a rollout that was rolled back, and of an experiment."""
    url = "sqlite:///state.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
    (tmp_path / "canary.yaml").write_text(yaml.safe_dump({"service": "shop", "state": {"url": url}}))
    made = Policy(service="shop", state=State(url=url), base=str(tmp_path))
    asyncio.run(filled(made))
    return made


async def filled(policy: Policy) -> None:
    """Write some entries into both chains."""
    async with Journal.open(policy) as journal, Journal.open(policy, CHAIN) as experiments:
        await journal.append(started("r1", NOON))
        await experiments.append(ExperimentStarted(rollout="colour", at=NOON, actor="ann", weights={"a": 1, "b": 1}))
        await journal.append(RollbackDecided(rollout="r1", at=NOON, actor="ann", reason="bad", cause="manual"))


def entries(policy: Policy, url: str) -> list[Entry]:
    """What a journal at another place says."""

    async def read() -> list[Entry]:
        async with Journal.open(Policy(service="shop", state=State(url=url), base=policy.base)) as journal:
            # A copy goes on where the original was.
            await journal.append(started("r2", NOON), after=3)
            return list(await journal.entries())

    return asyncio.run(read())


def run(policy: Policy, *arguments: str) -> Result:
    """The command with this policy."""
    subcommand, *others = arguments
    line = [subcommand, "--config.file", str(Path(policy.base) / "canary.yaml"), *others]
    return CliRunner().invoke(command, line)


def damage(policy: Policy, statement: str) -> None:
    """Change the table behind the journal's back."""

    async def change() -> None:
        async with Journal.open(policy) as journal, journal._engine.begin() as connection:
            await connection.exec_driver_sql(statement)

    asyncio.run(change())


def test_a_whole_journal_is_said_to_be_whole(policy: Policy) -> None:
    """All rows, of both chains."""
    result = run(policy, "verify")
    assert (result.exit_code, result.output) == (0, "3 rows, 0 faults\n")


def test_damage_is_shown_with_its_row(policy: Policy) -> None:
    """A row that is not understood, and one that is missing; the exit status is for scripts."""
    damage(policy, "update canary_journal set data = '{' where seq = 2")
    damage(policy, "delete from canary_journal where seq = 1")

    result = run(policy, "verify")

    assert result.exit_code == 1
    assert "row 2: 'experiment_started' is not understood (no JSON object)" in result.output
    assert "row 3: follows row 1, which is missing" in result.output


def test_a_backup_is_a_journal(policy: Policy, tmp_path: Path) -> None:
    """It can be named as `state.url`, has every position, and is not for everybody's eyes."""
    result = run(policy, "backup", str(tmp_path / "copy.db"))

    assert result.exit_code == 0, result.output
    assert [entry.seq for entry in entries(policy, "sqlite:///copy.db")] == [1, 3, 4]
    assert (tmp_path / "copy.db").stat().st_mode & 0o007 == 0
    assert run(policy, "backup", str(tmp_path / "copy.db")).exit_code != 0


def test_a_journal_moves_to_postgresql(policy: Policy, postgres: Postgres) -> None:
    """Every row keeps its position there, and the next one gets the next; a place that has one is refused."""
    url = postgres.new_database()

    assert run(policy, "move", "--to", url).exit_code == 0
    assert [entry.seq for entry in entries(policy, url)] == [1, 3, 4]
    again = run(policy, "move", "--to", url)
    assert isinstance(again.exception, RefusedError)
    assert "has entries of shop already" in str(again.exception)


def test_nothing_is_moved_while_a_receiver_decides(policy: Policy, postgres: Postgres) -> None:
    """Its next decision would be missing from the copy."""

    async def leading() -> Result:
        leader = leader_of(policy, SystemClock())
        running = asyncio.create_task(leader.run())
        await eventually(lambda: leader.leading, "it leads")
        result = await asyncio.to_thread(run, policy, "move", "--to", postgres.new_database())
        running.cancel()
        await leader.close()
        return result

    assert isinstance(asyncio.run(leading()).exception, RefusedError)


def test_a_missing_journal_is_not_made(tmp_path: Path) -> None:
    """A wrong path is said, and leaves no empty file behind."""
    (tmp_path / "canary.yaml").write_text("service: shop\n")
    policy = Policy(service="shop", base=str(tmp_path))

    assert isinstance(run(policy, "verify").exception, JournalError)
    assert not (tmp_path / "state.db").exists()
