"""The command line as a whole."""

from collections.abc import Iterator

import click
from click.testing import CliRunner

from canaryctl.cli import canary


def contexts(context: click.Context) -> Iterator[click.Context]:
    """The command and all below it, as a terminal of 80 columns shows them."""
    yield context
    group = context.command
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield from contexts(click.Context(command, info_name=name, parent=context, terminal_width=80))


def test_every_help_fits_a_terminal() -> None:
    """80 columns, without a terminal that breaks lines where words do not."""
    shown = list(contexts(click.Context(canary, info_name="canary", terminal_width=80)))
    lines = [(one.command_path, line) for one in shown for line in one.get_help().splitlines()]

    assert len(shown) > 30
    assert [line for line in lines if len(line[1]) > 80] == []


def test_a_mistyped_command_names_the_nearest() -> None:
    """What is near is named, two where both may be meant; what is not near to anything is refused as before."""
    near = CliRunner().invoke(canary, ["chekc", "--offline"])
    two = CliRunner().invoke(canary, ["strat", "--canary", "v2"])
    far = CliRunner().invoke(canary, ["xyzzy"])

    assert (near.exit_code, far.exit_code) == (2, 2)
    assert "No such command 'chekc'; did you mean 'check'?" in near.output
    assert "did you mean 'state' or 'start'?" in two.output
    assert "No such command 'xyzzy'." in far.output
