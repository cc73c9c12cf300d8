"""Experiments and flags as the page shows them, for a view of it."""

from datetime import UTC, datetime

from alertmanager.receiver.http.page.experimentrows import ExperimentRow, Experiments, FlagRow, TreatmentRow
from alertmanager.receiver.http.page.view import About

_BEGAN = datetime(2026, 2, 25, 11, 48, tzinfo=UTC)


def about(zone: str = "UTC") -> About:
    """Two experiments, one of them stopped, and three flags."""
    results = [
        TreatmentRow(
            "short", "conversion_rate", 0.061, 0.012, 0.11, -2.0, 2.0, 8040, "pass", better=True, guardrail=True
        ),
        TreatmentRow("short", "average_order_value", -0.004, -0.06, 0.05, 0.1, 2.3, 612, "hold"),
    ]
    weights = {"control": 0.5, "short": 0.5}
    experiments = Experiments(
        [
            ExperimentRow("checkout", True, _BEGAN, "control", weights, results=results),
            ExperimentRow("banner", False, _BEGAN, "control", weights, "conversion_rate of red: harm proven"),
        ],
        [
            FlagRow("expressCheckout", True, 0.25, True, "express", ("beta_users",)),
            FlagRow("newSearch", True, 0.1, False, "on"),
            FlagRow("darkFooter", False, 0.0, False, "on"),
        ],
    )
    return About(frozenset({"conversion_rate", "payment_success_rate"}), zone, experiments)
