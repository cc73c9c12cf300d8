"""`canary report`: what a rollout did, and with `--all` what each of them did, a line per rollout."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import click
from rich.table import Table
from rich.text import Text

from canary.errors import RefusedError
from canary.policy import Policy, load_policy
from canary.prometheus import PATIENT, Prometheus
from canary.report.drift import drifts
from canary.report.facts import Report
from canary.report.files import WRITERS, write
from canary.report.gather import gather
from canary.report.past import Past, PastReport, folder_of, past_reports
from canary.rollout.journal.journal import Journal
from canary.timing.clock import SystemClock
from canary.timing.zones import in_zone, moment
from canaryctl.cli.completion import rollout_ids
from canaryctl.cli.console import plain, table_console
from canaryctl.cli.options import config_file


@click.command()
@config_file
@click.option(
    "--rollout", shell_complete=rollout_ids, help="Its id, as `canary history` shows it; the newest when missing."
)
@click.option(
    "--format",
    "formats",
    type=click.Choice(["html", "markdown", "json"]),
    multiple=True,
    default=("html", "markdown", "json"),
    help="Repeatable; all three when missing.",
)
@click.option("--all", "everything", is_flag=True, help="List the reports that there are, one rollout a line.")
@click.option("--output", help="Folder to write into, `state.reports` of the policy when missing; `-` prints.")
def command(
    config_file: str, rollout: str | None, formats: tuple[str, ...], everything: bool, output: str | None
) -> None:
    """Write the report of a rollout, which is its review.

    It has the timeline, KPIs with their bands, errors and response times, the money, alerts, decisions, notes, what
    others would have done, and what to do next. The receiver writes it by itself at the end of every rollout, and again
    when the watch after a promotion is over; this writes it again, or earlier.
    """
    policy = load_policy(config_file)
    if everything:
        if rollout or output:
            raise click.UsageError("--all lists all that there are, with neither --rollout nor --output")
        _list(policy, past_reports(folder_of(policy), policy.service))
        return
    report = asyncio.run(_gather(policy, rollout))
    if output == "-":
        for name in formats:
            click.echo(WRITERS[name](report), nl=False)
        return
    folder = Path(output) if output else folder_of(policy)
    for path in write(report, folder, formats):
        click.echo(f"Wrote {path}")


async def _gather(policy: Policy, rollout: str | None) -> Report:
    async with Journal.open(policy) as journal, aiohttp.ClientSession() as http:
        entries = await journal.entries(rollout)
        if rollout is None and (current := await journal.current()) is not None:
            entries = [entry for entry in entries if entry.rollout == current.id]
        past = past_reports(folder_of(policy), policy.service).reports.values()
        report = await gather(policy, entries, Prometheus.of(policy, http, limits=PATIENT), SystemClock(), past)
    if report is None:
        raise RefusedError(
            f"there is no rollout {rollout}" if rollout else "no rollout has been started yet",
            remedy="`canary history` shows all" if rollout else "`canary start` begins one",
        )
    return report


def _list(policy: Policy, past: Past) -> None:
    folder, reports = folder_of(policy), past.reports
    for name in past.damaged:
        click.echo(f"{folder / plain(name)}: not a whole report; left out", err=True)
    if not reports:
        click.echo(f"No reports in {folder}.")
        return
    titles = ("rollout", "versions", "ended", "outcome", "harm proven", "lost, with its band", "report")
    table = Table(*titles, box=None, header_style="bold", pad_edge=False)
    for one in reports.values():
        table.add_row(*(Text(in_zone(plain(cell), policy.receiver.timezone)) for cell in _cells(one, folder)))
    table_console().print(table)
    if found := drifts(policy, reports.values()):
        most = policy.evidence.drift.releases
        click.echo(f"Together, the last {most} releases (or fewer) that all customers have got:")
        for drift in found:
            click.echo(f"  {plain(str(drift))}")


def _cells(one: PastReport, folder: Path) -> Sequence[str]:
    harm = [
        f"{name.replace('_', ' ')} ({round(kpi.harmed_units_estimated or 0):,} harmed)"
        for name, kpi in one.kpis.items()
        if kpi.verdict == "fail"
    ]
    lost = [
        f"{sums.lost.expected:+,.2f} {sums.currency} ({sums.lost.lower:+,.2f} to {sums.lost.upper:+,.2f})"
        for sums in one.money
    ]
    return (
        one.rollout,
        f"{one.canary} against {one.stable}",
        moment(one.ended_at) if one.ended_at else "",
        one.state.replace("_", " ") + (f" ({one.cause})" if one.cause else ""),
        ", ".join(harm),
        ", ".join(lost),
        str(folder / f"{one.rollout}.html"),
    )
