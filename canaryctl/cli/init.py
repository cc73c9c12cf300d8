"""`canary init`: look into an order database, propose how its tables map to events, write a first policy."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from canary.errors import CanaryError
from canary.policy import Policy
from canary.policy.orders import Database
from canaryctl.cli.console import print_json, table_console
from canaryctl.cli.options import output_format
from canaryctl.init.proposal import Column, Proposed, Source, excluded, judgeable, outcomes, propose
from canaryctl.init.starter import Start, starter
from exporter.source.database import Patience, Session
from exporter.source.session import order_session

# Read in a moment from any shop's database without an index, and enough to meet every version that serves now.
_SAMPLE_ROWS = 10_000

# A column with more different values than this is no status; what is read of it is thrown away.
_VALUES = 50


@click.command()
@output_format
@click.option("--database", "url", help="SQLAlchemy URL of the order database, such as sqlite:///shop.db. Only read.")
@click.option(
    "--password-file", type=click.Path(dir_okay=False), help="File with its password, as seen from the policy."
)
@click.option("--service", help="The shop's name.")
@click.option("--router", type=click.Choice(["haproxy", "nginx", "command", "none"]), help="What divides the traffic.")
@click.option(
    "--output",
    default="canary.yaml",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.",
)
@click.option("--force", is_flag=True, help="Replace a policy that is there.")
def command(
    output_format: str,
    url: str | None,
    password_file: str | None,
    service: str | None,
    router: str | None,
    output: Path,
    force: bool,
) -> None:
    """Propose a policy for an order database: shows the mapping with rows counted per version, writes the file.

    Asks for what is not given, when there is a terminal to ask at. The database is only read.
    """
    if output.exists() and not force:
        raise CanaryError(
            "exists already", place=str(output), remedy="name another with --output, or replace it with --force"
        )
    asking = sys.stdin.isatty()
    url = url or _ask(asking, "--database", "Order database (SQLAlchemy URL)", "sqlite:///shop.db")
    service = service or _ask(asking, "--service", "Name of the shop", "shop")
    router = router or (_prompt("Router (haproxy, nginx, command, none)", "none") if asking else "none")
    if ":" in url.partition("://")[2].rpartition("@")[0]:
        raise CanaryError(
            "holds a password, which must not stand in a policy", place="--database", remedy="give --password-file"
        )
    proposed, counts = asyncio.run(_look(url, password_file, output.absolute().parent))
    if output_format == "text":
        _show(table_console(), proposed, counts)
    kpis = judgeable(proposed)
    if not kpis:
        raise CanaryError(
            "no table looks like visits, carts, orders, payments or feedback",
            remedy="write the policy by hand, docs/your-database.md shows how",
        )
    output.write_text(starter(Start(service, url, proposed, kpis, router, password_file)), encoding="utf-8")
    if output_format == "json":
        print_json({"output": str(output), "kpis": list(kpis), "events": _events(proposed, counts)})
    else:
        click.echo(f"Wrote {output} with the KPIs {', '.join(kpis)}. Next: canary check --config.file {output}")


def _ask(asking: bool, option: str, question: str, default: str) -> str:
    if not asking:
        raise click.UsageError(f"{option} is needed when there is no terminal to ask at")
    return _prompt(question, default)


def _prompt(question: str, default: str) -> str:
    return str(click.prompt(question, default, err=True))  # what is printed may be read by a program


async def _look(url: str, password_file: str | None, base: Path) -> tuple[list[Proposed], dict[str, dict[str, int]]]:
    """The proposal, and the sampled rows of each event by version."""
    section = Database(url=url, password_file=password_file)
    policy = Policy(service="init", database=section, base=str(base))
    async with order_session(policy, Patience.STUDY) as session:
        proposed = propose(await session.run(_sources))
        proposed = [await _with_values(session, one) for one in proposed]
        counts = {one.event: await _versions(session, one) for one in proposed}
    return proposed, counts


def _sources(connection: sa.Connection) -> list[Source]:
    inspector = sa.inspect(connection)
    sources = []
    for name in sorted({*inspector.get_table_names(), *inspector.get_view_names()}):
        references = {
            key["constrained_columns"][0]: key["referred_table"]
            for key in inspector.get_foreign_keys(name)
            if len(key["constrained_columns"]) == 1
        }
        columns = tuple(
            Column(column["name"], _kind(column["name"], column["type"]), references.get(column["name"]))
            for column in inspector.get_columns(name)
        )
        primary = inspector.get_pk_constraint(name)["constrained_columns"] if columns else []
        sources.append(Source(name, columns, primary[0] if len(primary) == 1 else None))
    return sources


def _kind(name: str, type_: sa.types.TypeEngine[object]) -> str:
    if isinstance(type_, sa.types.DateTime | sa.types.Date):
        return "time"
    if isinstance(type_, sa.types.Numeric | sa.types.Integer | sa.types.Float):
        return "number"
    # SQLite keeps times as text; only the column's name tells.
    looks_like_time = name.lower().endswith(("_at", "_on", "time", "timestamp", "date")) or name.lower() == "created"
    return "time" if looks_like_time else "text"


async def _with_values(session: Session, one: Proposed) -> Proposed:
    """The event with what its status column's values mean."""
    column = one.keys.get("outcome")
    if isinstance(column, str):
        succeeded, failed = outcomes(await _distinct(session, one, column))
        keys = {**one.keys, "succeeded": succeeded, "failed": failed} if succeeded else one.keys
        return Proposed(one.event, one.table, keys, one.sql)
    if one.event == "orders":
        columns = await session.columns(sa.text(f"SELECT * FROM {one.relation} LIMIT 0"))  # noqa: S608  # names from the database itself
        status = next((name for name in ("status", "state") if name in columns), None)
        cancelled = excluded(await _distinct(session, one, status)) if status else []
        if cancelled:
            return Proposed(one.event, one.table, {**one.keys, "exclude": {status: cancelled}}, one.sql)
    return one


async def _distinct(session: Session, one: Proposed, column: str) -> Sequence[str]:
    statement = f"SELECT DISTINCT {column} FROM (SELECT {column} FROM {one.relation} LIMIT {_SAMPLE_ROWS}) AS sample"  # noqa: S608  # as above
    rows = await session.rows(sa.text(statement))
    return [str(value) for (value,) in rows if value is not None][:_VALUES]


async def _versions(session: Session, one: Proposed) -> dict[str, int]:
    version = one.keys["version"]
    if version is None:
        return {}
    sample = f"(SELECT {version} AS version FROM {one.relation} LIMIT {_SAMPLE_ROWS}) AS sample"  # noqa: S608  # as above
    rows = await session.rows(sa.text(f"SELECT version, COUNT(*) FROM {sample} GROUP BY version"))  # noqa: S608  # as above
    return {str(name): int(count) for name, count in rows}


def _events(proposed: Sequence[Proposed], counts: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    """The proposal for scripts: each event's table, its keys in the policy, and the sampled rows of each version."""
    return [
        {"event": one.event, "table": one.table, "keys": dict(one.keys), "rows": counts[one.event]} for one in proposed
    ]


def _show(console: Console, proposed: Sequence[Proposed], counts: dict[str, dict[str, int]]) -> None:
    table = Table(box=None, header_style="bold")
    for title in ("event", "table", "columns", f"first {_SAMPLE_ROWS} rows by version"):
        table.add_column(title)
    for one in proposed:
        keys = {key: value for key, value in one.keys.items() if value is not None}
        rows = ", ".join(f"{version}: {count}" for version, count in sorted(counts[one.event].items()))
        missing = "no version column" if one.keys["version"] is None else "none"
        table.add_row(one.event, one.table, json.dumps(keys).replace('"', "").strip("{}"), rows or missing)
    console.print(table)
