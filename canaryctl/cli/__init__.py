"""The command line: `canary COMMAND`. Each command is a module of its own, imported when it is called."""

import importlib
import sys

import click

from canary.errors import CanaryError
from canaryctl import installation

_COMMANDS = {
    "check": "Validate the policy and everything it names.",
    "generate": "Write Prometheus rules, Alertmanager configuration, dashboards and router snippets.",
    "exporter": "Serve the shop's KPIs and the judgement of the running rollout.",
    "receiver": "Serve Alertmanager's webhook and the rollout's API.",
    "start": "Begin a rollout.",
    "status": "Say where the rollout stands.",
    "hold": "Freeze the canary's share.",
    "resume": "Let a held rollout go on.",
    "advance": "Go to the next phase.",
    "promote": "Give the canary all traffic.",
    "rollback": "Take all customers off the canary.",
    "history": "List what was decided, when, by whom and why.",
    "report": "Write the report of a rollout.",
    "plan": "Say what each phase can and cannot detect.",
    "backtest": "Replay past rollouts from the order database.",
    "backfill": "Write the order database's history for Prometheus.",
    "drill": "Prove that a rollback would arrive and could act.",
    "init": "Propose a policy for an order database.",
    "experiment": "Report on experiments.",
    "demo": "Run the whole stack on this machine.",
}


class _Lazy(click.Group):
    """Finds `canaryctl.cli.NAME` and its function `command` when NAME is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # as above
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(f"canaryctl.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # as above
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="kpi-canary", prog_name="canary")
def canary() -> None:
    """Guard canary releases of a shop by its business KPIs.

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
    try:
        canary()
    except ImportError:
        if not foreign:
            raise
        sys.exit(1)  # said above
    except CanaryError as error:
        click.echo(f"canary: {error}", err=True)
        sys.exit(error.exit_status)
