"""`canary check`: the policy, and everything it names."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from canary.errors import GenerateError
from canary.finding import Finding, Status, summary
from canary.policy import Policy
from canary.timing.clock import SystemClock
from canaryctl.check.run import OFFLINE, PARTS, check_all
from canaryctl.cli.console import print_json
from canaryctl.cli.options import config_file, one_of, output_format

_STYLES = {Status.OK: "green", Status.SKIPPED: "dim", Status.WARNING: "yellow", Status.FAILED: "bold red"}


@click.command()
@config_file
@output_format
@click.option("--offline", is_flag=True, help="Look only at what needs no server: the policy, and what is generated.")
@one_of("--only", "PART", PARTS, "Look at this part only, besides the policy; repeatable.", multiple=True)
@click.option("--data", is_flag=True, help="Also look into the order database's newest rows: times, joins, outcomes.")
@click.option("--rule-tests", is_flag=True, help="Also run the generated promtool tests; takes up to a minute.")
def command(
    config_file: str, output_format: str, offline: bool, only: tuple[str, ...], data: bool, rule_tests: bool
) -> None:
    """Validate the policy and everything it names: one line per finding, each with a remedy.

    Nothing is changed, no traffic is moved and nobody is notified.

    Exit status: 0 all is well, 1 something failed, 2 wrong usage.
    """
    parts = only or (OFFLINE if offline else PARTS)
    findings = asyncio.run(_findings(Path(config_file), parts, rule_tests, data, quiet=output_format == "json"))
    failures = sum(finding.status is Status.FAILED for finding in findings)
    if output_format == "json":
        print_json([finding.as_json() for finding in findings])
    else:
        click.echo(summary([finding.status.value for finding in findings]))
    sys.exit(1 if failures else 0)


async def _findings(path: Path, parts: tuple[str, ...], tested: bool, data: bool, *, quiet: bool) -> list[Finding]:
    console = Console(quiet=quiet, highlight=False)
    findings = []
    with console.status("looking"):
        async for finding in check_all(path, _generated, SystemClock(), parts, tested=tested, data=data):
            findings.append(finding)
            line = Text.assemble((f"{finding.status.value:<8}", _STYLES[finding.status]), " ", str(finding))
            console.print(line, soft_wrap=True)
    return findings


def _generated(policy: Policy, *, inline: bool = False) -> Mapping[str, str]:
    from canaryctl.generated import generated_files
    from rules.generate import rule_groups
    from rules.lint import lint

    files = rule_groups(policy, inline=inline)
    problems = lint(policy, [group for file in files.values() for group in file["groups"]])
    if problems:
        raise GenerateError("\n".join(str(problem) for problem in problems))
    return generated_files(policy, inline=inline)
