"""What the commands that give orders to the receiver share."""

import asyncio
from typing import Any

import click

from canary.cli.console import print_json
from canary.client import Client
from canary.errors import JournalError, RemoteError
from canary.policy.load import load_policy

reason = click.option("--reason", default="", help="Why; people will read it in the journal.")

force = click.option(
    "--force", is_flag=True, help="Do it although Prometheus objects or cannot be asked. The journal will say so."
)


def give(config_file: str, output_format: str, verb: str, **order: Any) -> None:
    """Send one order and say what was written into the journal.

    JSON has that `entry`, and as `status` where everything stands after it, as `canary status` prints it.
    """
    if output_format == "json":
        entry, status = asyncio.run(_give_and_ask(config_file, verb, order))
        print_json({"entry": entry, "status": status})
        return
    entry = asyncio.run(_give(config_file, verb, order))
    kind = str(entry["kind"]).replace("_", " ")
    click.echo(f"rollout {entry['rollout']}: {kind} at {str(entry['at'])[:19].replace('T', ' ')} UTC")


async def _give(config_file: str, verb: str, order: dict[str, Any]) -> dict[str, Any]:
    async with Client.of(load_policy(config_file)) as client:
        return await client.order(verb, **order)


async def _give_and_ask(
    config_file: str, verb: str, order: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    async with Client.of(load_policy(config_file)) as client:
        entry = await client.order(verb, **order)
        try:
            return entry, await client.get("status")
        except (RemoteError, JournalError) as error:
            # The order has been taken; an exit status that says otherwise would have it given twice.
            click.echo(f"warning: done, but where things stand after it cannot be asked: {error}", err=True)
            return entry, None
