"""`canary completion`: what a shell needs to complete commands, options and rollouts' ids."""

import asyncio
from collections.abc import Callable, Sequence

import click
from click.shell_completion import CompletionItem, get_completion_class

from canary.errors import CanaryError
from canary.policy.load import load_policy
from canary.web.client import Client

_SHELLS = ("bash", "zsh", "fish")

# Somebody has pressed Tab and waits.
_PATIENCE_SECONDS = 1.5


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def command(shell: str) -> None:
    """Print what SHELL needs to complete commands, options and rollouts' ids.

    Keep it where the shell looks for it (make the folder if it is missing), and open a new shell:

    canary completion bash > ~/.local/share/bash-completion/completions/canary

    canary completion zsh > ~/.zfunc/_canary

    canary completion fish > ~/.config/fish/completions/canary.fish

    zsh looks into ~/.zfunc once ~/.zshrc says so, before compinit: fpath+=~/.zfunc
    """
    from canaryctl.cli import canary

    made = get_completion_class(shell)
    assert made is not None  # click knows those that may be chosen
    click.echo(made(canary, {}, "canary", "_CANARY_COMPLETE").source())


def rollout_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001  # click's signature
    """The ids that the receiver's journal has, the newest first; none when it cannot be reached in a moment."""
    file = ctx.params.get("config_file") or "canary.yaml"
    try:
        found = asyncio.run(asyncio.wait_for(_ids(file), _PATIENCE_SECONDS))
    except (CanaryError, TimeoutError):
        return []
    return [CompletionItem(one) for one in found if one.startswith(incomplete)]


def policy_names(section: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Completes the names that a section of the policy gives, such as those of `plans`."""

    def names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001  # as above
        try:
            found = getattr(load_policy(ctx.params.get("config_file") or "canary.yaml"), section)
        except CanaryError:
            return []
        return [CompletionItem(one) for one in found if one.startswith(incomplete)]

    return names


async def _ids(file: str) -> Sequence[str]:
    async with Client.of(load_policy(file)) as client:
        entries = await client.get("history")
    started = [entry["rollout"] for entry in entries if entry["kind"] in ("started", "adopted")]
    return list(dict.fromkeys(reversed(started)))
