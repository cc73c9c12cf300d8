"""`canary drill`: an alert takes the rollback path, and every link's time is told. Moves no traffic."""

import asyncio
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
import click
from rich.console import Console
from rich.text import Text

from canary import names
from canary.errors import RemoteError
from canary.policy import Policy, load_policy
from canary.prometheus import PATIENT, Alertmanager
from canary.timing.clock import Clock, SystemClock
from canary.timing.times import to_text
from canary.web.client import Client
from canaryctl.check.alertmanager import check_silences
from canaryctl.cli.console import print_json
from canaryctl.cli.options import config_file, output_format

# The times that are shown are as exact as this; twenty questions a second are nothing to a receiver.
_LOOK_SECONDS = 0.05

# Alertmanager resolves the alert by itself after this, so that a drill that is broken off leaves nothing firing.
_ALERT_LIFE = timedelta(minutes=1)


@click.command()
@config_file
@output_format
@click.option("--through-prometheus", is_flag=True, help="Begin at a rule of Prometheus instead of at Alertmanager.")
@click.option("--timeout", "timeout_seconds", default=60.0, show_default=True, help="Seconds to wait for the alert.")
def command(config_file: str, output_format: str, through_prometheus: bool, timeout_seconds: float) -> None:
    """Prove that a rollback would arrive and could act.

    A test alert goes through the real Alertmanager to the receiver, which then looks at everything that a rollback
    would touch: routers, the canary's process, the journal. No traffic is moved and nobody is notified.

    Exit status: 0 proven, 1 something would have failed, 4 the alert did not arrive.
    """
    policy = load_policy(config_file)
    console = Console(highlight=False, quiet=output_format == "json")
    with console.status("waiting for the alert to arrive"):
        report = asyncio.run(_drill(policy, through_prometheus, timeout_seconds, SystemClock()))
    if output_format == "json":
        print_json(report.as_json())
    else:
        _show(console, report)
    sys.exit(0 if report.passed else 1)


@dataclass
class Report:
    """The links of the way, in order, with the seconds at which each was reached.

    Attributes:
        silenced: a silence forbids every rollback, so that there is nothing to prove.
    """

    id: str
    passed: bool = False
    silenced: bool = False
    links: list[dict[str, Any]] = field(default_factory=list)

    def add(self, seconds: float, place: str, what: str, *, ok: bool = True) -> None:
        """One more link."""
        self.links.append({"at_seconds": round(seconds, 3), "place": place, "ok": ok, "what": what})

    def as_json(self) -> dict[str, Any]:
        """For `--format json`."""
        return {"id": self.id, "passed": self.passed, "links": self.links}


async def _drill(policy: Policy, through_prometheus: bool, timeout_seconds: float, clock: Clock) -> Report:
    started = clock.monotonic()
    async with Client.of(policy) as client, aiohttp.ClientSession() as http:
        alertmanager = Alertmanager.of(policy, http, limits=PATIENT)
        if silences := [one for one in await check_silences(policy, alertmanager) if one.failed]:
            report = Report(secrets.token_hex(6), silenced=True)
            for one in silences:
                report.add(clock.monotonic() - started, "alertmanager", f"{one.what}; {one.remedy}", ok=False)
            return report
        if through_prometheus:
            report = Report(await client.start_drill())
            report.add(clock.monotonic() - started, "receiver", f"asks Prometheus to begin drill {report.id}")
        else:
            report = Report(secrets.token_hex(6))
            status = await client.get("status")
            await _post(alertmanager, policy, report.id, status["rollout"], clock)
            report.add(clock.monotonic() - started, "alertmanager", f"took the test alert of drill {report.id}")
        arrived = False
        while clock.monotonic() - started < timeout_seconds:
            drill: Mapping[str, Any] | None = await client.find(f"drill/{report.id}")
            if drill is not None and not arrived:
                arrived = True
                report.add(clock.monotonic() - started, "receiver", "got the alert through Alertmanager's webhook")
            if drill is not None and drill["finished_at"]:
                for link in drill["links"]:
                    report.add(clock.monotonic() - started, link["place"], link["what"], ok=link["ok"])
                report.passed = bool(drill["passed"])
                return report
            await clock.sleep(_LOOK_SECONDS)
    raise RemoteError(
        f"the alert did not reach the receiver within {timeout_seconds:g}s; a real rollback would not have come either",
        place=f"drill {report.id}",
        remedy="`canary check` looks at every link: "
        + ("scrape, rules, " if through_prometheus else "")
        + "Alertmanager's routes and silences, the webhook's token",
    )


async def _post(
    alertmanager: Alertmanager, policy: Policy, drill_id: str, rollout: Mapping[str, Any] | None, clock: Clock
) -> None:
    """Hand Alertmanager an alert that is routed as a rollback is, but is about no rollout that there is.

    It has the severity and the labels that a real one would have now: what keeps a critical alert, or one about this
    version, from the receiver, an inhibition or a route of another team, keeps this one too, and the drill fails.

    Args:
        rollout: the newest one, as the status has it.
    """
    now = clock.now()
    versions = {} if rollout is None else {role: str(rollout[role]) for role in (names.STABLE, names.CANARY)}
    alert = {
        "labels": {
            "alertname": names.DRILL,
            names.SERVICE: policy.service,
            names.ACTION: "rollback",
            names.SEVERITY: "critical",
            **versions,
            **({names.VERSION: versions[names.CANARY]} if versions else {}),
            # No rollout has this id; a group of its own in Alertmanager has no earlier drill to wait for.
            names.ROLLOUT: f"drill-{drill_id}",
            names.DRILL_LABEL: drill_id,
        },
        "annotations": {"summary": "A drill: moves no traffic"},
        "startsAt": to_text(now),
        "endsAt": to_text(now + _ALERT_LIFE),
    }
    await alertmanager.post([alert])


def _show(console: Console, report: Report) -> None:
    for link in report.links:
        mark = Text("ok    ", "green") if link["ok"] else Text("failed", "bold red")
        line = Text.assemble(f"{link['at_seconds']:8.3f}s  ", mark, f"  {link['place']}: {link['what']}")
        console.print(line, soft_wrap=True)
    console.print(f"{_verdict(report)} No traffic was moved.", soft_wrap=True)


def _verdict(report: Report) -> str:
    if report.silenced:
        return "A rollback would not be done: it is silenced."
    if report.passed:
        return "A rollback would arrive and could act."
    return "A rollback would arrive, but could not do everything."
