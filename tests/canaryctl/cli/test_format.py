"""`--format json`, on everything that a script may want."""

import click
import pytest

from scripts.commands import tree

SERVICES = {"canary exporter", "canary receiver", "canary demo"}
COMMANDS = {context.command_path: context.command for context in tree() if not isinstance(context.command, click.Group)}


@pytest.mark.parametrize("path", sorted(COMMANDS.keys() - SERVICES))
def test_every_command_that_answers_takes_json(path: str) -> None:
    """All but the services, which answer over HTTP, and the demo, which is watched."""
    [option] = [one for one in COMMANDS[path].params if one.name in ("output_format", "formats")]

    assert option.opts == ["--format"]
    assert isinstance(option.type, click.Choice)
    assert "json" in option.type.choices
