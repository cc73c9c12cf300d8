"""`canary backtest`: what would have been decided about past rollouts."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from canary.cli.options import config_file
from canary.policy import load_policy
from canary.policy.model import Policy

if TYPE_CHECKING:
    from exporter.backtest import PastRollout, Replay

_STATEMENT_SECONDS = 60.0
_STYLES = {"pass": "green", "fail": "bold red", "hold": "yellow", "blind": "magenta"}


@click.command()
@config_file
@click.option(
    "--rollouts",
    required=True,
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="CSV file, one row per phase: rollout,stable,canary,traffic,started_at,ended_at.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table, or one JSON object a line.",
)
def command(config_file: str, rollouts: Path, output_format: str) -> None:
    """Replay past rollouts from the order database and say what would have been decided, and when.

    A rollout that would have been rolled back is shown as it stood at that moment, any other as it stood at its end.
    Nothing is written and no traffic is moved.
    """
    from exporter.backtest import read_rollouts  # rooms are imported when they are needed

    policy = load_policy(config_file)
    past = read_rollouts(rollouts)
    asyncio.run(_run(policy, past, as_json=output_format == "json"))


async def _run(policy: Policy, past: "list[PastRollout]", *, as_json: bool) -> None:
    from canary.database import order_url  # as above
    from canary.errors import DatabaseUnavailableError  # as above
    from exporter.backtest import backtest  # as above
    from exporter.connection import open_session  # as above

    url = order_url(policy, any_dialect=True)
    if url is None:
        raise DatabaseUnavailableError("database.url: expected the order database's address, found none")
    session = open_session(url, max(_STATEMENT_SECONDS, policy.database.statement_timeout))
    replays = []
    try:
        async for replay in backtest(policy, session, past):
            if as_json:
                click.echo(json.dumps(replay.as_json()))
            replays.append(replay)
    finally:
        await session.close()
    if not as_json:
        Console(highlight=False).print(_table(replays), _totals(replays), sep="\n")


def _table(replays: "list[Replay]") -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("rollout", "verdict", "by", "after", "met the canary", "spared"):
        table.add_column(column, justify="right" if column in ("after", "met the canary", "spared") else "left")
    table.add_column("change of each KPI (bounds)")
    for replay in replays:
        evidence = replay.evidence
        started = replay.rollout.started_at.timestamp()
        after = "" if evidence.decided_at is None else f"{(evidence.decided_at - started) / 60:.1f} min"
        verdict = Text(str(evidence.verdict), style=_STYLES[str(evidence.verdict)])
        changes = "\n".join(
            f"{name}: {kpi.verdict}, {_percent(kpi.estimate)} ({_percent(kpi.lower)} to {_percent(kpi.upper)})"
            for name, kpi in evidence.kpis.items()
        )
        customers = f"{replay.exposed:,}", f"{replay.spared:,}" if replay.spared else ""
        table.add_row(replay.rollout.name, verdict, evidence.kpi or "", after, *customers, changes)
    return table


def _totals(replays: "list[Replay]") -> str:
    backs = [replay for replay in replays if replay.evidence.verdict == "fail"]
    spared = sum(replay.spared for replay in backs)
    return (
        f"\n{len(backs)} of {len(replays)} rollouts would have been rolled back;"
        f" {spared:,} customers would not have met the canary."
    )


def _percent(ratio: float) -> str:
    if ratio != ratio:  # noqa: PLR0124  # nan: nothing is known yet
        return "unknown"
    return "no bound" if ratio == float("inf") else f"{ratio:+.1%}"
