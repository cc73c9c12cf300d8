"""The command line as a whole."""

from click.testing import CliRunner

from canaryctl.cli import canary
from scripts.reference.commands import tree


def test_every_help_fits_a_terminal() -> None:
    """80 columns, without a terminal that breaks lines where words do not."""
    shown = list(tree(columns=80))
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
