"""The page about the review: its commands, given after a rollout on a real receiver."""

import asyncio
import shlex
from pathlib import Path

from click.testing import CliRunner

from canaryctl.cli import canary
from tests.support.documents.pages import DOCS, blocks_of
from tests.support.receiving.receiver import Setting, in_state, order, receiving, until


async def test_the_pages_commands_do_what_it_says(tmp_path: Path) -> None:
    """A finding goes into the journal, and from there into the report."""
    setting = Setting(tmp_path / "receiver")
    [block] = [block for block in blocks_of(DOCS / "release" / "review.md") if block.language == "sh"]

    async with receiving(setting):
        await order(setting, "start", canary="v2.0", stable="v1.0")
        await order(setting, "rollback", reason="harm")
        await until(setting, "rolled back", in_state("rolled_back"))
        for line in block.text.strip().splitlines():
            program, verb, *words = shlex.split(line)
            assert program == "canary"
            argv = [verb, f"--config.file={setting.policy_file}", *words]
            if verb == "report":
                argv += ["--format", "markdown", "--output", "-"]
            result = await asyncio.to_thread(CliRunner().invoke, canary, argv)
            assert result.exit_code == 0, result.output

    assert "the search index was still warming up" in result.output
