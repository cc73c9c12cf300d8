"""`canary start`: begin a rollout, when everything it needs is as it should be."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import click

from canary.check.finding import Status
from canary.check.run import PARTS, check_all
from canary.cli import orders
from canary.cli.options import config_file
from canary.clock import SystemClock
from canary.errors import RefusedError
from canary.policy import Policy


@click.command("start")
@config_file
@click.option("--canary", required=True, help="The new version.")
@click.option("--stable", required=True, help="The version that serves now.")
@orders.reason
@click.option("--force", is_flag=True, help="Begin although `canary check` or a router finds faults.")
def command(config_file: str, canary: str, stable: str, reason: str, force: bool) -> None:
    """Begin a rollout: start the canary's process and give it the first phase's share of the customers.

    First everything is looked at as `canary check` does; a fault is told, and nothing begins.
    """
    if not force:
        asyncio.run(_check(Path(config_file)))
    orders.give(config_file, "start", canary=canary, stable=stable, reason=reason, force=force)


async def _check(path: Path) -> None:
    found = [finding async for finding in check_all(path, _generated, SystemClock(), PARTS)]
    failed = [str(finding) for finding in found if finding.status is Status.FAILED]
    if failed:
        faults = "\n".join(failed)
        raise RefusedError(f"not started, `canary check` finds:\n{faults}\nMend this first, or begin with --force.")


def _generated(policy: Policy) -> Mapping[str, str]:
    from canary.cli.generate import generated_files

    return generated_files(policy)
