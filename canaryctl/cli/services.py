"""`canary exporter`, `canary receiver` and `canary assignments`: the services, each until SIGTERM.

What a service needs is imported when it starts: the exporter's numpy alone takes longer to load than any other command
takes to run.
"""

import asyncio
import sys
from functools import partial
from pathlib import Path

import click

from canary.web.options import WebOptions, web_options
from canaryctl.cli.options import ByteSize, config_file, config_files, several

# A scrape waits for a thread that joins and judges no longer than this; Python's own 5 ms would show.
_SWITCH_SECONDS = 0.001

# What a worker takes before its first row, thread stacks included, is 170 MB.
_LEAST_MEMORY_BYTES = 256 * 1024**2


@click.command("exporter")
@config_files
@click.option(
    "--state.file",
    "state_file",
    default="exporter-state.json",
    show_default=True,
    help="File in which counters survive a restart; relative paths start at the policy's folder.",
)
@click.option(
    "--worker.memory-limit",
    "memory_bytes",
    type=ByteSize(_LEAST_MEMORY_BYTES),
    default="2GiB",
    show_default=True,
    help="Memory that the process of each of several services may take for data.",
)
@web_options("127.0.0.1:9877")
def exporter(config_files: tuple[Path, ...], state_file: str, memory_bytes: int, web_options: WebOptions) -> None:
    """Serve the shop's KPIs and the judgement of the running rollout on /metrics.

    Reads the order database in the background; a scrape never touches it. With several policies, or a folder of them,
    /metrics has the series of all services, and /metrics?service=NAME those of one; a process of its own reads and
    judges each.
    """
    from canary.policy.load import load_policy
    from exporter.loop import Loop
    from exporter.service import Exporter
    from exporter.several import serve_all

    async def serve() -> None:
        if several(config_files):
            await serve_all(config_files, web_options, state_file, memory_bytes)
        else:
            await Exporter(Loop(partial(load_policy, config_files[0]), state_file), web_options).run()

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
@config_files
@web_options("127.0.0.1:9878")
def receiver(config_files: tuple[Path, ...], web_options: WebOptions) -> None:
    """Serve Alertmanager's webhook and the rollout's API, and keep the routers at what the journal says.

    With several policies, or a folder of them, each service is below /services/NAME/; what is added, changed or removed
    is followed.
    """
    from alertmanager.receiver.service import serve, serve_all

    asyncio.run(serve_all(config_files, web_options) if several(config_files) else serve(config_files[0], web_options))
