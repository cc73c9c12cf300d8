"""Break what a kept demo runs: the canary, the payment provider, the router, Prometheus.

A kept demo leaves a file in its folder that says where its parts are. A process is named by its number and the kernel's
tick of its start, since a number alone is given to another process in time. What is broken can be healed: the router
and Prometheus are frozen and not killed, so that they go on with what they knew, as after a machine's pause.
"""

import json
import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

import aiohttp

from canary.errors import ProcessError
from demo.shop.faults import PATTERNS
from demo.stack.daemon import started_at

FILE = "demo.json"
PREFIX = "canary-demo-"
FROZEN = {"router": "haproxy", "prometheus": "prometheus"}
WHATS = (*PATTERNS, "provider", *FROZEN)
"""What can be broken: the canary in one of its ways, the payments of both versions, or a part of the stack."""

_SECONDS = 5.0


def remember(folder: Path, shops: dict[str, str], pids: dict[str, int]) -> None:
    """Write down where a demo's shops are, by version's role, and which processes its parts are."""
    known = {name: [pid, started_at(pid)] for name, pid in {**pids, "demo": os.getpid()}.items()}
    path = folder / FILE
    path.touch(mode=0o600)
    path.write_text(json.dumps({"shops": shops, "processes": known}), encoding="utf-8")


def find(folder: Path | None) -> Path:
    """The folder of the demo that runs, the newest where there are several.

    Raises:
        ProcessError: none runs.
    """
    folders = [folder] if folder else list(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))
    running = [one / FILE for one in folders if _runs(one / FILE)]
    if not running:
        raise ProcessError(
            f"no kept demo runs in {folder or tempfile.gettempdir()}",
            place="canary demo break",
            remedy="start one in another terminal with `canary demo --keep` and wait until it says what can be broken;"
            " of one that was started with --directory, say the same --directory here",
        )
    return max(running, key=lambda path: path.stat().st_mtime).parent


async def break_it(folder: Path, what: str, *, heal: bool) -> None:
    """Break one thing of the demo in a folder, or make it well again.

    Raises:
        ProcessError: that part does not run.
    """
    known = json.loads((folder / FILE).read_text(encoding="utf-8"))
    if what in FROZEN:
        pid, since = known["processes"][FROZEN[what]]
        if started_at(pid) != since:
            raise ProcessError("it has ended", place=what)
        os.killpg(pid, signal.SIGCONT if heal else signal.SIGSTOP)
        return
    faults = PATTERNS["payments" if what == "provider" else what]
    wanted = dict.fromkeys(faults, 0.0) if heal else faults
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS)) as session:
        for role in ("stable", "canary") if what == "provider" else ("canary",):
            try:
                async with session.put(f"{known['shops'][role]}/-/faults", json=wanted) as response:
                    response.raise_for_status()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise ProcessError(
                    f"the {role} shop does not answer",
                    place=what,
                    remedy="after a rollback: `canary start --again`",
                ) from error


def _runs(path: Path) -> bool:
    """Whether a folder's demo is ours and alive."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        if path.stat().st_uid == os.getuid():
            pid, since = json.loads(path.read_text(encoding="utf-8"))["processes"]["demo"]
            return bool(started_at(pid) == since)
    return False
