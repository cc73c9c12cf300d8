"""`canary experiment`: where experiments stand, their report, and a person's stop or start."""

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from canary.errors import RefusedError
from canary.policy import Policy, load_policy
from canary.rollout import experiments
from canary.rollout.journal.journal import Journal
from canary.timing.clock import SystemClock
from canary.timing.zones import in_zone, moment
from canary.web.client import Client
from canaryctl.cli.completion import policy_names
from canaryctl.cli.console import plain, print_json
from canaryctl.cli.options import config_file, output_format
from canaryctl.output import writing

if TYPE_CHECKING:
    from exporter.study.experiment_report import ExperimentReport


_reason = click.option("--reason", required=True, help="Why; people will read it in the journal.")


@click.group("experiment")
def command() -> None:
    """Look at experiments, report on them, stop and start them."""


@command.command()
@config_file
@output_format
def status(config_file: str, output_format: str) -> None:
    """Say which experiments run."""
    policy = load_policy(config_file)
    found = asyncio.run(_status(policy))
    if output_format == "json":
        print_json(found)
        return
    table = Table("experiment", "state", "since", "weights", "why", box=None, pad_edge=False)
    for one in found:
        weights = ", ".join(f"{name} {weight:g}" for name, weight in one["weights"].items())
        since = in_zone(moment(one["stopped_at"] or one["started_at"]), policy.receiver.timezone)
        table.add_row(
            one["name"], "running" if one["running"] else "stopped", since, weights, Text(plain(one["reason"]))
        )
    Console().print(table)


@command.command()
@config_file
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["html", "json"]),
    default="html",
    show_default=True,
    help="What to write: a page, or one JSON object a line.",
)
@click.option("--output", default="-", show_default=True, help="File to write; `-` prints.")
def report(config_file: str, output_format: str, output: str) -> None:
    """Write what each treatment does to each KPI, with its confidence band over time."""
    from exporter.study.experiment_report import as_html, as_json  # rooms are imported when they are needed

    policy = load_policy(config_file)
    now = SystemClock().now()
    reports = asyncio.run(_reports(policy, now))
    if output_format == "html":
        text = as_html(reports, policy.service, now, policy.receiver.timezone)
    else:
        text = "".join(json.dumps(as_json(one)) + "\n" for one in reports)
    if output == "-":
        click.echo(text, nl=False)
    else:
        with writing(Path(output)):
            Path(output).write_text(text, encoding="utf-8")
        click.echo(f"Wrote {output}")


@command.command()
@config_file
@output_format
@click.argument("name", shell_complete=policy_names("experiments"))
@_reason
def stop(config_file: str, output_format: str, name: str, reason: str) -> None:
    """Give everybody the control."""
    _give(config_file, output_format, name, "stop", reason, "stopped; everybody gets the control")


@command.command()
@config_file
@output_format
@click.argument("name", shell_complete=policy_names("experiments"))
@_reason
def start(config_file: str, output_format: str, name: str, reason: str) -> None:
    """Begin a stopped experiment anew, with fresh evidence."""
    _give(config_file, output_format, name, "start", reason, "restarted")


async def _status(policy: Policy) -> list[dict[str, Any]]:
    async with Client.of(policy) as client:
        found = await client.get("experiments")
    assert isinstance(found, list)
    return found


def _give(config_file: str, output_format: str, name: str, verb: str, reason: str, done: str) -> None:
    found = asyncio.run(_command(load_policy(config_file), name, verb, reason))
    if output_format == "json":
        print_json(found)
    else:
        click.echo(f"experiment {name}: {done}")


async def _command(policy: Policy, name: str, verb: str, reason: str) -> dict[str, Any]:
    """Where the experiment stands after the command."""
    async with Client.of(policy) as client:
        return await client.send(f"experiments/{name}/{verb}", {"reason": reason})


async def _reports(policy: Policy, now: datetime) -> "list[ExperimentReport]":
    from exporter.study.experiment_report import experiment_reports  # rooms are imported when they are needed

    async with Journal.open(policy, experiments.CHAIN) as journal:
        trials = experiments.fold(await journal.entries())
    known = {name: trial for name, trial in trials.items() if name in policy.experiments}
    if not known:
        raise RefusedError("no experiment has begun", remedy="experiments begin when `canary receiver` starts")
    return await experiment_reports(policy, known, now)
