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
from tests.support.receiving.entries import entry as entry_of

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


def test_all_lists_what_each_release_came_to(policy_file: Path) -> None:
    """One line per report, oldest first; another service's report is left out, a damaged one is told."""
    run(policy_file, "--rollout", "second")
    run(policy_file, "--rollout", "first")
    folder = policy_file.parent / "reports"
    written = json.loads((folder / "first.json").read_text(encoding="utf-8"))
    written["kpis"]["conversion_rate"] = {"verdict": "fail", "harmed_units_estimated": 12.4}
    written["money"] = [
        {"currency": "EUR", "turnover": 10.0, "lost": {"expected": 7.5, "lower": 1, "upper": 9}, "more": 1}
    ]
    (folder / "first.json").write_text(json.dumps(written), encoding="utf-8")
    (folder / "other.json").write_text(json.dumps(written | {"service": "other"}), encoding="utf-8")
    (folder / "third.json").write_text('{"service": "shop", "kpis": [[[', encoding="utf-8")
    (folder / "fourth.json").write_bytes(b"\xff\x00")
    result = run(policy_file, "--all")

    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == [
        f"{folder / name}: not a whole report; left out" for name in ("fourth.json", "third.json")
    ]
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["rollout", "first", "second"]
    assert "conversion rate (12 harmed)" in lines[1]
    assert "+7.50 EUR (+1.00 to +9.00)" in lines[1]
    assert str(folder / "first.html") in lines[1]


def test_all_without_a_report_says_so(policy_file: Path) -> None:
    """The folder is named; asked for one rollout too, it is a contradiction."""
    assert "No reports in" in run(policy_file, "--all").output
    assert run(policy_file, "--all", "--rollout", "first").exit_code == 2


def test_all_says_what_the_releases_add_up_to(policy_file: Path) -> None:
    """Two releases that all customers have got, and each cost 3 %, are together 5.9 %."""
    run(policy_file, "--rollout", "first")
    folder = policy_file.parent / "reports"
    written = json.loads((folder / "first.json").read_text(encoding="utf-8"))
    ends = {"relative_change": -0.03, "relative_change_lower": -0.04, "relative_change_upper": -0.02}
    written["kpis"] = {"conversion_rate": {name: [[0, end]] for name, end in ends.items()}}
    for rollout in ("one", "two"):
        text = json.dumps(written | {"rollout": rollout, "state": "promoted"})
        (folder / f"{rollout}.json").write_text(text, encoding="utf-8")

    assert run(policy_file, "--all").output.splitlines()[-1].strip() == (
        "conversion rate -5.9% (-7.3% to -4.5%, releases with a band: 2, budget -10%)"
    )
