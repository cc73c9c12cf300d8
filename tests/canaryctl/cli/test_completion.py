"""Completion: the script of each shell, and rollouts' ids."""

import asyncio
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from canaryctl.cli import canary
from canaryctl.cli.completion import rollout_ids
from tests.support.receiving.receiver import Setting, order, receiving


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    """It asks the command itself, under the name that is typed."""
    result = CliRunner().invoke(canary, ["completion", shell])

    assert result.exit_code == 0
    assert f"_CANARY_COMPLETE={shell}_complete" in result.output
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=result.output, text=True, check=False).returncode == 0


async def test_rollouts_are_completed_from_the_journal(tmp_path: Path) -> None:
    """The newest first, those that begin as typed; nothing, and no fault, where nobody answers or no policy is."""
    setting = Setting(tmp_path / "receiver")

    def completed(file: Path, typed: str) -> list[str]:
        context = click.Context(click.Command("report"))
        context.params["config_file"] = str(file)
        return [one.value for one in rollout_ids(context, click.Option(["--rollout"]), typed)]

    async with receiving(setting):
        entry = await order(setting, "start", canary="v2.0", stable="v1.0")
        found = await asyncio.to_thread(completed, setting.policy_file, "v2.0")
        other = await asyncio.to_thread(completed, setting.policy_file, "v3")
    down = await asyncio.to_thread(completed, setting.policy_file, "")
    missing = await asyncio.to_thread(completed, tmp_path / "no.yaml", "")

    assert found == [entry["rollout"]]
    assert (other, down, missing) == ([], [], [])
