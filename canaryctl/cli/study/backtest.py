"""`canary backtest`: what would have been decided about past rollouts."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table
from rich.text import Text

from canary.policy import load_policy
from canary.units import format_change, format_measured_ratio
from canaryctl.cli.console import study_table, table_console
from canaryctl.cli.options import config_file, format_option

if TYPE_CHECKING:
    from exporter.evidence.judge import KpiEvidence
    from exporter.study.backtest import Replay

_STYLES = {"pass": "green", "fail": "bold red", "hold": "yellow", "blind": "magenta"}


@click.command()
@config_file
@format_option("table")
@click.option(
    "--rollouts",
    required=True,
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="CSV file, one row per phase: rollout,stable,canary,traffic,started_at,ended_at.",
)
def command(config_file: str, output_format: str, rollouts: Path) -> None:
    """Replay past rollouts from the order database and say what would have been decided, and when.

    A rollout that would have been rolled back is shown as it stood at that moment, any other as it stood at its end.
    JSON has one object a line, a rollout each. Nothing is written and no traffic is moved.
    """
    from exporter.study.backtest import backtest  # rooms are imported when they are needed
    from exporter.study.pastrollouts import read_rollouts

    policy = load_policy(config_file)
    past = read_rollouts(rollouts)
    replays = []
    for replay in backtest(policy, past):
        if output_format == "json":
            click.echo(json.dumps(replay.as_json()))
        replays.append(replay)
    if output_format != "json":
        table_console().print(_table(replays), *_proofs(replays), _totals(replays), sep="\n")


def _table(replays: "list[Replay]") -> Table:
    """One row per rollout, one below it for each KPI."""
    table = study_table("rollout", "verdict", "minutes", "canary", "spared", "change", "lower", "upper")
    for replay in replays:
        evidence = replay.evidence
        started = replay.rollout.started_at.timestamp()
        after = "" if evidence.decided_at is None else f"{(evidence.decided_at - started) / 60:.1f}"
        spared = f"{replay.spared:,}" if evidence.decided_at is not None else ""
        name = Text(replay.rollout.name, style="bold")
        table.add_row(name, _verdict(evidence.verdict), after, f"{replay.exposed:,}", spared)
        for kpi in evidence.kpis.values():
            decided = "decided" if kpi.name == evidence.kpi else ""
            change = replay.changes[kpi.name]
            changes = (format_change(change.estimate), format_change(change.lower), format_change(change.upper))
            units = f"{kpi.canary_units:,}"
            table.add_row(f"  {kpi.name}", _verdict(kpi.verdict), decided, units, "", *changes)
        mismatch = evidence.mismatch
        if mismatch is not None and mismatch.verdict == "fail":
            shares = [format_change(one) for one in (mismatch.estimate, mismatch.lower, mismatch.upper)]
            units = f"{mismatch.canary_units:,}"
            table.add_row("  share of visits is off", _verdict(mismatch.verdict), "", units, "", *shares)
    return table


def _proofs(replays: "list[Replay]") -> list[str]:
    """What harm was proven on, a line each: next to the numbers it would not fit a terminal."""
    proofs = [
        f"{replay.rollout.name}, {kpi.name}: {proof}"
        for replay in replays
        for kpi in replay.evidence.kpis.values()
        if (proof := _proof(kpi))
    ]
    return ["", *proofs] if proofs else []


def _proof(kpi: "KpiEvidence") -> str:
    """Which test failed, and on what: a band that still holds *no harm* is two-sided, the proof of harm is not."""
    from exporter.publish.complement import failed_tests

    proofs = []
    for name in failed_tests(kpi):
        test = kpi.floor if name == "floor" else kpi.comparison
        assert test is not None
        e_value = f"e-value 10^{test.log10_evidence:.1f}, threshold 10^{test.log10_threshold:.1f}"
        if name == "comparison" and "exact" in kpi.proofs:
            e_value += "; exact test: proven"
        below = f"canary at {format_measured_ratio(test.estimate)}, " if name == "floor" else ""
        proofs.append(f"{name} ({below}{e_value})")
    proofs += [
        f"segment {name} (change {format_change(segment.estimate)}, e-value 10^{segment.log10_evidence:.1f},"
        f" threshold 10^{segment.log10_threshold:.1f})"
        for name, segment in kpi.segments.items()
        if segment.verdict == "fail"
    ]
    if kpi.hold_reason is not None:
        proofs.append(f"only holds: {kpi.hold_reason.replace('_', ' ')}")
    return "; ".join(proofs)


def _verdict(verdict: str) -> Text:
    return Text(str(verdict), style=_STYLES[str(verdict)])


def _totals(replays: "list[Replay]") -> str:
    backs = [replay for replay in replays if replay.evidence.verdict == "fail"]
    spared = sum(replay.spared for replay in backs)
    return (
        f"\n{len(backs)} of {len(replays)} rollouts would have been rolled back;"
        f" {spared:,} customers would not have met the canary."
    )
