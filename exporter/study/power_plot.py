"""The plot of `canary plan`: how long each share takes to prove a harm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from canary import extras
from canary.policy import Policy
from canary.units import format_ratio
from exporter.evidence.judge import JudgeParameters
from exporter.study.complement import shown_harm
from exporter.study.power import Rates, Stretch, minutes_until

_HARMS = np.asarray([0.01, 0.02, 0.03, 0.05, 0.075, 0.10, 0.15, 0.20, 0.30, 0.40, 0.50, 0.70, 0.95])
"""Where the curves are computed: evenly spread on the logarithmic axis they are drawn on."""


def draw(
    path: Path, policy: Policy, parameters: JudgeParameters, rates: Mapping[str, Rates], phases: Sequence[Stretch]
) -> None:
    """Write a picture with one panel per KPI, in the format that the file's ending names.

    Raises:
        ExtraMissingError: matplotlib is not installed.
    """
    extras.require("plots", "--plot")
    # matplotlib takes long to import, and only pictures need it.
    from matplotlib.figure import Figure

    kpis = [kpi for kpi in parameters.kpis if kpi.name in rates and kpi.tolerance is not None]
    columns = min(3, max(1, len(kpis)))
    lines = max(1, math.ceil(len(kpis) / columns))
    figure = Figure(figsize=(4.2 * columns, 3.2 * lines), layout="constrained")
    panels = np.atleast_1d(figure.subplots(lines, columns)).ravel()
    for panel, kpi in zip(panels, kpis, strict=False):
        for share in dict.fromkeys(phase.traffic for phase in phases if 0.0 < phase.traffic < 1.0):
            minutes = [
                minutes_until(kpi, parameters.alpha_of(kpi), rates[kpi.name], share, harm, 0.5) for harm in _HARMS
            ]
            needed = [np.nan if found is None else found for found in minutes]
            shown = [100 * shown_harm(policy.kpis[kpi.name], harm, rates[kpi.name]) for harm in _HARMS]
            panel.plot(shown, needed, "o-", markersize=3, label=f"{format_ratio(share)} of the traffic")
        for phase in phases:
            if 0.0 < phase.traffic < 1.0:
                panel.axhline(phase.minutes, color="#bbbbbb", linewidth=0.8)
        tolerance = shown_harm(policy.kpis[kpi.name], kpi.tolerance or 0.0, rates[kpi.name])
        panel.axvline(100 * tolerance, color="#c0392b", linestyle="--", linewidth=1)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_title(kpi.name, fontsize=9)
        panel.set_xlabel("harm, %")
        panel.set_ylabel("minutes until proven, 50 % power")
    for panel in panels[len(kpis) :]:
        panel.set_axis_off()
    if kpis:
        panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(path)
