"""What the commands that give orders to the receiver share."""

import asyncio
from typing import Any

import click

from canary.client import Client
from canary.policy.load import load_policy

reason = click.option("--reason", default="", help="Why; people will read it in the journal.")

force = click.option(
    "--force", is_flag=True, help="Do it although Prometheus objects or cannot be asked. The journal will say so."
)


def give(config_file: str, verb: str, **order: Any) -> None:
    """Send one order and say what was written into the journal."""
    entry = asyncio.run(_give(config_file, verb, order))
    kind = str(entry["kind"]).replace("_", " ")
    click.echo(f"rollout {entry['rollout']}: {kind} at {str(entry['at'])[:19].replace('T', ' ')} UTC")


async def _give(config_file: str, verb: str, order: dict[str, Any]) -> dict[str, Any]:
    async with Client.of(load_policy(config_file)) as client:
        return await client.order(verb, **order)
