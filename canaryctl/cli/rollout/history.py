"""`canary history`: a line per rollout; of one rollout, what was decided, when, by whom and why."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from canary.errors import RefusedError
from canary.policy import Policy, load_policy
from canary.rollout.passport import Passport
from canary.timing.times import from_text
from canary.timing.zones import in_zone, moment
from canary.units import format_duration
from canary.web.client import Client
from canaryctl.cli.completion import rollout_ids
from canaryctl.cli.console import plain, print_json, table_console
from canaryctl.cli.options import config_file, output_format

_BOOKKEEPING = ("notified", "step_done", "elapsed")

Entry = dict[str, Any]

# What was recorded, by its occasion. Its key is for the receiver only, to write nothing down twice.
_RECORDED = {
    "clock": "clock was set",
    "dry_hold": "dry run: would have held",
    "dry_run": "dry run: would have rolled back",
    "gate": "waits for a person",
    "pause": "receiver was stopped",
    "router": "router was restored",
    "schedule": "scheduled start refused",
    "silence": "alerts are silenced",
    "watch": "limit broken after the promotion",
    "watched": "watch is over",
}

# What a rollout has come to, by the kind of its newest decision; a phase and a hold say which themselves.
_OUTCOMES = {
    "promoted": "promoted",
    "finishing": "finishing",
    "finish_step": "finishing",
    "finish_back": "promoted",
    "finished": "finished",
    "rollback": "rolling back",
    "rolled_back": "rolled back",
    "failed": "failed",
}
_DECISIONS = frozenset({"started", "adopted", "advanced", "held", "resumed", *_OUTCOMES})


@click.command("history")
@config_file
@output_format
@click.option("--rollout", shell_complete=rollout_ids, help="Everything about this rollout; the newest is `latest`.")
@click.option("--all", "everything", is_flag=True, help="Every row, also the steps done and the people told.")
def command(config_file: str, output_format: str, rollout: str | None, everything: bool) -> None:
    """List the rollouts, one a line; with --rollout or --all what was decided, when, by whom and why.

    JSON has the journal's entries.
    """
    policy = load_policy(config_file)
    entries, zone = asyncio.run(_entries(policy, rollout)), policy.receiver.timezone
    if not everything:
        entries = [entry for entry in entries if entry["kind"] not in _BOOKKEEPING]
    if output_format == "json":
        print_json(entries)
        return
    _tell(entries, rollout, zone, rows=bool(rollout or everything))


def _tell(entries: Sequence[Entry], rollout: str | None, zone: str, *, rows: bool) -> None:
    """A line for each rollout, or for each of the *rows*. A freeze before the first rollout is about none."""
    titles: Sequence[str]
    if rows:
        titles, lines = ("row", "time", "rollout", "what", "by", "why"), [_details(entry) for entry in entries]
    else:
        titles = ("rollout", "versions", "began", "lasted", "outcome", "by", "why", "notes")
        lines = list(_rollouts(entries))
    if not lines:
        _say_that_there_is_none(rollout)
        return
    _show(titles, lines, zone)
    if rows:
        _passports(entries, zone)


def _say_that_there_is_none(rollout: str | None) -> None:
    """An empty table would not say whether nothing was decided, or another id is meant.

    Raises:
        RefusedError: there is no such rollout.
    """
    if rollout and rollout != "latest":
        raise RefusedError(f"there is no rollout {plain(rollout)}", remedy="`canary history` shows all")
    click.echo("no rollout has been started yet; `canary start` begins one")


def _show(titles: Sequence[str], rows: Sequence[Sequence[str]], zone: str) -> None:
    table = Table(*titles, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        # As plain text, so that nothing an alert says is taken for markup, or steers the terminal.
        table.add_row(*(Text(in_zone(plain(cell), zone)) for cell in row))
    table_console().print(table)


def _passports(entries: Sequence[Entry], zone: str) -> None:
    """What was found when each of the rollouts began."""
    for entry in entries:
        if passport := entry["data"].get("passport"):
            click.echo(f"found at the start of {plain(entry['rollout'])}:")
            for title, text in Passport.read(passport).lines():
                click.echo(f"  {title}: {in_zone(plain(text), zone)}")


def _details(entry: Entry) -> Sequence[str]:
    what = _RECORDED.get(entry["data"].get("occasion", ""), str(entry["kind"]).replace("_", " "))
    what += _detail(entry["data"])
    return str(entry["seq"]), moment(entry["at"]), entry["rollout"], what, entry["actor"], entry["reason"]


def _detail(data: dict[str, Any]) -> str:
    detail = data.get("step") or data.get("cause")
    # People count from 1.
    if isinstance(data.get("step"), int):
        detail = f"step {data['step'] + 1}"
    if "phase" in data:
        detail = f"phase {data['phase'] + 1}"
    parts = [str(part) for part in (detail, data.get("category")) if part]
    return f" ({', '.join(parts)})" if parts else ""


def _rollouts(entries: Sequence[Entry]) -> Iterator[Sequence[str]]:
    """One line per rollout; what is about none, such as drills, has none."""
    by_rollout: dict[str, list[Entry]] = {}
    for entry in entries:
        by_rollout.setdefault(entry["rollout"], []).append(entry)
    for rollout, own in by_rollout.items():
        decisions = [entry for entry in own if entry["kind"] in _DECISIONS]
        start = next((entry for entry in own if entry["kind"] in ("started", "adopted")), None)
        if start is not None:
            yield _line(rollout, start, decisions, notes=sum(entry["kind"] == "note" for entry in own))


def _line(rollout: str, start: Entry, decisions: Sequence[Entry], notes: int) -> Sequence[str]:
    last = decisions[-1]
    # Why it was rolled back is in the decision; that it is complete says nothing more.
    why = next((entry for entry in reversed(decisions) if entry["kind"] == "rollback"), last)
    over = last["kind"] in _OUTCOMES and last["kind"] != "rollback"
    return (
        rollout,
        f"{start['data']['canary']} against {start['data']['stable']}",
        moment(start["at"]),
        format_duration(round((_at(last) - _at(start)).total_seconds())) if over else "",
        _outcome(decisions) + _detail(why["data"] if why["kind"] == "rollback" else {}),
        why["actor"],
        why["reason"],
        str(notes or ""),
    )


def _outcome(decisions: Sequence[Entry]) -> str:
    kind = decisions[-1]["kind"]
    if kind in _OUTCOMES:
        return _OUTCOMES[kind]
    phase = next((entry["data"]["phase"] for entry in reversed(decisions) if entry["kind"] == "advanced"), 0)
    return f"{'held in ' if kind in ('held', 'adopted') else ''}phase {phase + 1}"


def _at(entry: Entry) -> datetime:
    return from_text(entry["at"])


async def _entries(policy: Policy, rollout: str | None) -> list[Entry]:
    async with Client.of(policy) as client:
        if rollout == "latest":
            newest = (await client.get("status"))["rollout"]
            rollout = newest["id"] if newest else None
        entries = await client.get("history", **({"rollout": rollout} if rollout else {}))
    assert isinstance(entries, list)
    return entries
