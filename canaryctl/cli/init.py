"""`canary init`: look into an order database, propose how its tables map to events, write a first policy."""

import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from canary.errors import CanaryError
from canary.finding import Finding
from canary.policy import Policy, load_policy
from canary.policy.database.section import Database
from canary.policy.reading.document import Document, read_document
from canary.policy.schema import policy_schema
from canaryctl.check.shop.database import check_database
from canaryctl.check.shop.rows import sample_rows
from canaryctl.cli.console import print_json, table_console
from canaryctl.cli.options import one_of, output_format
from canaryctl.init.draft import Draft, draft
from canaryctl.init.platform import platforms
from canaryctl.init.showing import Rows, show_draft, show_rows
from canaryctl.init.stamp import stamp
from canaryctl.init.starter import ROUTERS, SCHEMA_FILE, SCHEMA_LINE, Start, starter
from canaryctl.init.zone import guess_zone, is_zone, server_zones
from canaryctl.output import writing
from exporter.source.database import OrderDatabase, Patience
from exporter.source.session import order_session

_SHOWN_ROWS = 3
"""Rows of each event that are shown: enough to see that they are the right ones."""

_MOMENT = 1
"""The column of a sampled row that says when it came to be."""

_ANOTHER = "; --timezone says another"

_SELECTOR = 'Label matchers of the shop\'s own series in Prometheus, such as job="shop" (empty: it has none yet)'


def _a_zone(_context: click.Context | None, _option: click.Parameter | None, name: str | None) -> str | None:
    """A zone's name as it is; here, as a fault of the policy it would be one of a file that nobody has seen."""
    if name is not None and not is_zone(name):
        raise click.BadParameter(f"no time zone {name!r}; write one such as Europe/Berlin")
    return name


@click.command()
@output_format
@click.option("--database", "url", help="SQLAlchemy URL of the order database, such as sqlite:///shop.db. Only read.")
@click.option(
    "--password-file", type=click.Path(dir_okay=False), help="File with its password, as seen from the policy."
)
@click.option("--service", help="The shop's name.")
@click.option("--router", type=click.Choice([*ROUTERS, "none"]), help="What divides the traffic.")
@one_of("--platform", "NAME", sorted(platforms()), "The shop's platform; found by its tables otherwise.")
@click.option("--prefix", help="What stands before the names of the platform's tables, such as wp_.")
@click.option(
    "--timezone",
    callback=_a_zone,
    help="Zone of the shop's times, such as Europe/Berlin, where its settings do not say it.",
)
@click.option("--selector", help="Label matchers of the shop's own series in Prometheus, such as 'job=\"shop\"'.")
@click.option(
    "--output",
    default="canary.yaml",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.",
)
@click.option(
    "--stamp", "stamping", is_flag=True, help="Print statements by which the database notes who writes; run nothing."
)
@click.option("--config.file", "config_file", type=click.Path(dir_okay=False), help="With --stamp: a policy there is.")
@click.option("--schema", "schema_only", is_flag=True, help="Only write the schema for editors, as after an upgrade.")
@click.option("--force", is_flag=True, help="Replace a policy that is there.")
@click.option("--yes", is_flag=True, help="Ask nothing: write what is proposed.")
def command(
    output_format: str, output: Path, force: bool, yes: bool, stamping: bool, schema_only: bool, **given: str | None
) -> None:
    """Propose a policy for an order database: shows what is counted with sample rows, writes the file, checks the data.

    A known shop platform is recognised by its tables and comes with its mapping; otherwise the mapping is guessed by
    the names of tables and columns. Asks for what is not given, when there is a terminal to ask at. The database is
    only read.

    Next to the policy comes a JSON schema, by which editors that know YAML's language server complete and explain keys.

    With --stamp nothing is written: it prints what an administrator may run so that the database itself notes which
    version wrote a row, for the tables of a policy (--config.file) or of the proposed mapping (docs/stamps.md).
    """
    if stamping:
        _stamp(output_format, given)
        return
    schema = output.with_name(SCHEMA_FILE)
    if schema_only:
        _write_schema(schema)
        click.echo(f"Wrote {schema}; a policy names it in its first line: {SCHEMA_LINE}")
        return
    _may_write(output, force, given)
    asking = sys.stdin.isatty() and not yes
    console = table_console() if output_format == "text" else Console(quiet=True)
    found, start, why = _known(asking, output, given)
    text = starter(start)
    show_draft(console, found, f"{start.timezone}: {why}")
    policy, rows, findings = _tried(text, output)
    show_rows(console, rows)
    if asking and not click.confirm("Write this policy?", default=found.platform is not None, err=True):
        raise CanaryError("not written", place=str(output), remedy="write the policy by hand: docs/your-database.md")
    _write(output, text)
    _write_schema(schema)
    if output_format == "json":
        print_json(_as_json(output, found, rows, findings) | {"timezone": start.timezone, "timezone_reason": why})
        return
    for finding in findings:
        console.print(Text(f"{finding.status.value:<8} {finding}"), soft_wrap=True)
    click.echo(f"Wrote {output} with the KPIs {', '.join(policy.kpis)}. Next: canary check --config.file {output}")


def _known(asking: bool, output: Path, given: Mapping[str, str | None]) -> tuple[Draft, Start, str]:
    """What the database shows, and what the policy is to be made of: given, asked for, or found; and why its zone."""
    url = given["url"] or _ask(asking, "--database", "Order database (SQLAlchemy URL)", "sqlite:///shop.db")
    service = given["service"] or _ask(asking, "--service", "Name of the shop", "shop")
    router = given["router"] or (_prompt(f"Router ({', '.join(ROUTERS)}, none)", "none") if asking else "none")
    _without_password(url)
    found, servers = asyncio.run(_look(url, output.absolute().parent, given))
    start = Start(
        service,
        url,
        found.mapping,
        found.origin,
        found.kpis,
        router,
        given["password_file"],
        given["timezone"] or "UTC",
    )
    zone, why = _zone(asking, output, start, servers, given["timezone"], found.timezone)
    selector = given["selector"] or (_prompt(_SELECTOR, "") if asking else "")
    return found, replace(start, timezone=zone, selector=selector), why


def _zone(
    asking: bool, output: Path, start: Start, servers: Sequence[str], given: str | None, known: str | None
) -> tuple[str, str]:
    """The zone of times without one, and why it is this one: said, known of the platform, asked for or guessed."""
    if given is not None:
        return given, "as --timezone says"
    if known is not None:
        return known, f"the platform keeps them so{_ANOTHER}"

    async def newest(zone: str) -> dict[str, float]:
        rows = await _newest(_policy_of(starter(replace(start, timezone=zone)), output)[0])
        moments = {event: [row[_MOMENT] for row in some if row[_MOMENT] is not None] for event, some in rows.items()}
        return {event: max(known) for event, known in moments.items() if known}

    guess = asyncio.run(guess_zone(newest, servers, datetime.now(UTC).timestamp()))
    if not (asking and guess.needed):
        return guess.zone, f"{guess.why}{_ANOTHER}"
    question = f"Time zone of the shop's times ({guess.zone}: {guess.why})"
    zone = str(click.prompt(question, guess.zone, err=True, value_proc=lambda said: _a_zone(None, None, said)))
    return zone, guess.why if zone == guess.zone else "as was said"


def _write_schema(schema: Path) -> None:
    """What the installed version takes; a file of this name is ours, and an older version's is replaced."""
    _write(schema, json.dumps(policy_schema(), indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    with writing(path):
        path.write_text(text, encoding="utf-8")


def _may_write(output: Path, force: bool, given: Mapping[str, str | None]) -> None:
    if given["config_file"]:
        raise click.UsageError("--config.file goes with --stamp; the policy to write is --output")
    if output.exists() and not force:
        raise CanaryError(
            "exists already", place=str(output), remedy="name another with --output, or replace it with --force"
        )


def _without_password(url: str) -> None:
    if ":" in url.partition("://")[2].rpartition("@")[0]:
        raise CanaryError(
            "holds a password, which must not stand in a policy", place="--database", remedy="give --password-file"
        )


def _stamp(output_format: str, given: Mapping[str, str | None]) -> None:
    policy = load_policy(given["config_file"]) if given["config_file"] else _proposed(given)
    found = stamp(policy, OrderDatabase.of(policy, Patience.STUDY).url.get_backend_name())
    if output_format == "json":
        print_json({"statements": found.statements, "events": found.events})
    else:
        click.echo(found.text())


def _proposed(given: Mapping[str, str | None]) -> Policy:
    """The policy that would be written for a database; it is not."""
    url = _ask(False, "--database or --config.file", "", "") if given["url"] is None else given["url"]
    _without_password(url)
    found, _ = asyncio.run(_look(url, Path.cwd(), given))
    text = starter(Start("shop", url, found.mapping, found.origin, found.kpis, password_file=given["password_file"]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "canary.yaml"
        path.write_text(text, encoding="utf-8")
        return replace(load_policy(path), base=str(Path.cwd()))


def _ask(asking: bool, option: str, question: str, default: str) -> str:
    if not asking:
        raise click.UsageError(f"{option} is needed when there is no terminal to ask at")
    return _prompt(question, default)


def _prompt(question: str, default: str) -> str:
    return str(click.prompt(question, default, err=True))  # what is printed may be read by a program


async def _look(url: str, base: Path, given: Mapping[str, str | None]) -> tuple[Draft, list[str]]:
    """What the database shows, and the zones of its server."""
    section = Database(url=url, password_file=given["password_file"])
    policy = Policy(service="init", database=section, base=str(base))
    async with order_session(policy, Patience.STUDY) as session:
        return await draft(session, given["platform"], given["prefix"]), await server_zones(session)


def _tried(text: str, output: Path) -> tuple[Policy, Rows, list[Finding]]:
    """The policy that the text is, the newest rows of each event, and what is odd about the data."""
    policy, document = _policy_of(text, output)
    return policy, asyncio.run(_newest(policy)), asyncio.run(check_database(policy, data=True, document=document))


def _policy_of(text: str, output: Path) -> tuple[Policy, Document]:
    """It is written next to the file that is asked for, as relative paths in it start there, and taken away again."""
    tried = output.with_name(f".{output.name}.tried")
    _write(tried, text)
    try:
        return load_policy(tried), replace(read_document(tried), path=output)
    finally:
        tried.unlink()


async def _newest(policy: Policy) -> Rows:
    async with order_session(policy, Patience.STUDY) as session:
        found = await sample_rows(policy, session, _SHOWN_ROWS)
    return {event: [list(row) for row in rows] for event, rows in found.items()}


def _as_json(output: Path, found: Draft, rows: Rows, findings: Sequence[Finding]) -> dict[str, Any]:
    """What was written and why, for scripts: a guessed event with its table, keys and sampled rows by version."""
    guessed = [
        {"event": one.event, "table": one.table, "keys": dict(one.keys), "rows": found.versions[one.event]}
        for one in found.proposed
    ]
    platform = found.platform
    return {
        "output": str(output),
        "platform": None if platform is None else platform.name,
        "kpis": list(found.kpis),
        "impossible": {} if platform is None else dict(platform.impossible),
        "unread": found.unread,
        "events": guessed or [{"event": event} for event in rows],
        "findings": [finding.as_json() for finding in findings],
    }
