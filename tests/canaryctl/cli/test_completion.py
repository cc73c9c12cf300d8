"""Completion: the script of each shell, and rollouts' ids."""

import asyncio
import os
import subprocess
import sys
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
    assert subprocess.run([shell, "-n"], input=result.output, text=True, check=False).returncode == 0


_ASKED = {
    "bash": (
        "source {script}; COMP_WORDS=({typed}); COMP_CWORD={last}; _canary_completion canary; echo ${{COMPREPLY[@]}}"
    ),
    "fish": "source {script}; complete -C '{typed}'",
}
_POLICY = "service: shop\nplans: {hotfix: [{traffic: 50%, duration: 1h}, {traffic: 100%, duration: 1h}]}\n"


@pytest.mark.parametrize("shell", list(_ASKED))
def test_a_shell_completes_what_is_typed(shell: str, tmp_path: Path) -> None:
    """Commands, an option's words, and names that the policy gives, in the shell itself."""
    (tmp_path / "canary.yaml").write_text(_POLICY)
    script = tmp_path / "script"
    script.write_text(CliRunner().invoke(canary, ["completion", shell]).output)
    programs = Path(sys.executable).parent
    surroundings = {"PATH": f"{programs}:{os.defpath}:/usr/bin", "HOME": str(tmp_path)}

    def completed(typed: str) -> list[str]:
        asked = _ASKED[shell].format(script=script, typed=typed, last=len(typed.split()) - 1)
        argv = [shell, "-c", asked]
        ran = subprocess.run(argv, cwd=tmp_path, env=surroundings, text=True, check=True, capture_output=True)
        return [line.split("\t")[0] for line in ran.stdout.splitlines()] if shell == "fish" else ran.stdout.split()

    assert sorted(completed("canary sta")) == ["start", "state", "status"]
    assert completed("canary init --platform woocommerce-") == ["woocommerce-posts"]
    assert completed("canary start --plan hot") == ["hotfix"]
    assert completed("canary plan --plan hot") == ["hotfix"]


def test_commands_are_completed_by_their_lines() -> None:
    """As `--help` lists them, without importing one of them."""
    found = canary.shell_complete(click.Context(canary), "calib")

    assert [(one.value, one.help) for one in found] == [
        ("calibrate", "Measure how often healthy canaries would be rolled back in this shop.")
    ]


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
