"""The commands that change a rollout, as a person and as a script see them."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from canary.errors import RefusedError, RemoteError
from canary.names import API_PREFIX
from tests.support.documents.commands import asked, run
from tests.support.receiving.receiver import Setting

ENTRY = {"seq": 1, "rollout": "v2.0-1", "kind": "held", "at": "2026-03-01T12:00:00Z", "actor": "ada", "reason": ""}


async def test_scripts_get_the_entry_and_what_stands_after_it(setting: Setting) -> None:
    """Each command prints the journal's entry, and the status as `canary status` has it."""
    start = ("start", "--canary", "v2.0", "--stable", "v1.0", "--force", "--reason", "release 42")
    said = [
        await asked(setting, *words)
        for words in (start, ("hold",), ("resume",), ("advance", "--force"), ("promote", "--force"))
    ]
    said.append(await asked(setting, "rollback", "--reason", "harm"))

    kinds = ["started", "held", "resumed", "advanced", "promoted", "rollback"]
    assert [one["entry"]["kind"] for one in said] == kinds
    assert said[0]["entry"]["reason"] == "v2.0 against v1.0: release 42"
    assert [one["status"]["rollout"]["state"] for one in said[:5]] == ["phase", "holding", "phase", "phase", "promoted"]
    assert said[5]["status"]["rollout"]["state"] in ("rolling_back", "rolled_back")
    assert said[1]["status"].keys() == (await asked(setting, "status")).keys()
    assert [one["kind"] for one in await asked(setting, "history")][:2] == kinds[:2]


async def test_people_get_a_line(setting: Setting) -> None:
    """It names the rollout and what was written."""
    result = await run(setting, "start", "--canary", "v2.0", "--stable", "v1.0", "--force")

    assert result.stdout.startswith("rollout v2.0-")
    assert ": started at 20" in result.stdout
    assert "next: watch it with `canary status --watch`" in result.stdout


async def test_the_status_has_its_earlier_name(setting: Setting) -> None:
    """`--json` goes on meaning `--format json`."""
    assert json.loads((await run(setting, "status", "--json")).stdout)["rollout"] is None


async def test_a_refusal_is_a_message_and_a_status_for_scripts_too(setting: Setting) -> None:
    """Nothing on standard output, the reason on standard error, exit status 3."""
    program = Path(sys.executable).with_name("canary")
    options = ("--format", "json", "--config.file", setting.policy_file)

    process = await asyncio.create_subprocess_exec(
        program, "hold", *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    printed, complained = await process.communicate()

    assert (process.returncode, printed) == (3, b"")
    assert complained.startswith(b"canary: ")


async def test_a_command_that_was_taken_does_not_fail_afterwards(tmp_path: Path) -> None:
    """When the receiver becomes unreachable, the entry is printed, the status is null, and a warning says why."""
    setting = Setting(tmp_path)

    async def take(_request: web.Request) -> web.Response:
        return web.json_response({**ENTRY, "data": {}})

    application = web.Application()
    application.router.add_post(f"{API_PREFIX}/hold", take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", setting.port).start()
    try:
        result = await run(setting, "hold", "--format", "json")
    finally:
        await runner.cleanup()

    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"entry": {**ENTRY, "data": {}}, "status": None}
    assert "warning: done, but" in result.stderr


async def test_a_rollout_in_progress_is_said_before_anything_is_looked_at(setting: Setting) -> None:
    """The checks take seconds, in which the other goes on; that it has is not why this one cannot begin."""
    await run(setting, "start", "--canary", "v2.0", "--stable", "v1.0", "--force")

    with pytest.raises(RefusedError, match=r"cannot start another rollout: rollout v2\.0-\S+ is in progress \(phase\)"):
        await run(setting, "start", "--canary", "v3.0", "--stable", "v1.0")


async def test_a_rollback_without_a_receiver_says_how_to_go_on_by_hand(tmp_path: Path) -> None:
    """Whoever types it has a bad canary in front of customers; another command's error names no such way."""
    away = Setting(tmp_path)
    by_hand = r"docs/troubleshooting.md, \*Take traffic off the canary by hand\*"

    with pytest.raises(RemoteError, match=by_hand):
        await run(away, "rollback", "--reason", "harm")
    with pytest.raises(RemoteError) as error:
        await run(away, "hold")
    assert "by hand" not in str(error.value)


async def test_two_who_advance_at_once_go_one_phase(setting: Setting) -> None:
    """One advances, the other is refused with what has happened meanwhile; no phase is skipped."""
    await run(setting, "start", "--canary", "v2.0", "--stable", "v1.0", "--force")
    options = ("--format", "json", "--force", "--config.file", setting.policy_file)
    program = Path(sys.executable).with_name("canary")
    both = [
        await asyncio.create_subprocess_exec(
            program, "advance", *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [await process.communicate() for process in both]
    ended = sorted(process.returncode or 0 for process in both)
    phase = (await asked(setting, "status"))["rollout"]["phase"]

    # The second may have looked only after the first had advanced; then it goes on from there, knowingly.
    assert (ended, phase) in (([0, 3], 1), ([0, 0], 2))
    assert ended == [0, 0] or any(b"has changed since you looked" in complaint for _, complaint in said)
