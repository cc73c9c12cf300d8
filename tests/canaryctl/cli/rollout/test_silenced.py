"""What the commands say while a silence in a real Alertmanager forbids every rollback."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from alertmanager.config.configuration import alertmanager_file
from canary.errors import RefusedError
from canaryctl.cli import canary
from tests.support.programs.alertmanager import Alertmanager
from tests.support.programs.ports import free_port
from tests.support.receiving.receiver import Setting, receiving, until


async def test_a_silenced_rollback_is_said_by_every_command(tmp_path: Path) -> None:
    """`start` refuses without `--force`, `drill` proves nothing, `status` names the silence, its author and its end."""
    port = free_port()
    setting = Setting(tmp_path / "receiver", changes={"receiver": {"alertmanager": f"http://127.0.0.1:{port}"}})
    with Alertmanager(alertmanager_file(setting.policy), port):
        words = ["silence", "add", "--author=ann", "--comment=known", "action=rollback", "service=shop"]
        command = ["amtool", f"--alertmanager.url=http://127.0.0.1:{port}", *words]
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
        silence = 'silence {action="rollback",service="shop"} by ann until '
        async with receiving(setting):
            start = ("start", "--canary", "v2.0", "--stable", "v1.0")
            with pytest.raises(RefusedError) as refused:
                await _run(setting, *start)
            assert f"no alert rolls a canary back: {silence}" in str(refused.value)
            assert "prometheus http://127.0.0.1:1: " in str(refused.value)

            drill = await _run(setting, "drill", "--format", "json")
            assert drill.exit_code == 1
            (link,) = json.loads(drill.stdout)["links"]
            assert silence in link["what"]
            assert "A rollback would not be done: it is silenced." in (await _run(setting, "drill")).stdout

            assert (await _run(setting, *start, "--force")).exit_code == 0
            await until(setting, "a look", lambda now: bool(now["alertmanager"]["silences"]))
            lines = (await _run(setting, "status")).stdout.splitlines()
            (line,) = (line for line in lines if line.startswith("silenced"))
            assert line.startswith(f"silenced  rollback: {silence}")


async def _run(setting: Setting, *words: str) -> Result:
    argv = [*words, "--config.file", str(setting.policy_file)]
    return await asyncio.to_thread(CliRunner().invoke, canary, argv, catch_exceptions=False)
