"""What `canary start` looks at before it asks the receiver: everything that `canary check` looks at.

Apart from the other commands, because this needs the parts of every room: they take longer to import than a rollback
takes to be asked for, and whoever rolls back shall not wait for them.
"""

from pathlib import Path

import click

from canary.errors import RefusedError
from canary.finding import Finding, Status
from canary.timing.clock import SystemClock
from canaryctl.check.run import PARTS, WATCHED, check_all
from canaryctl.generated import generated_files

# What a rollback needs. Without the rest the canary is held or judged by less.
_NEEDED = ("secrets", "state", WATCHED, "alertmanager", "receiver", "router", "process")


async def look_at_everything(path: Path) -> None:
    """Tell what is found, as warnings.

    Raises:
        RefusedError: something would hinder a rollback.
    """
    # One after the other: generating rules keeps this process busy, and servers seem slow meanwhile.
    needed = await _troubles(path, _NEEDED)
    if faults := [str(finding) for finding in needed if finding.failed]:
        raise RefusedError(
            "not started, a rollback might not work:\n"
            + "\n".join(faults)
            + "\nFix the above, or start anyway with --force."
        )
    rest = await _troubles(path, tuple(part for part in PARTS if part not in _NEEDED))
    for finding in (*needed, *(finding for finding in rest if finding.failed)):
        click.echo(f"warning: {finding}", err=True)


async def _troubles(path: Path, parts: tuple[str, ...]) -> list[Finding]:
    """What does not work, or will hurt one day."""
    found = [finding async for finding in check_all(path, generated_files, SystemClock(), parts)]
    return [finding for finding in found if finding.status in (Status.FAILED, Status.WARNING)]
