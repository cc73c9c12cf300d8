"""The files that `canary generate` would write: generated without a fault, and valid to promtool and amtool."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from canary.errors import CanaryError
from canary.finding import Finding, failed, ok, warning
from canary.policy import Policy
from canary.process.program import run

Generate = Callable[..., Mapping[str, str]]
"""Relative path to text of every file that is generated from a policy; with `inline=True`, alerts written out."""

# The generated tests take promtool up to a minute, and several on a busy machine.
_TIMEOUT_SECONDS = 300

Files = Callable[[], Awaitable[Mapping[str, str]]]
"""The generated files, made once for all who ask."""


def generated_once(policy: Policy, generate: Generate) -> Files:
    """What gives the files of a policy: generated in a thread at the first call, remembered for the others."""
    task: asyncio.Task[Mapping[str, str]] | None = None

    async def files() -> Mapping[str, str]:
        nonlocal task
        if task is None:
            task = asyncio.create_task(asyncio.to_thread(generate, policy))
        return await asyncio.shield(task)

    return files


async def check_rules(generated: Files, *, tested: bool = False) -> list[Finding]:
    """Lint what is generated with the programs that will read it, in a temporary folder.

    Args:
        tested: also run the generated promtool tests, which takes up to a minute.
    """
    try:
        files = await generated()
    except CanaryError as error:
        return [failed("rules", str(error))]
    with tempfile.TemporaryDirectory(prefix="canary-check-") as folder:
        for name, text in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        rules = sorted(name for name in files if name.startswith("prometheus/") and "rules" in Path(name).name)
        tests = [name for name in rules if "test" in Path(name).name]
        plain = [name for name in rules if name not in tests]
        return [
            *await _lint(folder, "rules", "promtool", ("check", "rules", "--lint-fatal"), plain),
            *await _lint(folder, "rules tests", "promtool", ("test", "rules"), tests if tested else []),
            *await _lint(
                folder,
                "alertmanager.yml",
                "amtool",
                ("check-config",),
                [n for n in files if n.endswith("alertmanager.yml")],
            ),
        ]


async def _lint(folder: str, place: str, program: str, arguments: tuple[str, ...], names: list[str]) -> list[Finding]:
    if not names:
        return []
    if shutil.which(program) is None:
        return [warning(place, f"generated, but not linted: {program} is not on this machine", f"install {program}")]
    argv = (program, *arguments, *(str(Path(folder) / name) for name in names))
    outcome = await run(argv, timeout_seconds=_TIMEOUT_SECONDS)
    if outcome.fault:
        said = (outcome.output.strip() or outcome.fault).replace(f"{folder}/", "")
        return [failed(place, f"{program} refuses what was generated: {said[-600:]}", "report this with your policy")]
    return [ok(place, f"{', '.join(Path(name).name for name in names)}: generated, {program} finds no fault")]
