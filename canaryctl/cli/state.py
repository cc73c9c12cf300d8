"""`canary state`: the care of the journal: `verify`, `backup`, `move`.

They open the journal's database themselves, because a journal is cared for when no receiver can be asked.
"""

import asyncio
import os
from pathlib import Path

import click
from sqlalchemy.engine import URL, make_url

from alertmanager.receiver.lead.leader import FileLeader, leader_of
from alertmanager.receiver.lead.postgres import PostgresLeader
from canary.errors import InputError, JournalError, RefusedError
from canary.policy import Policy, load_policy
from canary.policy.model import State
from canary.rollout import transfer
from canary.rollout.journal.journal import journal_url
from canary.timing.clock import SystemClock
from canaryctl.cli.console import plain, print_json
from canaryctl.cli.options import config_file, output_format

# As the receiver's own files next to the journal: reasons and names are for administrators.
_MODE = 0o640


@click.group("state")
def command() -> None:
    """Look after the journal of all decisions."""


@command.command("verify")
@config_file
@output_format
def verify(config_file: str, output_format: str) -> None:
    """Read every row; exit status 1 when one is not understood, or rows are missing."""
    policy = load_policy(config_file)
    _require_there(journal_url(policy))
    verdict = asyncio.run(transfer.verify(journal_url(policy), policy.service))
    faults = [plain(fault) for fault in verdict.faults]
    if output_format == "json":
        print_json({"rows": verdict.rows, "faults": faults})
    else:
        click.echo("\n".join([*faults, f"{verdict.rows} rows, {len(faults)} faults"]))
    if verdict.faults:
        raise SystemExit(1)


@command.command("backup")
@config_file
@output_format
@click.argument("file", type=click.Path(dir_okay=False))
def backup(config_file: str, file: str, output_format: str) -> None:
    """Copy the journal into a new SQLite file, whatever runs meanwhile.

    The file can be named as `state.url` itself: `sqlite:///FILE`.
    """
    policy = load_policy(config_file)
    _require_there(journal_url(policy))
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE))
    except OSError as error:
        raise InputError(f"cannot be made ({error.strerror})", place=file, remedy="name a new file") from error
    target = make_url("sqlite+aiosqlite://").set(database=str(Path(file).resolve()))
    count = asyncio.run(transfer.copy(journal_url(policy), target, policy.service))
    if output_format == "json":
        print_json({"rows": count, "file": file})
    else:
        click.echo(f"{count} rows written to {file}")


@command.command("move")
@config_file
@output_format
@click.option("--to", "target", required=True, help="The database to move to, as `state.url` names it.")
def move(config_file: str, target: str, output_format: str) -> None:
    """Copy the journal into another database, while no receiver runs.

    The old one stays as it is. Set `state.url` to the new one afterwards, then start the receivers.
    """
    policy = load_policy(config_file)
    source, new = journal_url(policy), _target(policy, target)
    _require_there(source)
    asyncio.run(_require_nobody(policy))
    count = asyncio.run(transfer.copy(source, new, policy.service))
    verdict = asyncio.run(transfer.verify(new, policy.service))
    if output_format == "json":
        print_json({"rows_copied": count, "rows_found": verdict.rows})
    else:
        click.echo(f"{count} rows copied, {verdict.rows} found there; now set state.url, then start the receivers")


def _target(policy: Policy, text: str) -> URL:
    # As the policy would read it; only the journal's place differs.
    return journal_url(Policy(service=policy.service, state=State(url=text), base=policy.base))


def _require_there(url: URL) -> None:
    """SQLite makes a file that is missing; an empty journal must not be taken for the one that was looked for."""
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        raise JournalError("is not there", place=f"journal {url.database}", remedy="see `state.url` in the policy")


async def _require_nobody(policy: Policy) -> None:
    leader = leader_of(policy, SystemClock())
    try:
        if isinstance(leader, FileLeader):
            free = leader.try_lock()
        else:
            assert isinstance(leader, PostgresLeader)  # there are two kinds
            await leader.step()
            free = leader.leading
    finally:
        await leader.close()
    if not free:
        raise RefusedError(
            "a receiver runs, whose decisions the copy would lack", place="cannot move", remedy="stop it first"
        )
