"""The command line: `canary COMMAND`. A command's module is imported when it is called.

`rollout` has what is about one rollout, `study` what looks at the order database, `services` the two services; what
prepares and checks an installation (`init`, `check`, `generate`, `demo`) is here.
"""

import difflib
import importlib
import os
import sys

import click
from click.shell_completion import CompletionItem

from canary.errors import CanaryError
from canaryctl import installation

_SECTIONS = {
    "Set up": {
        "demo": ("demo:command", "Run the whole stack on this machine."),
        "init": ("init:command", "Propose a policy for an order database."),
        "check": ("check:command", "Validate the policy and everything it names."),
        "generate": (
            "generate:command",
            "Write Prometheus rules, Alertmanager configuration, dashboards and router snippets.",
        ),
        "exporter": ("services:exporter", "Serve the shop's KPIs and the judgement of the running rollout."),
        "receiver": ("services:receiver", "Serve Alertmanager's webhook and the rollout's API."),
        "assignments": ("services:assignments", "Take who was served by which version from the router's log."),
        "completion": ("completion:command", "Print what a shell needs to complete commands and rollouts' ids."),
    },
    "Before a release": {
        "plan": ("study.plan:command", "Say what each phase can and cannot detect."),
        "calibrate": (
            "study.calibrate:command",
            "Measure how often healthy canaries would be rolled back in this shop.",
        ),
        "backtest": ("study.backtest:command", "Replay past rollouts from the order database."),
        "backfill": ("study.backfill:command", "Write the order database's history for Prometheus."),
        "drill": ("rollout.drill:command", "Prove that a rollback would arrive and could act."),
    },
    "Release": {
        "start": ("rollout.verbs:start", "Begin a rollout."),
        "unschedule": ("rollout.verbs:unschedule", "Take a scheduled start back."),
        "status": ("rollout.status:command", "Say where the rollout stands."),
        "wait": ("rollout.wait:command", "Wait until the rollout is over, for pipelines."),
        "hold": ("rollout.verbs:hold", "Freeze the canary's traffic weight."),
        "resume": ("rollout.verbs:resume", "Let a held rollout go on."),
        "advance": ("rollout.verbs:advance", "Go to the next phase."),
        "promote": ("rollout.verbs:promote", "Give the canary all traffic."),
        "finish": ("rollout.verbs:finish", "Return the traffic to the stable servers, which run the new version."),
        "rollback": ("rollout.verbs:rollback", "Take all customers off the canary."),
    },
    "Around it": {
        "note": ("rollout.notes:note", "Write down an observation about a rollout."),
        "freeze": ("rollout.notes:freeze", "Start and advance nothing until a moment."),
        "amend": ("rollout.verbs:amend", "Let the running rollout go by the policy as it is now."),
        "adopt": ("rollout.verbs:adopt", "Say what is in force where the journal does not know it."),
    },
    "Look back": {
        "history": ("rollout.history:command", "List what was decided, when, by whom and why."),
        "report": ("rollout.report:command", "Write the report of a rollout."),
        "experiment": ("rollout.experiment:command", "Report on experiments."),
        "state": ("state:command", "Verify, back up or move the journal."),
    },
}
"""By what somebody wants to do: name -> the module below `canaryctl.cli` with its function, and the line of `--help`.

The lines stand here, so that showing them imports no command: `canary --help` takes a tenth of a second, and what the
commands need (numpy, SQLAlchemy, aiohttp) would take over one.
"""

_COMMANDS = {name: command for section in _SECTIONS.values() for name, command in section.items()}


class _Lazy(click.Group):
    """Imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # as above
        if cmd_name not in _COMMANDS:
            return None
        module, _, function = _COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(f"canaryctl.cli.{module}"), function)
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands with their lines: whoever pressed Tab must not wait until all of them are imported."""
        lines = {name: line for name, (_, line) in _COMMANDS.items() if name.startswith(incomplete)}
        commands = [CompletionItem(name, help=line) for name, line in lines.items()]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called; for one that there is not, the nearest are named."""
        near = difflib.get_close_matches(args[0], _COMMANDS, n=2)
        if args[0] not in _COMMANDS and near:
            ctx.fail(f"No such command {args[0]!r}; did you mean {' or '.join(map(repr, near))}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # as above
        widest = max(map(len, _COMMANDS))  # one column for all sections
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), shown) for name, (_, shown) in commands.items()])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="kpi-canary", prog_name="canary")
def canary() -> None:
    """Guard canary releases of a shop by its business KPIs.

    New here? `canary demo` shows it on this machine, `canary init` begins with your own order database.

    Exit status: 0 done; 1 a fault was found; 2 wrong usage; 3 refused in the present state; 4 a server did not answer.
    """


def main() -> None:
    """Run the command line; our own errors become one message on standard error and an exit status.

    A package that is not ours is told at once, and the command goes on as far as it can: a receiver that needs no rules
    must not refuse to guard customers because somebody else's `rules` came into its environment.
    """
    foreign = installation.faults()
    for fault in foreign:
        click.echo(f"canary: {fault}", err=True)
    if {"exporter", "receiver", "assignments"} & set(sys.argv[1:2]):
        # What a service writes holds names, reasons and turnover; libraries create files without asking for a mode.
        os.umask(os.umask(0) | 0o027)
    try:
        canary()
    except ImportError:
        if not foreign:
            raise
        sys.exit(1)  # said above
    except CanaryError as error:
        click.echo(f"canary: {error}", err=True)
        sys.exit(error.exit_status)
