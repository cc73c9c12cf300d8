"""The pages on evidence, backtest and plan say what is true."""

import asyncio
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from canary.policy import load_policy
from canaryctl.cli import canary
from exporter.evidence.cohorts import AGE_GROWTH, COHORT_UNITS
from exporter.evidence.comparisons.mean import STRATUM_UNITS
from tests.support.databases.shopdata import ShopData, fill
from tests.support.documents.pages import DOCS, blocks_of


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page, of which there must be one at least."""
    found = [block.text for block in blocks_of(DOCS / page) if block.language == language]
    assert found, f"{page} has no {language} any more"
    return found


def test_python_examples_run() -> None:
    """Python examples run as they stand, assertions included."""
    for example in blocks("evidence-statistics.md", "python"):
        exec(compile(example, "evidence-statistics.md", "exec"), {})


@pytest.mark.parametrize(("page", "service"), [("evidence.md", "sastabazar"), ("your-kpis.md", "myshop")])
def test_policies_are_valid(page: str, service: str, tmp_path: Path) -> None:
    """Every policy that the page shows is accepted."""
    for example in blocks(page, "yaml"):
        path = tmp_path / "canary.yaml"
        path.write_text(example)

        assert load_policy(path).service == service


# Whatever else a command of a page asks for, it does it for the last hour of the shop below, and a few times only.
SMALL = {"calibrate.md": ["--until", "2026-03-01T23:30Z", "--days", "0.05", "--rollouts", "2", "--harmed", "2"]}


@pytest.mark.parametrize("page", ["backtest.md", "plan.md", "calibrate.md"])
async def test_commands_run(page: str, lite: ShopData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of a page succeeds on a small shop, with the files that the page shows."""
    await fill(lite, datetime(2026, 3, 1, 23, 20, tzinfo=UTC), 600)
    phases = "phases: [{traffic: 50%, duration: 1m}, {traffic: 100%, duration: 1m}]\n" if page in SMALL else ""
    (tmp_path / "canary.yaml").write_text(f"service: shop\ndatabase: {{url: 'sqlite:///shop.db'}}\n{phases}")
    if page == "backtest.md":
        [text] = blocks(page, "csv")
        (tmp_path / "rollouts.csv").write_text(text)
    monkeypatch.chdir(tmp_path)
    commands = [line for block in blocks(page, "sh") for line in block.splitlines()]

    for command in commands:
        program, *argv = shlex.split(command)
        result = await asyncio.to_thread(CliRunner().invoke, canary, [*argv, *SMALL.get(page, [])])
        assert program == "canary"
        assert result.exit_code == 0, result.output


def test_numbers_in_the_statistics_page_are_those_of_the_code() -> None:
    """The page names the sizes of strata, cohorts and classes that the code has."""
    page = " ".join((DOCS / "evidence-statistics.md").read_text().split())

    assert f"Strata of {STRATUM_UNITS} units" in page
    assert f"closed with {COHORT_UNITS[0]} to {COHORT_UNITS[1]} units" in page
    assert f"each later one ending {AGE_GROWTH - 1:.0%}" in page.replace("15 %", "15%")
