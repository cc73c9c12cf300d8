"""Where the rollout's memory lives: the journal, the rollback log, the reports."""

import os
import shutil
from pathlib import Path

from sqlalchemy.engine import URL

from alertmanager.receiver.act.trust import require_slots
from alertmanager.receiver.lead.postgres import LEADER_REMEDY
from canary.database.postgres import Pooling, pooling, room
from canary.database.url import driver_address, shown_url
from canary.errors import CanaryError, PolicyError
from canary.finding import Finding, failed, ok, skipped, warning
from canary.policy import Policy
from canary.rollout.folding import fold, newest
from canary.rollout.journal.journal import Journal, journal_url

# A rollout's journal and report take a few MiB; on a disk this full something else is about to fill it.
_LOW_BYTES = 200 * 1024**2
_CONNECT_SECONDS = 5.0
"""A person waits; the receiver itself gives up sooner."""
_CONNECTIONS = 3
"""Of one service in one receiver: the leader's lock has its own, the journal one, and a second one at moments."""
_RECEIVERS = 2
"""A journal in PostgreSQL is there for several receivers."""


async def check_state(policy: Policy) -> list[Finding]:
    """Whether a decision could be written down; writes nothing that stays."""
    try:
        url = journal_url(policy)
    except CanaryError as error:
        return [failed(error.place or "state", error.what, error.remedy)]
    # Opening a file that is not there would create it, as this user's, and the receiver's user could not write it.
    findings = [_writable("state.url", Path(str(url.database)))] if unborn(policy) else await _journal(policy, url)
    if url.get_backend_name() == "sqlite":
        findings += _disk(f"state {url.database}", Path(str(url.database)))
    for key, text in (("rollback_log", policy.state.rollback_log), ("reports", policy.state.reports)):
        findings.append(_writable(f"state.{key}", Path(policy.base) / text if text else None))
    return findings


def unborn(policy: Policy) -> bool:
    """Whether the journal is a SQLite file that nobody has made yet.

    Raises:
        CanaryError: its address is none.
    """
    url = journal_url(policy)
    return url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists()


async def _journal(policy: Policy, url: URL) -> list[Finding]:
    place = f"state {url.database if url.get_backend_name() == 'sqlite' else shown_url(url)}"
    try:
        if url.get_backend_name() == "postgresql" and await _lock_is_lost(url):
            what = "a pooler in transaction mode is in between, through which no receiver can hold the leader's lock"
            return [failed(place, what, LEADER_REMEDY)]
        async with Journal.open(policy) as journal:
            await journal.probe()
            entries = await journal.entries()
            services = await journal.services() | {policy.service}
        require_slots(policy, newest(fold(entries)))
        crowded = await _crowded(place, url, len(services)) if url.get_backend_name() == "postgresql" else []
    except PolicyError as error:
        fault = error.faults[0]
        return [failed(fault.place, fault.what, fault.remedy)]
    except CanaryError as error:
        return [failed(place, error.what, error.remedy or "give this user the right to write there")]
    return [ok(place, f"the journal can be written, {len(entries)} entries"), *crowded]


async def _crowded(place: str, url: URL, services: int) -> list[Finding]:
    """A server with too few connections for all who keep their journal there: receivers that get none lead nothing."""
    found = await room(driver_address(url, place="state.url"), _CONNECT_SECONDS)
    needed = services * _CONNECTIONS * _RECEIVERS
    if needed > found.most:
        each = f"{_CONNECTIONS} for each service in each of {_RECEIVERS} receivers, services: {services}"
        what = f"found {found.most} connections, expected {needed} ({each})"
    elif found.free < _CONNECTIONS:
        what = f"{max(0, found.free)} of {found.most} connections are free, expected {_CONNECTIONS} for each service"
    else:
        return []
    remedy = "raise max_connections, or the limit of this database or user; or give some services another server"
    return [warning(place, what, remedy)]


async def _lock_is_lost(url: URL) -> bool:
    return await pooling(driver_address(url, place="state.url"), _CONNECT_SECONDS) is Pooling.TRANSACTION


def _disk(place: str, path: Path) -> list[Finding]:
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free >= _LOW_BYTES:
        return []
    return [warning(place, f"only {free // 1024**2} MiB are free on this disk", "make room before the next rollout")]


def _writable(place: str, path: Path | None) -> Finding:
    if path is None:
        return skipped(place, "the policy names none")
    target = path
    while not target.exists():
        target = target.parent
    if os.access(target, os.W_OK):
        return ok(place, f"{path} can be written")
    return failed(place, f"{path} cannot be written by this user", f"give it the right to write to {target}")
