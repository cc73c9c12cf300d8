"""The command line's tree, and the page of docs/ that is made from it."""

from collections.abc import Iterator

import click

from canaryctl.cli import canary as command_line

MADE = "<!-- Made from the code by `make golden`; change the code, not this page. -->"


def tree(columns: int = 100) -> Iterator[click.Context]:
    """The command line and every command, each after the group that it belongs to, at so many columns."""
    # click keeps the first `--help` option that a process asks for; without it the page is always the same.
    yield from _below(click.Context(command_line, info_name="canary", terminal_width=columns, help_option_names=[]))


def _below(context: click.Context) -> Iterator[click.Context]:
    yield context
    group = context.command
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            width = context.terminal_width
            yield from _below(click.Context(command, info_name=name, parent=context, terminal_width=width))


def commands_page() -> str:
    """Every command and option, as `--help` says it."""
    lines = ["# Command reference", "", MADE, "", "Every command also takes `-h` and `--help`.", ""]
    for context in tree():
        if context.parent is not None:
            lines += [f"{'#' * (1 + len(context.command_path.split()[1:]))} {context.command_path}", ""]
        lines += ["```text", context.command.get_help(context), "```", ""]
    return "\n".join(lines).rstrip() + "\n"
