"""The verbs: `canary start`, `hold`, `resume`, `advance`, `promote`, `finish` and `rollback`.

Each is one request to the receiver, which decides. Only `start` looks at everything first: a rollout whose rollback
would fail must not begin, and what is found then can still be repaired without a customer having met the canary.
"""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from canary.errors import JournalError, RefusedError, RemoteError, SecretError
from canary.policy import load_policy
from canary.policy.pinning.digest import digest
from canary.policy.plans import NORMAL
from canary.rollout.kinds import Category
from canary.rollout.state import TERMINAL
from canary.timing.times import to_text
from canary.units import parse_ratio
from canary.web.client import Client
from canaryctl.cli.completion import policy_names
from canaryctl.cli.options import config_file, in_the_shops_zone, moment_option, one_of, output_format
from canaryctl.cli.rollout import sending

_WITHOUT_RECEIVER = "or without one: docs/troubleshooting.md, *Take traffic off the canary by hand*"


@click.command("start")
@config_file
@output_format
@click.option("--canary", required=True, help="The new version.")
@click.option("--stable", required=True, help="The version that serves now.")
@click.option(
    "--plan",
    default=NORMAL,
    show_default=True,
    shell_complete=policy_names("plans"),
    help="The policy's plan that it runs by.",
)
@moment_option("--at", help="Begin then: a duration from now such as 3h, or a time, by the shop's clocks.")
@sending.reason
@click.option("--force", is_flag=True, help="Begin although something would hinder a rollback, or does not fit.")
@click.option("--again", is_flag=True, help="Also a version that was promoted or rolled back before.")
def start(
    config_file: str,
    output_format: str,
    *,
    canary: str,
    stable: str,
    plan: str,
    at: datetime | None,
    reason: str,
    force: bool,
    again: bool,
) -> None:
    """Begin a rollout: start the canary's process and give it the first phase's share of the customers.

    First everything is looked at as `canary check` does. What would hinder a rollback keeps the rollout from
    beginning, and so does what contradicts the command: servers that run other versions, customers who are still on the
    canary's servers, a version that was rolled back or promoted before. Other faults are told. What was found is kept
    in the journal as the rollout's passport. With --at the receiver looks at all of it once more when it is due;
    `canary unschedule` takes it back. A time is meant in the shop's zone (receiver.timezone) unless it names another:
    2026-12-24T18:00+01:00.
    """
    if at is not None:
        at = in_the_shops_zone(at, load_policy(config_file).receiver.timezone, "--at")
    # Looked at before the checks, which take seconds: what others do meanwhile is refused rather than overwritten.
    seen = asyncio.run(_seen(config_file, now=at is None))
    if not force:
        from canaryctl.cli.rollout.looking import look_at_everything

        asyncio.run(look_at_everything(Path(config_file)))
    body: dict[str, Any] = {"canary": canary, "stable": stable, "plan": plan}
    body |= {"reason": reason, "force": force, "again": again}
    if at is not None:
        body["at"] = to_text(at)
    sending.send(config_file, output_format, "start", seen=seen, **body)


@click.command("unschedule")
@config_file
@output_format
@sending.reason
def unschedule(config_file: str, output_format: str, reason: str) -> None:
    """Take back a start that `canary start --at` has scheduled."""
    sending.send(config_file, output_format, "unschedule", reason=reason)


@click.command("adopt")
@config_file
@output_format
@click.option("--weight", required=True, help="The canary's traffic weight as the routers have it, such as 25%.")
@click.option("--canary", required=True, help="The version that the routers call the canary.")
@click.option("--stable", required=True, help="The version next to it.")
@click.option("--rollout", default="", help="The rollout's id where it is known: then every user stays on their side.")
@sending.reason
def adopt(
    config_file: str, output_format: str, weight: str, canary: str, stable: str, rollout: str, reason: str
) -> None:
    """Say what is in force, after the journal was lost, damaged, or restored from an old copy.

    The rollout is held at this weight; go on with `canary resume`, `promote` or `rollback`. A router that has another
    weight is brought to this one.
    """
    ratio = _share(weight, "--weight")
    versions = {"canary": canary, "stable": stable, "rollout": rollout}
    sending.send(config_file, output_format, "adopt", weight=ratio, reason=reason, **versions)


@click.command("hold")
@config_file
@output_format
@sending.reason
def hold(config_file: str, output_format: str, reason: str) -> None:
    """Freeze the canary's traffic weight until `canary resume`; a rollback stays possible. Cancels a countdown."""
    sending.send(config_file, output_format, "hold", reason=reason)


@click.command("resume")
@config_file
@output_format
@sending.reason
@sending.force
@sending.seen
def resume(config_file: str, output_format: str, reason: str, force: bool, seen: str | None) -> None:
    """Let a held rollout go on, and cancel a countdown; the phase's time has gone on meanwhile.

    Where the weight was lowered during the hold, this raises it, and Prometheus must not object.
    """
    sending.send(config_file, output_format, "resume", seen=seen, reason=reason, force=force)


@click.command("advance")
@config_file
@output_format
@click.option("--to", help="Go past the phases between to the one with this share, such as 100%. It stays guarded.")
@sending.reason
@sending.force
@sending.seen
def advance(config_file: str, output_format: str, to: str | None, reason: str, force: bool, seen: str | None) -> None:
    """Go to the next phase now, unless Prometheus shows an alert that asks for a rollback or a hold.

    Where the phase's gate asks for several people, each of them runs this with a token of their own
    (receiver.operators); the last one's is carried out.
    """
    body: dict[str, Any] = {"reason": reason, "force": force} | ({} if to is None else {"to": _share(to, "--to")})
    sending.send(config_file, output_format, "advance", seen=seen, **body)


@click.command("amend")
@config_file
@output_format
@sending.reason
def amend(config_file: str, output_format: str, reason: str) -> None:
    """Let the running rollout go by the policy file as it is now.

    A rollout runs by the policy that it began with. What guards its customers better is taken over at once; what
    guards them less (a tolerance, a limit, a duration, a gate) needs a reason, and is marked in the report. Alpha and
    the KPIs that share it stay. Run `canary generate` and reload Prometheus afterwards: the rules must be the same.
    """
    wanted = digest(load_policy(config_file))
    sending.send(config_file, output_format, "amend", reason=reason, digest=wanted)


@click.command("promote")
@config_file
@output_format
@sending.reason
@sending.force
@sending.seen
def promote(config_file: str, output_format: str, reason: str, force: bool, seen: str | None) -> None:
    """Give the canary all customers and end the rollout, whatever phase it is in."""
    sending.send(config_file, output_format, "promote", seen=seen, reason=reason, force=force)


@click.command("finish")
@config_file
@output_format
@sending.reason
@click.option("--now", is_flag=True, help="Leave out the steps between: all traffic returns at once.")
@click.option("--back", is_flag=True, help="Return everybody to the canary's servers; asks for nobody's agreement.")
@click.option(
    "--force", is_flag=True, help="Do it although Prometheus objects, or nobody can ask what the stable servers run."
)
@sending.seen
def finish(
    config_file: str, output_format: str, reason: str, now: bool, back: bool, force: bool, seen: str | None
) -> None:
    """Finish a promoted release: the stable servers, which run the new version by now, get their traffic back.

    Each stable server is asked what it runs (`router.probe`). Traffic returns in the policy's steps (`finish.steps`),
    each of which is watched by server; then the canary's process is stopped. With `router.slots` nobody moves: the two
    groups of servers change roles.
    """
    if now and back:
        raise click.UsageError("--now and --back are opposites; give one")
    sending.send(config_file, output_format, "finish", seen=seen, reason=reason, now=now, back=back, force=force)


@click.command("rollback")
@config_file
@output_format
@click.option("--reason", required=True, help="Why; people will read it in the journal and in the team's message.")
@one_of("--category", "CATEGORY", Category, "What it is due to, for later statistics.")
@click.option("--give-up", is_flag=True, help="End a rollback that cannot be completed; you have done it by hand.")
def rollback(config_file: str, output_format: str, reason: str, category: str | None, give_up: bool) -> None:
    """Take all customers off the canary, then stop its process and tell the team."""
    try:
        sending.send(config_file, output_format, "rollback", reason=reason, category=category, give_up=give_up)
    except RemoteError as error:
        # Whoever types this has a bad canary in front of customers, and no time to look for the page.
        error.remedy = "; ".join(filter(None, (error.remedy, _WITHOUT_RECEIVER)))
        raise


def _share(text: str, option: str) -> float:
    try:
        return parse_ratio(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


async def _seen(config_file: str, *, now: bool) -> str | None:
    """What stands now; None when that cannot be told, which the checks then report.

    Args:
        now: whether a rollout is to begin now, so that one in progress is in its way.

    Raises:
        RefusedError: it is.
    """
    try:
        async with Client.of(load_policy(config_file)) as client:
            status = await client.get("status")
    except (RemoteError, JournalError, SecretError):
        return None
    rollout = status["rollout"]
    if now and rollout is not None and rollout["state"] not in TERMINAL:
        state = str(rollout["state"]).replace("_", " ")
        raise RefusedError(
            f"rollout {rollout['id']} is in progress ({state})",
            place="cannot start another rollout",
            remedy="see `canary status`",
        )
    return str(status["seen"])
