"""The command `canary` in this process, next to a receiver that runs here as well."""

import asyncio
import json
from typing import Any

from click.testing import CliRunner, Result

from canaryctl.cli import canary
from tests.support.receiving.receiver import Setting


async def run(setting: Setting, *words: str) -> Result:
    """Run a command; an error of ours is raised."""
    argv = [*words, "--config.file", str(setting.policy_file)]
    return await asyncio.to_thread(CliRunner().invoke, canary, argv, catch_exceptions=False)


async def asked(setting: Setting, *words: str) -> Any:
    """What a command prints for a script."""
    return json.loads((await run(setting, *words, "--format", "json")).stdout)
