"""`canary backfill`: the order database's history for Prometheus."""

import asyncio
from datetime import datetime
from pathlib import Path

import click

from canary.policy import Policy, load_policy
from canary.units import parse_duration
from canaryctl.cli.console import print_json
from canaryctl.cli.options import config_file, looked_back_from, moment_option, output_format
from canaryctl.output import writing
from exporter.source.database import Patience
from exporter.source.sources import order_sources

# Prometheus looks back five minutes for the newest sample; further apart, series would have gaps.
_LONGEST_STEP_SECONDS = 300.0


def _duration(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@config_file
@output_format
@click.option("--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@click.option(
    "--since",
    callback=_duration,
    metavar="DURATION",
    help="How far back to go, such as 7d; database.since when missing.",
)
@moment_option("--until", help="Where to end, by the shop's clocks; now when missing.", durations=False)
@click.option(
    "--step",
    callback=_duration,
    metavar="DURATION",
    default="1m",
    show_default=True,
    help="Time between samples, at most 5m.",
)
def command(
    config_file: str, output_format: str, output: Path, since: float | None, until: datetime | None, step: float
) -> None:
    """Write what the exporter would have published in the past, as OpenMetrics text for `promtool tsdb`.

    The order database is only read.
    """
    if not 0 < step <= _LONGEST_STEP_SECONDS:
        raise click.BadParameter("expected at most 5m, which is how far Prometheus looks back", param_hint="--step")
    policy = load_policy(config_file)
    end = looked_back_from(until, policy.receiver.timezone).timestamp()
    begin = end - (policy.database.since if since is None else since)
    series, samples = asyncio.run(_write(policy, output, begin, end, step))
    if output_format == "json":
        print_json({"output": str(output), "series": series, "samples": samples})
        return
    click.echo(f"{samples} samples of {series} series written to {output}; now run:")
    click.echo(f"promtool tsdb create-blocks-from openmetrics {output} PROMETHEUS_DATA_FOLDER")


async def _write(policy: Policy, output: Path, begin: float, end: float, step: float) -> tuple[int, int]:
    """Number of series and samples."""
    from exporter.study.backfill import backfill  # rooms are imported when they are needed

    async with order_sources(policy, Patience.STUDY) as sources:
        found = await backfill(policy, sources, since=begin, until=end, step=step)
    with writing(output), output.open("w", encoding="utf-8") as file:
        found.write(file)
    return len(found.series), found.samples
