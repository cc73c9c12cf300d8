"""`--format json`, on everything that a script may want."""

import click
import pytest

from scripts.reference.commands import tree

SERVICES = {"canary assignments", "canary exporter", "canary receiver"}
WATCHED = {"canary demo", "canary demo break"}
OF_A_SHELL = {"canary completion"}
COMMANDS = {context.command_path: context.command for context in tree() if not isinstance(context.command, click.Group)}


@pytest.mark.parametrize("path", sorted(COMMANDS.keys() - SERVICES - WATCHED - OF_A_SHELL))
def test_every_command_that_answers_takes_json(path: str) -> None:
    """All but the services, which answer over HTTP, the demo, which is watched, and what a shell reads."""
    [option] = [one for one in COMMANDS[path].params if one.name in ("output_format", "formats")]

    assert option.opts == ["--format"]
    assert isinstance(option.type, click.Choice)
    assert "json" in option.type.choices
