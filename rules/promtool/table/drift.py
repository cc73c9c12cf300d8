"""Rows for what the last releases add up to."""

from collections.abc import Iterator

from canary import names
from canary.policy import Policy
from rules.promtool.row import NEAR, Change, Row
from rules.promtool.world import World

_BUDGET = 0.1
_KPI = "conversion_rate"


def rows(policy: Policy) -> Iterator[Row]:
    """A loss beyond the budget that is beyond doubt, in either direction."""
    del policy
    far = _BUDGET * (1 + NEAR)
    yield Row(
        "drift",
        names.DRIFT,
        _drift(-far, -_BUDGET, width=0.05),
        _drift(-_BUDGET, -_BUDGET, width=0.05),
        dynamic={names.KPI: _KPI},
        inputs=(names.DRIFT_CHANGE, names.DRIFT_BUDGET),
        state="",
        also={"more is worse": _drift(far, _BUDGET, width=0.05)},
        quiet={
            "the band reaches a gain": _drift(-far, -_BUDGET, width=0.2),
            "more is worse, and the band reaches a gain": _drift(far, _BUDGET, width=0.2),
            "more is worse, just the budget": _drift(_BUDGET, _BUDGET, width=0.05),
            "the band ends at nothing": _drift(-far, -_BUDGET, width=far),
            "a gain": _drift(far, -_BUDGET, width=0.05),
            "no budget": _drift(-far, 0, width=0.05),
        },
    )


def _drift(change: float, budget: float, *, width: float) -> Change:
    """So much together, with a band that reaches *width* to either side."""
    series = {
        names.DRIFT_CHANGE: change,
        names.DRIFT_CHANGE_LOWER: change - width,
        names.DRIFT_CHANGE_UPPER: change + width,
        names.DRIFT_BUDGET: budget,
        names.DRIFT_RELEASES: 10,
    }

    def say(world: World) -> None:
        for metric, value in series.items():
            world.receiver(metric, world.from_begin(None, value), kpi=_KPI)

    return say
