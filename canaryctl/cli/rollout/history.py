"""`canary history`: what was decided, when, by whom and why."""

import asyncio
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from canary.policy.load import load_policy
from canary.web.client import Client
from canaryctl.cli.console import plain, print_json, table_console
from canaryctl.cli.options import config_file, output_format

_BOOKKEEPING = ("notified", "step_done")


@click.command("history")
@config_file
@output_format
@click.option("--rollout", help="Only this rollout.")
@click.option("--all", "everything", is_flag=True, help="Also the steps done and the people told.")
def command(config_file: str, output_format: str, rollout: str | None, everything: bool) -> None:
    """List what was decided, when, by whom and why."""
    entries = asyncio.run(_entries(config_file, rollout))
    if not everything:
        entries = [entry for entry in entries if entry["kind"] not in _BOOKKEEPING]
    if output_format == "json":
        print_json(entries)
        return
    table = Table("time (UTC)", "rollout", "what", "by", "why", box=None, header_style="bold", pad_edge=False)
    for entry in entries:
        at = str(entry["at"])[:19].replace("T", " ")
        what = str(entry["kind"]).replace("_", " ") + _detail(entry["data"])
        # As plain text, so that nothing an alert says is taken for markup, or steers the terminal.
        table.add_row(*(Text(plain(cell)) for cell in (at, entry["rollout"], what, entry["actor"], entry["reason"])))
    table_console().print(table)


def _detail(data: dict[str, Any]) -> str:
    detail = data.get("step") or data.get("cause") or data.get("key")
    if "phase" in data:
        detail = f"phase {data['phase'] + 1}"
    return f" ({detail})" if detail else ""


async def _entries(config_file: str, rollout: str | None) -> list[dict[str, Any]]:
    async with Client.of(load_policy(config_file)) as client:
        entries = await client.get("history", **({"rollout": rollout} if rollout else {}))
    assert isinstance(entries, list)
    return entries
