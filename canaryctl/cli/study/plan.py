"""`canary plan`: what each phase can and cannot prove, from the shop's own traffic."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from canary.policy import Policy, load_policy
from canary.policy.kpis import Kpi
from canary.policy.plans import NORMAL, with_plan
from canary.units import format_duration, format_measured_ratio, format_ratio, parse_ratio
from canaryctl.cli.completion import policy_names
from canaryctl.cli.console import study_table, table_console
from canaryctl.cli.options import config_file, format_option, looked_back_from, moment_option
from exporter.source.database import Patience
from exporter.source.sources import order_sources

if TYPE_CHECKING:
    from exporter.evidence.judge import JudgeParameters
    from exporter.study.power import Rates, Reach

_LEGEND = """
smallest harm: detected by the end of the phase with 50 % power (with 90 %); of a complement, its rise.
tolerance in: how long this share alone takes to prove a harm as large as the policy's tolerance.
its cost: orders lost, payments failed or customers affected until such a harm is detected, with 50 % power.
"""


@click.command()
@config_file
@format_option("table")
@click.option(
    "--plan",
    "name",
    default=NORMAL,
    show_default=True,
    shell_complete=policy_names("plans"),
    help="The policy's plan whose phases are meant.",
)
@click.option("--days", default=7.0, show_default=True, type=click.FloatRange(min=0.05), help="How far to look back.")
@moment_option("--until", help="Look back from this time, by the shop's clocks, instead of now.", durations=False)
@click.option(
    "--given",
    multiple=True,
    metavar="KPI=PER_MINUTE:RATIO[:LAG]",
    help="Reckon with these rates instead of looking: units a minute, the KPI's own ratio (for means,"
    " standard deviation over mean), minutes from unit to conversion; repeatable.",
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw a picture: a .png, .svg or .pdf.")
def command(
    config_file: str,
    output_format: str,
    name: str,
    days: float,
    until: datetime | None,
    given: tuple[str, ...],
    plot: Path | None,
) -> None:  # long: its options come one by one, as click passes them
    """Say what each phase can prove: the smallest harm, the time it takes, and what it costs until it is detected.

    Figures are approximate. JSON has one object a line, a KPI in a phase each. Nothing is written but the picture, and
    no traffic is moved.
    """
    from exporter.judge.parameters import judge_parameters
    from exporter.study.complement import shown_rates, shown_reach
    from exporter.study.power import Stretch, reaches

    policy = with_plan(load_policy(config_file), name)
    plan = judge_parameters(policy, 0.0)
    end = looked_back_from(until, policy.receiver.timezone)
    rates = _given(given, policy) if given else asyncio.run(_looked_up(policy, end, days))
    phases = [Stretch(phase.duration / 60.0, phase.traffic) for phase in policy.phases]
    found = [
        shown_reach(policy.kpis[kpi.name], reach, rates[kpi.name])
        for kpi in plan.kpis
        if kpi.name in rates and kpi.tolerance is not None
        for reach in reaches(kpi, plan.alpha_of(kpi), rates[kpi.name], phases)
    ]
    shown = {name: shown_rates(policy.kpis[name], of_shop) for name, of_shop in rates.items()}
    if output_format == "json":
        for reach in sorted(found, key=lambda one: one.phase):
            click.echo(json.dumps({**asdict(reach), "rates": asdict(shown[reach.kpi])}))
    else:
        console = table_console()
        console.print(_rates_table(shown), "", _reach_table(found, policy), sep="\n")
        console.print(_LEGEND)
        for line in [*_plainly(found, policy, plan, rates), *_measured(policy)]:
            console.print(line, style="bold")
    if plot is not None:
        from exporter.study.power_plot import draw

        draw(plot, policy, plan, rates, phases)


async def _looked_up(policy: Policy, until: datetime, days: float) -> "dict[str, Rates]":
    from exporter.study.rates import rates_of

    async with order_sources(policy, Patience.STUDY) as sources:
        return await rates_of(policy, sources, until.timestamp(), days)


def _given(given: tuple[str, ...], policy: Policy) -> "dict[str, Rates]":
    rates = {}
    for text in given:
        name, _, rest = text.partition("=")
        if name not in policy.kpis:
            known = ", ".join(policy.kpis)
            raise click.BadParameter(f"expected a KPI of the policy ({known}), found {name!r}", param_hint="--given")
        try:
            rates[name] = _rates(rest, policy.kpis[name])
        except ValueError as error:
            message = f"expected KPI=PER_MINUTE:RATIO[:LAG] with numbers above 0, found {text!r}: {error}"
            raise click.BadParameter(message, param_hint="--given") from error
    return rates


def _rates(text: str, kpi: Kpi) -> "Rates":
    from exporter.study.complement import shown_rates
    from exporter.study.power import Rates
    from exporter.study.rates import MOST_CERTAIN

    mean = kpi.kind == "mean"
    per_minute, ratio, *lag = text.split(":")
    value = float(ratio) if mean and not ratio.endswith("%") else parse_ratio(ratio)
    rates = shown_rates(kpi, Rates(float(per_minute), value, float(*lag) if lag else 0.0))
    if not mean:
        rates = replace(rates, ratio=min(rates.ratio, MOST_CERTAIN))
    if not (rates.per_minute > 0 and rates.ratio > 0 and rates.lag_minutes >= 0):
        raise ValueError("a number is 0 or less")
    return rates


def _rates_table(rates: "Mapping[str, Rates]") -> Table:
    table = study_table("the shop", "a minute", "ratio", "lag")
    for name, found in rates.items():
        lag = f"{found.lag_minutes:.1f} min" if found.lag_minutes else ""
        table.add_row(name, f"{found.per_minute:,.3g}", format_measured_ratio(found.ratio), lag)
    return table


def _reach_table(found: "list[Reach]", policy: Policy) -> Table:
    table = study_table("phase", "KPI", "smallest\nharm", "(90 %)", "tolerance\nin", "(90 %)", "its cost")
    for reach in sorted(found, key=lambda one: one.phase):
        cost = "not detected" if reach.customers is None else f"{reach.customers:,.0f} {_unit(policy, reach.kpi)}"
        harms = [format_measured_ratio(harm, 1) if harm is not None else "nothing" for harm in reach.smallest_harm]
        times = [_duration(minutes) for minutes in reach.minutes]
        phase = f"{reach.phase + 1} ({format_ratio(policy.phases[reach.phase].traffic)})"
        table.add_row(phase, reach.kpi, *harms, *times, cost)
    return table


def _plainly(found: "list[Reach]", policy: Policy, plan: "JudgeParameters", rates: "Mapping[str, Rates]") -> list[str]:
    """What a reader must not overlook, in sentences."""
    from exporter.judge.shop.calibration import NO_UNIT, without_unit
    from exporter.study.rates import near_floor

    lines = []
    for number in sorted({reach.phase for reach in found}):
        blind = [reach.kpi for reach in found if reach.phase == number and reach.smallest_harm[0] is None]
        if blind:
            lines.append(
                f"Phase {_phase(policy, number)} can prove nothing about {', '.join(blind)}: even a canary that loses"
                " all of it would be detected with less than 50 % power by then."
            )
    if unknown := [kpi.name for kpi in plan.kpis if kpi.name not in rates]:
        lines.append(
            f"Nothing is known about {', '.join(unknown)}: no rows to go by, or none of them converted, succeeded or"
            " has a value other than zero."
        )
    lines += [
        f"{kpi.name} of the shop is {format_measured_ratio(rates[kpi.name].ratio)}, near its floor of"
        f" {format_ratio(kpi.floor)}: an ordinary bad hour of both versions holds the rollout. Set a lower floor."
        for kpi in plan.kpis
        if kpi.floor is not None and kpi.name in rates and near_floor(rates[kpi.name].ratio, kpi.floor)
    ]
    lines += [f"{name}: no unit: {NO_UNIT}." for name in without_unit(policy)]
    lines += [
        f"{name} is judged by the windowed rule (judge: threshold), which has no such figures."
        for name, kpi in policy.kpis.items()
        if kpi.judge == "threshold"
    ]
    return lines


def _measured(policy: Policy) -> list[str]:
    """What `canary calibrate` has seen it take to find harm, when it was made with this policy."""
    from exporter.judge.shop import calibration

    measured = calibration.read(policy)
    if measured is None or not measured.is_of(policy):
        return ["What a plan of this policy finds has not been measured on the shop's own past: canary calibrate."]
    lines = []
    for name, kpi in measured.kpis.items():
        found = [
            f"{format_ratio(harm.harm_ratio)} in {format_measured_ratio(harm.found_ratio, 0)}"
            for harm in kpi.harms
            if harm.rollouts
        ]
        if found:
            lines.append(f"{name}, measured on the shop's past: a harm of {', '.join(found)} of rollouts is found.")
    return lines


def _phase(policy: Policy, number: int) -> str:
    phase = policy.phases[number]
    return f"{number + 1} ({format_ratio(phase.traffic)} for {format_duration(phase.duration)})"


def _unit(policy: Policy, name: str) -> str:
    kind = policy.kpis[name].kind
    return {"conversion": "lost", "success": "failed", "mean": "affected"}[kind]


def _duration(minutes: float | None) -> str:
    if minutes is None:
        return "over a year"
    if minutes < 120:
        return f"{minutes:.1f} min"
    return f"{minutes / 60:.1f} h" if minutes < 2880 else f"{minutes / 1440:.1f} d"
