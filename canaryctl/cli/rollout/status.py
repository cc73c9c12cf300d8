"""`canary status`: where the rollout stands."""

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import click

from canary.policy.load import load_policy
from canary.policy.model import Policy
from canary.policy.routers.slots import other
from canary.rollout.state import weight_words
from canary.timing.clock import SystemClock
from canary.timing.zones import in_zone, moment
from canary.units import format_duration, format_ratio
from canary.web.client import Client
from canaryctl.cli.console import plain, print_json
from canaryctl.cli.options import config_file, output_format


@click.command("status")
@config_file
@output_format
@click.option("--watch", is_flag=True, help="Stay, over the whole screen, with the KPIs; Ctrl-C ends it.")
@click.option("--json", "as_json", is_flag=True, hidden=True)  # an earlier name of `--format json`
def command(config_file: str, output_format: str, watch: bool, as_json: bool) -> None:
    """Say where the rollout stands, what the routers have in force, and what it waits for.

    JSON is what the API answers.
    """
    policy = load_policy(config_file)
    if watch:
        if not sys.stdout.isatty():
            raise click.UsageError("--watch needs a terminal; a pipeline waits with `canary wait`")
        from rich.console import Console

        from canaryctl.cli.rollout import watching

        watching.run(policy, lambda found: list(_told(found, policy)), Console(), SystemClock())
        return
    status = asyncio.run(_status(policy))
    if as_json or output_format == "json":
        print_json(status)
        return
    for line in _told(status, policy):
        click.echo(plain(line))


async def _status(policy: Policy) -> dict[str, Any]:
    async with Client.of(policy) as client:
        status = await client.get("status")
    assert isinstance(status, dict)
    return status


def _told(status: dict[str, Any], policy: Policy) -> Iterator[str]:
    """Each line, with the times in the shop's zone."""
    for line in (*_lines(status), *_without_unit(policy)):
        yield in_zone(line, policy.receiver.timezone)


def _without_unit(policy: Policy) -> Iterator[str]:
    """What people must know of a verdict, whatever it is."""
    from exporter.judge.shop.calibration import NO_UNIT, without_unit

    if kpis := without_unit(policy):
        yield f"no unit   {', '.join(kpis)}: {NO_UNIT}"


def _lines(status: dict[str, Any]) -> Iterator[str]:
    rollout = status["rollout"]
    if rollout is None:
        yield f"{status['service']}: no rollout has been started; begin with `canary start`"
    else:
        yield f"{status['service']}: {rollout['canary']} against {rollout['stable']}, rollout {rollout['id']}"
        yield from _rollout(rollout)
    for price in status.get("prices", ()):
        yield f"price     {price['summary']}"
    for router in status["routers"]:
        mark = "" if router["follows"] else "  NOT IN SYNC"
        yield f"router    {router['name']}: {router['error'] or router['detail']}{mark}"
    yield from _troubles(status)
    schedule = status["schedule"]
    if schedule["summary"]:
        yield f"scheduled {schedule['summary']}"
    if schedule["refused"]:
        yield f"refused   the scheduled start of {schedule['refused']}"
    policy = status["policy"]
    for sentence in filter(None, (policy["notice"], *policy["differing"])):
        yield f"policy    {sentence}"
    if status.get("freeze"):
        yield f"frozen    {status['freeze']['summary']}"
    for silence in status["alertmanager"]["silences"]:
        yield f"silenced  {silence['summary']}"
    for sentence in status["alertmanager"].get("inhibited", ()):  # a receiver of the version before names none
        yield f"inhibited {sentence}"


def _rollout(rollout: dict[str, Any]) -> Iterator[str]:
    yield f"state     {_state(rollout)}"
    for one in rollout["approvals"]:
        yield f"approvals {_approval(one)}"
    yield f"wanted    {weight_words(rollout['state'], rollout['weight_ratio'])}"
    if slot := rollout.get("stable_slot"):
        yield f"slots     {slot} is stable, {other(slot)} is the canary's"
    for warning in (rollout["passport"] or {"warnings": ()})["warnings"]:
        yield f"warning   at the start: {warning}"


def _approval(one: dict[str, Any]) -> str:
    share = f"go on to {format_ratio(one['to_ratio'])}" if one["to_ratio"] is not None else "promote"
    return f"to {share}: {one['summary']}"


def _troubles(status: dict[str, Any]) -> Iterator[str]:
    if status["waiting_for"]:
        yield f"waits     for {status['waiting_for']}"
    for name, fault in status["errors"].items():
        if not name.startswith("router "):
            yield f"fault     {name}: {fault}"
    if status["prometheus"]["error"]:
        yield f"blind     {status['prometheus']['error']}"
    if status["watchdog"]["blind"]:
        yield "blind     no heartbeat from Prometheus through Alertmanager"
    if status["prometheus"]["firing"]:
        yield f"firing    {', '.join(status['prometheus']['firing'])}"
    if status["untold"]:
        yield f"pending   {_notifications(status['untold'])} not delivered"
    if status.get("expired"):
        yield f"expired   {_notifications(status['expired'])} given up in the last 7 days; see `canary history`"
    if not status["leading"]:
        yield "standby   another receiver acts"


def _notifications(count: int) -> str:
    return f"{count} notification{'' if count == 1 else 's'}"


def _state(rollout: dict[str, Any]) -> str:
    phases = rollout["phases"]
    state = str(rollout["state"]).replace("_", " ")
    if rollout["state"] in ("phase", "baking"):
        phase = phases[rollout["phase"]]
        elapsed, least = round(rollout["phase_elapsed_seconds"]), phase["duration_seconds"]
        passed = f"{format_duration(elapsed)} of {format_duration(least)}"
        return f"{state} {rollout['phase'] + 1} of {len(phases)}, {passed}"
    why = rollout["reason"] or rollout["cause"]
    if rollout["state"] == "finishing":
        finishing = rollout["finishing"]
        back = format_ratio(1 - rollout["weight_ratio"])
        far = f"{back} of the traffic back on the stable servers, step {finishing['step']} of {len(finishing['steps'])}"
        return f"finishing, {far}" + (f", frozen: {why} ({rollout['actor']})" if finishing["frozen"] else "")
    until = f", rollback at {moment(rollout['rollback_at'])}" if rollout["rollback_at"] else ""
    return f"{state}{until} ({why})" if why else f"{state}{until}"
