"""What the commands that change a rollout share: they look first, and say what they saw."""

import asyncio
from typing import Any

import click

from canary.errors import JournalError, RemoteError
from canary.policy.load import load_policy
from canary.policy.model import Policy
from canary.rollout.kinds import Kind
from canary.timing.zones import in_zone, moment
from canary.web.client import Client
from canaryctl.cli.console import print_json

reason = click.option("--reason", default="", help="Why; people will read it in the journal.")

force = click.option(
    "--force", is_flag=True, help="Do it although Prometheus objects or is unreachable. The journal will say so."
)

seen = click.option(
    "--seen",
    help="What you decide upon, as `seen` of `canary status --format json`; refused when it is no longer so.",
)

_NEXT = {
    Kind.STARTED: "watch it with `canary status --watch`; `canary hold` and `canary rollback --reason TEXT` step in",
    Kind.ADOPTED: "`canary status` shows it; `canary resume` goes on, `canary rollback --reason TEXT` ends it",
    Kind.ADVANCED: "`canary status` says when every router has followed",
    Kind.HELD: "`canary resume` goes on; `canary status` says where everything stands",
    Kind.RESUMED: "`canary status` says what it waits for",
    Kind.PROMOTED: "all customers are on the canary; `canary finish` brings stable to its version",
    Kind.FINISHING: "`canary status` shows each step; `canary finish --back` returns to the canary's servers",
    Kind.ROLLBACK: "`canary status` says when all traffic is on stable; `canary report` has the review",
    Kind.AMENDED: "generate again and reload Prometheus (`canary generate`), then `canary check`",
    Kind.APPROVED: "`canary status` says what else it waits for",
    Kind.SCHEDULED: "`canary status` shows it until then",
}
"""After what happened, the next step: a newcomer does not know the commands yet."""


def send(config_file: str, output_format: str, verb: str, *, seen: str | None = None, **body: Any) -> None:
    """Send one command and say what was written into the journal.

    JSON has that `entry`, and as `status` where everything stands after it, as `canary status` prints it.

    Args:
        seen: what the person saw; without it the status is read right before (`canary.web.recent`).
    """
    policy = load_policy(config_file)
    if output_format == "json":
        entry, status = asyncio.run(_send_and_ask(policy, verb, seen, body))
        print_json({"entry": entry, "status": status})
        return
    entry = asyncio.run(_send(policy, verb, seen, body))
    zone = policy.receiver.timezone
    passport = entry["data"].get("passport") or {}
    for warning in passport.get("warnings", ()):
        click.echo(f"warning: {in_zone(warning, zone)}", err=True)
    kind = str(entry["kind"]).replace("_", " ")
    if kind in ("scheduled", "schedule ended"):
        at = entry["data"].get("start_at")
        said = (
            f"{entry['data']['canary']} is scheduled for {moment(at, seconds=False)}"
            if at
            else "nothing is scheduled any more"
        )
    elif kind == "approved":
        said = f"rollout {entry['rollout']}: {entry['reason']}"
    else:
        said = f"rollout {entry['rollout']}: {kind} at {moment(entry['at'])}"
    click.echo(in_zone(said, zone))
    if todo := _NEXT.get(entry["kind"]):
        click.echo(f"next: {todo}")


async def _send(policy: Policy, verb: str, seen: str | None, body: dict[str, Any]) -> dict[str, Any]:
    async with Client.of(policy) as client:
        return await client.command(verb, seen=seen, **body)


async def _send_and_ask(
    policy: Policy, verb: str, seen: str | None, body: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    async with Client.of(policy) as client:
        entry = await client.command(verb, seen=seen, **body)
        try:
            return entry, await client.get("status")
        except (RemoteError, JournalError) as error:
            # The command has been taken; an exit status that says otherwise would have it sent twice.
            click.echo(f"warning: done, but the status after it is not known: {error}", err=True)
            return entry, None
