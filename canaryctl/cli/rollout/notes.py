"""`canary note` and `canary freeze`: what people know and the receiver cannot see."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import click

from canary.policy import Policy, load_policy
from canary.rollout.kinds import Category
from canary.timing.clock import SystemClock
from canary.timing.times import to_text
from canary.timing.zones import in_zone, moment
from canary.web.client import Client
from canaryctl.cli.completion import rollout_ids
from canaryctl.cli.console import print_json
from canaryctl.cli.options import config_file, in_the_shops_zone, moment_option, one_of, output_format
from canaryctl.cli.rollout import sending

_LONGEST = timedelta(days=366)


@click.command("note")
@config_file
@output_format
@click.argument("text")
@click.option(
    "--rollout",
    default="",
    shell_complete=rollout_ids,
    help="Its id, as `canary history` shows it; the newest when missing.",
)
@one_of("--category", "CATEGORY", Category, "What a rollback was due to, once that is known.")
def note(config_file: str, output_format: str, text: str, rollout: str, category: str | None) -> None:
    """Write down an observation about a rollout, while it runs or afterwards.

    It stands in the history, in the report and on the page, and changes nothing.
    """
    body = {"reason": text, "rollout": rollout, "category": category}
    entry = asyncio.run(_send(load_policy(config_file), "note", body))
    if output_format == "json":
        print_json(entry)
    else:
        click.echo(f"rollout {entry['rollout']}: recorded")
        click.echo("next: it stands in `canary history`, on the page, and in what `canary report` writes")


@click.command("freeze")
@config_file
@output_format
@moment_option("--until", help="When it ends: a duration from now such as 3h, or a time, by the shop's clocks.")
@click.option("--lift", is_flag=True, help="End the freeze that somebody has begun with this command.")
@sending.reason
def freeze(config_file: str, output_format: str, until: datetime | None, lift: bool, reason: str) -> None:
    """Start and advance nothing until a moment; a rollback and a hold are never touched.

    A time is meant in the shop's zone (receiver.timezone) unless it names another: 2026-12-24T18:00+01:00.
    `start` and `advance` take --force. Freezes that come again, or are planned, stand in `receiver.freeze` of the
    policy.
    """
    if lift == (until is not None):
        raise click.UsageError("give either --until or --lift")
    policy = load_policy(config_file)
    if until is not None:
        until = in_the_shops_zone(until, policy.receiver.timezone, "--until")
    if until is not None and until > SystemClock().now() + _LONGEST:
        raise click.BadParameter(
            "expected a moment within a year; longer ones belong into the policy", param_hint="--until"
        )
    body = {"reason": reason} | ({} if until is None else {"until": to_text(until)})
    entry = asyncio.run(_send(policy, "freeze/lift" if lift else "freeze", body))
    if output_format == "json":
        print_json(entry)
    else:
        said = "freeze lifted" if lift else f"frozen until {moment(entry['data']['until'], seconds=False)}"
        click.echo(in_zone(said, policy.receiver.timezone))
        then = "what waited goes on by itself" if lift else "`canary freeze --lift` ends it before"
        click.echo(f"next: {then}; `canary status` says where everything stands")


async def _send(policy: Policy, path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with Client.of(policy) as client:
        return await client.once(path, body)
