"""`canary report` as a person and as a script use it."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from canary.errors import RefusedError
from canary.policy import load_policy
from canary.rollout.journal.journal import Journal
from canary.rollout.kinds import Kind
from canaryctl.cli.rollout.report import command
from tests.support.entries import entry as entry_of

START = datetime(2026, 3, 3, 12, tzinfo=UTC)


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    """A policy whose journal has two rollouts, and whose Prometheus is down."""
    path = tmp_path / "canary.yaml"
    path.write_text("service: shop\nreceiver: {prometheus: 'http://127.0.0.1:1'}\n", encoding="utf-8")

    async def fill() -> None:
        data = {"stable": "v1", "canary": "v2", "traffic": [0.5, 1.0], "durations_seconds": [60, 60]}
        async with Journal.open(load_policy(path)) as journal:
            for number, rollout in enumerate(("first", "second")):
                at = START + timedelta(hours=number)
                newest = await journal.position()
                written = await journal.append(entry_of(rollout, Kind.STARTED, at, "ada", "", data), after=newest)
                ended = entry_of(rollout, Kind.PROMOTED, at + timedelta(minutes=2), "ada")
                await journal.append(ended, after=written.seq)

    asyncio.run(fill())
    return path


def run(policy_file: Path, *options: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(command, ["--config.file", str(policy_file), *options])


def test_the_newest_rollout_is_reported_into_the_policys_folder(policy_file: Path) -> None:
    """Without options: all three formats, next to the policy, their paths printed."""
    result = run(policy_file)

    folder = policy_file.parent / "reports"
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.iterdir()) == ["second.html", "second.json", "second.md"]
    assert f"Wrote {folder / 'second.html'}" in result.output


def test_one_rollout_can_be_printed(policy_file: Path) -> None:
    """`--output -` prints one format of the rollout that is named, and writes nothing."""
    result = run(policy_file, "--rollout", "first", "--format", "json", "--output", "-")

    assert json.loads(result.output)["rollout"] == "first"
    assert not (policy_file.parent / "reports").exists()


def test_an_unknown_rollout_is_refused(policy_file: Path) -> None:
    """The message names it; the exit status of a refusal is 3."""
    result = run(policy_file, "--rollout", "third")

    assert isinstance(result.exception, RefusedError)
    assert "there is no rollout third" in str(result.exception)
    assert result.exception.exit_status == 3
