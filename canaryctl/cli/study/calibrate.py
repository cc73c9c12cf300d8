"""`canary calibrate`: how often healthy canaries would be rolled back in this shop, measured on its own past."""

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from canary.policy import load_policy
from canary.timing.clock import SystemClock
from canary.units import format_duration, format_measured_ratio, format_ratio
from canaryctl.cli.console import study_table, table_console
from canaryctl.cli.options import config_file, format_option, looked_back_from, moment_option

if TYPE_CHECKING:
    from exporter.judge.shop.calibration import Calibration, HarmFound, KpiCalibration

_LEGEND = """\
healthy failed: pseudo-rollouts of two equal versions in which harm was proven, and what share that may be (95 %).
rows hang together: variance of what customers do, over that of independent rows; well above 1, rows are no units.
found: share of pseudo-rollouts in which a canary that loses so much was found, and after how long (median).
"""


@click.command()
@config_file
@format_option("table")
@click.option("--days", default=7.0, show_default=True, type=click.FloatRange(min=0.05), help="How far to look back.")
@moment_option("--until", help="Look back from this time, by the shop's clocks, instead of now.", durations=False)
@click.option("--rollouts", default=1000, show_default=True, type=click.IntRange(min=1), help="Healthy ones.")
@click.option("--harmed", default=60, show_default=True, type=click.IntRange(min=0), help="Of each harm.")
@click.option("--seed", default=1, show_default=True, help="Which customers are drawn.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw a picture: a .png, .svg or .pdf.")
def command(
    config_file: str,
    output_format: str,
    days: float,
    until: datetime | None,
    rollouts: int,
    harmed: int,
    seed: int,
    plot: Path | None,
) -> None:  # long: its options come one by one, as click passes them
    """Measure on the shop's own past how often a healthy canary would be rolled back, and what finding harm takes.

    Customers of random stretches of the past are drawn onto two equal versions, and judged. No row needs to say which
    version wrote it, and no traffic is moved. The result is kept for check, plan and exporter (evidence.calibration).
    """
    from canary import extras
    from exporter.judge.shop import calibration
    from exporter.study.calibrate import calibrate

    if plot is not None:
        extras.require("plots", "--plot")
    policy = load_policy(config_file)
    now = SystemClock().now()
    with _progress() as progress:
        task = progress.add_task("pseudo-rollouts", total=None)
        found = calibrate(
            policy,
            looked_back_from(until, policy.receiver.timezone).timestamp(),
            days,
            rollouts,
            harmed=harmed,
            seed=seed,
            made_at=now.isoformat(timespec="seconds"),
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    calibration.write(found, calibration.calibration_file(policy))
    if output_format == "json":
        click.echo(json.dumps(found.as_json()))
    else:
        _print(found)
    if plot is not None:
        from exporter.study.calibration_plot import draw

        draw(plot, found)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _print(found: "Calibration") -> None:
    console = table_console()
    healthy, harmed = tables(found)
    console.print(healthy, "", harmed, "", _LEGEND, sep="\n")
    console.print(
        f"{found.rolled_back} of {found.rollouts:,} healthy canaries would have been rolled back"
        f" ({_range(found.lower_ratio, found.upper_ratio)} with 95 % confidence, over {found.days} days);"
        f" {found.held} held by a KPI, {found.mismatched} by a sample ratio mismatch.",
        style="bold",
    )
    for name, kpi in found.kpis.items():
        if kpi.action == "rollback" and kpi.proven_too_high:
            console.print(
                f"{name}: healthy canaries fail in more than {format_ratio(kpi.allowed_ratio)} of rollouts;"
                " set `action: hold`, or say what a customer is (`unit`).",
                style="bold red",
            )


def tables(found: "Calibration") -> tuple[Table, Table]:
    """What was found of healthy canaries, and of harmed ones; together they would not fit a terminal."""
    return _healthy(found), _harmed(found)


def _healthy(found: "Calibration") -> Table:
    table = study_table("KPI", "action", "allowed", "healthy\nfailed", "(95 %)", "rows hang\ntogether")
    for name, kpi in found.kpis.items():
        dispersion = "no rows" if kpi.over_dispersion is None else f"x{kpi.over_dispersion:.2f}"
        failed = f"{kpi.failed} of {found.rollouts:,}"
        table.add_row(name, kpi.action, format_ratio(kpi.allowed_ratio), failed, _interval(kpi), dispersion)
    return table


def _harmed(found: "Calibration") -> Table:
    harms = next(iter(found.kpis.values())).harms if found.kpis else ()
    table = study_table("KPI", *(f"{format_ratio(harm.harm_ratio)} found" for harm in harms))
    for name, kpi in found.kpis.items():
        table.add_row(name, *(_harm(harm) for harm in kpi.harms))
    return table


def _interval(kpi: "KpiCalibration") -> str:
    return _range(kpi.lower_ratio, kpi.upper_ratio)


def _range(lower: float, upper: float) -> str:
    return f"{format_measured_ratio(lower, 2)} to {format_measured_ratio(upper, 2)}"


def _harm(harm: "HarmFound") -> str:
    if not harm.rollouts:
        return ""
    after = "" if harm.median_seconds is None else f", {format_duration(round(harm.median_seconds / 60) * 60)}"
    return f"{format_measured_ratio(harm.found_ratio, 0)}{after}"
