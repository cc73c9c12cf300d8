"""The plot of `canary calibrate`: how often healthy canaries fail, and how large a harm must be to be found."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from canary import extras
from exporter.judge.shop.calibration import Calibration


def draw(path: Path, found: Calibration) -> None:
    """Write a picture with two panels, in the format that the file's ending names.

    Raises:
        ExtraMissingError: matplotlib is not installed.
    """
    extras.require("plots", "--plot")
    # matplotlib takes long to import, and only pictures need it.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 0.5 * len(found.kpis) + 2.5), layout="constrained")
    false, power = figure.subplots(1, 2)
    rows = np.arange(len(found.kpis))
    for row, kpi in zip(rows, found.kpis.values(), strict=True):
        false.plot([100 * kpi.lower_ratio, 100 * kpi.upper_ratio], [row, row], color="#1f77b4", linewidth=3)
        false.plot(100 * kpi.failed / max(found.rollouts, 1), row, "o", color="#1f77b4")
        false.plot(100 * kpi.allowed_ratio, row, "|", color="#c0392b", markersize=14, markeredgewidth=2)
    false.set_yticks(rows, [name.replace("_", " ") for name in found.kpis], fontsize=8)
    false.invert_yaxis()
    false.set_xlabel("healthy canaries that fail, % (95 %); red: allowed")
    for name, kpi in found.kpis.items():
        harms = [harm for harm in kpi.harms if harm.rollouts]
        power.plot(
            [100 * harm.harm_ratio for harm in harms], [100 * harm.found_ratio for harm in harms], "o-", markersize=3,
            label=name.replace("_", " "),
        )  # fmt: skip
    power.set_xscale("log")
    power.set_ylim(-3, 103)
    power.set_xlabel("harm, %")
    power.set_ylabel("found, %")
    power.legend(frameon=False, fontsize=7)
    figure.savefig(path)
