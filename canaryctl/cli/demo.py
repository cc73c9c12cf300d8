"""`canary demo`: the whole stack on this machine, a canary on it, and what becomes of it."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import click

from canary import extras

if TYPE_CHECKING:
    from demo.stack.stack import Settings

_BREAKABLE = ("payments", "checkout", "errors", "latency", "provider", "router", "prometheus")
_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTED = 130
_SPEED, _SPEED_OF_TWO_RELEASES = 30.0, 60.0


@click.group(invoke_without_command=True)
@click.option(
    "--scenario",
    type=click.Choice(["bad", "healthy", "provider-outage", "second-release"]),
    default="bad",
    show_default=True,
    help="A canary that misbehaves, one that stays healthy, payments that fail for both versions, or two releases in a "
    "row, finishing included.",
)
@click.option(
    "--fault",
    type=click.Choice(["payments", "checkout", "errors", "latency"]),
    default="payments",
    show_default=True,
    help="What goes wrong with the bad canary.",
)
@click.option(
    "--speed",
    type=click.FloatRange(1, 120),
    show_default="30, of two releases 60",
    help="How many times faster than the policy says everything goes.",
)
@click.option(
    "--rate",
    "rate_per_second",
    type=click.FloatRange(0.1, 500),
    default=50,
    show_default=True,
    help="Customers who come in, a second.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed brings the same customers.")
@click.option("--database", help="SQLAlchemy address of the order database; SQLite in the demo's folder when missing.")
@click.option("--keep", is_flag=True, help="Leave it running at the end, with customers and a canary.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for files and logs; a temporary one, removed at the end, when missing.",
)
@click.option(
    "--config.file",
    "config_file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="The policy; when missing, ./canary.yaml, or else the one that the program brings along.",
)
@click.pass_context
def command(
    context: click.Context,
    /,
    scenario: str,
    keep: bool,
    directory: Path | None,
    config_file: Path | None,
    **chosen: Any,
) -> None:
    """Run the whole stack on this machine: shop, customers, Prometheus, Alertmanager, router, a canary.

    The exit status is 0 only when what should have happened happened.
    """
    if context.invoked_subcommand:
        return
    chosen["speed"] = chosen["speed"] or (_SPEED_OF_TWO_RELEASES if scenario == "second-release" else _SPEED)
    # From here on until the end, also while modules are imported, which takes seconds on a busy machine.
    interruptions = _Interruptions()
    folder, status = directory, 1
    try:
        extras.require("demo", "canary demo")
        from demo.stack.policy import STRATEGY
        from demo.stack.stack import Settings

        here = Path("canary.yaml")
        strategy = config_file or (here if here.exists() else STRATEGY)
        folder = _folder(directory)
        status = asyncio.run(_interruptible(Settings(strategy, folder, **chosen), scenario, keep, interruptions))
    except KeyboardInterrupt:
        status = _INTERRUPTED
    finally:
        # What is ignored stays ignored, also when Python's own handlers are gone before its end.
        for number in _INTERRUPTIONS:
            signal.signal(number, signal.SIG_IGN)
        if directory is None and folder is not None and status in (0, _INTERRUPTED):
            rmtree(folder, ignore_errors=True)
        elif folder is not None and folder.is_dir():
            click.echo(f"Files and logs are in {folder}", err=True)
    sys.exit(status)


def _folder(directory: Path | None) -> Path:
    folder = directory or Path(tempfile.mkdtemp(prefix="canary-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise click.UsageError(f"--directory {folder}: expected an empty or new folder, found files in it")
    return folder.resolve()


@command.command("break")
@click.argument("what", type=click.Choice(_BREAKABLE))
@click.option("--heal", is_flag=True, help="Make it well again.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="The kept demo's folder, where it has one of its own.",
)
def breaking(what: str, heal: bool, directory: Path | None) -> None:
    """Break something of a demo that was started with --keep.

    payments, checkout, errors and latency are the canary's; provider is the payment provider, which fails for both
    versions; router and prometheus freeze.
    """
    extras.require("demo", "canary demo")
    from demo.breaking import break_it, find

    folder = find(directory)
    asyncio.run(break_it(folder, what, heal=heal))
    click.echo(f"{what}: {'well again' if heal else 'broken'}; canary status --config.file {folder / 'canary.yaml'}")


class _Interruptions:
    """Ctrl-C, a hang-up or a termination: the first one ends the demo, and further ones change nothing.

    Before there is a demo there is nothing to end: then it is Python's own KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self._cancel: Callable[[], object] | None = None
        self._came = False
        # Not the loop's own handlers: those are gone when the loop ends, and files are removed only after that.
        for number in _INTERRUPTIONS:
            signal.signal(number, self._interrupt)

    def cancels(self, task: "asyncio.Task[int]") -> None:
        """From now on the first one cancels this task."""
        loop = asyncio.get_running_loop()
        self._cancel = lambda: None if loop.is_closed() else loop.call_soon_threadsafe(task.cancel)

    def _interrupt(self, _number: int, _frame: object) -> None:
        if self._came:
            return
        self._came = True
        if self._cancel is None:
            raise KeyboardInterrupt
        self._cancel()


async def _interruptible(settings: "Settings", scenario: str, keep: bool, interruptions: _Interruptions) -> int:
    """Run the demo so that an interruption ends it tidily."""
    from demo.main import run

    task = asyncio.create_task(run(settings, scenario, keep=keep))
    interruptions.cancels(task)
    try:
        return await task
    except asyncio.CancelledError:
        return _INTERRUPTED
