"""`python -m simulation`: many worlds, or one again with its story."""

import os
import sys

import click

from simulation.run import Summary, describe, run, run_many, settle, shrink

# A line every few seconds.
_PROGRESS_WORLDS = 25


@click.command()
@click.option("--seeds", default=1000, show_default=True, help="How many worlds.")
@click.option("--first", default=1, show_default=True, help="The first seed.")
@click.option("--seed", type=int, help="Live this one world, tell its story, and shrink it when it fails.")
@click.option("--until-failure", is_flag=True, help="End with the first world that fails, without its story.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="Processes.")
def main(seeds: int, first: int, seed: int | None, *, until_failure: bool, jobs: int) -> None:
    """Simulate rollouts."""
    if seed is not None:
        sys.exit(_one(seed))

    settle()
    told: set[int] = set()

    def progress(summary: Summary) -> None:
        for one in summary.failed.keys() - told:  # at once: who interrupts a long run has them
            told.add(one)
            click.echo(f"seed {one} failed: {summary.failed[one][:300]}", err=True)
        if summary.worlds % _PROGRESS_WORLDS == 0:
            rate = summary.worlds / summary.seconds
            click.echo(f"{summary.worlds}/{seeds} worlds, {rate:.1f}/s, {len(summary.failed)} failed", err=True)

    summary = run_many(
        range(first, first + seeds),
        workers=jobs,
        progress=progress,
        until_failure=until_failure,
    )
    if until_failure:
        click.echo("\n".join(summary.lines()))
        sys.exit(bool(summary.failed))
    for line in summary.lines():
        click.echo(line)
    if summary.failed:
        click.echo(f"\nthe first, shrunk; again with `make simulate SEED={min(summary.failed)}`")
        _one(min(summary.failed))
    sys.exit(bool(summary.failed or summary.never()))


def _one(seed: int) -> int:
    outcome = run(seed)
    if outcome.broken:
        outcome = shrink(outcome)
    for line in [*describe(outcome.story), "", *outcome.told, "", *(f"BROKEN {what}" for what in outcome.broken)]:
        click.echo(line)
    if not outcome.broken:
        click.echo(f"seed {seed}: every promise was kept ({len(outcome.story.events)} events)")
    return int(bool(outcome.broken))


if __name__ == "__main__":
    main()
