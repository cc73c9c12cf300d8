"""`canary report`: what a rollout did."""

import asyncio
from pathlib import Path

import aiohttp
import click

from canary.clock import SystemClock
from canary.errors import RefusedError
from canary.policy import Policy, load_policy
from canary.prometheus import PATIENT, Prometheus
from canary.report.facts import Report
from canary.report.files import WRITERS, folder_of, write
from canary.report.gather import gather
from canary.rollout.journal.journal import Journal
from canaryctl.cli.completion import rollout_ids
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
@click.option("--output", help="Folder to write into, `state.reports` of the policy when missing; `-` prints.")
def command(config_file: str, rollout: str | None, formats: tuple[str, ...], output: str | None) -> None:
    """Write the report of a rollout: timeline, KPIs with their bands, alerts, decisions, customers, what to do next.

    The receiver writes it by itself at the end of every rollout; this writes it again, or earlier.
    """
    policy = load_policy(config_file)
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
        report = await gather(policy, entries, Prometheus.of(policy, http, limits=PATIENT), SystemClock())
    if report is None:
        raise RefusedError(
            f"there is no rollout {rollout}" if rollout else "no rollout has been started yet",
            remedy="`canary history` shows all",
        )
    return report
