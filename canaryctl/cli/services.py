"""`canary exporter`, `canary receiver` and `canary assignments`: the services, each until SIGTERM.

What a service needs is imported when it starts: the exporter's numpy alone takes longer to load than any other command
takes to run.
"""

import asyncio
import sys
from pathlib import Path

import click

from canary.web.options import WebOptions, web_options
from canaryctl.cli.options import config_file

# A scrape waits for a thread that joins and judges no longer than this; Python's own 5 ms would show.
_SWITCH_SECONDS = 0.001


@click.command("exporter")
@config_file
@click.option(
    "--state.file",
    "state_file",
    default="exporter-state.json",
    show_default=True,
    help="File in which counters survive a restart; relative paths start at the policy's folder.",
)
@web_options("127.0.0.1:9877")
def exporter(config_file: str, state_file: str, web_options: WebOptions) -> None:
    """Serve the shop's KPIs and the judgement of the running rollout on /metrics.

    Reads the order database in the background; a scrape never touches it.
    """
    from canary.policy.load import load_policy
    from exporter.service import Exporter

    async def serve() -> None:
        await Exporter(lambda: load_policy(config_file), web_options, state_file).run()

    sys.setswitchinterval(_SWITCH_SECONDS)
    asyncio.run(serve())


@click.command("assignments")
@config_file
@web_options("127.0.0.1:9879")
def assignments(config_file: str, web_options: WebOptions) -> None:
    """Follow the router's log and keep who was served by which version, and their visits.

    Serves requests, errors and response times by version and endpoint on /metrics. The policy's `database.log` says
    where the log comes in and where the rest is kept.
    """
    from canary.policy.load import load_policy
    from exporter.follow.service import Follower

    asyncio.run(Follower(load_policy(config_file), web_options).run())


@click.command("receiver")
@config_file
@web_options("127.0.0.1:9878")
def receiver(config_file: str, web_options: WebOptions) -> None:
    """Serve Alertmanager's webhook and the rollout's API, and keep the routers at what the journal says."""
    from alertmanager.receiver.service import serve

    asyncio.run(serve(Path(config_file), web_options))
