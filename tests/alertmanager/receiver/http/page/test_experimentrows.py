"""Experiments and flags as the page shows them, from the policy, the journal and Prometheus' answer."""

from datetime import UTC, datetime

from alertmanager.receiver.http.page.experimentrows import TreatmentRow, experiments_of, results_of
from canary import names
from canary.policy.experiments import Experiment, Flag, Variant
from canary.policy.model import Policy
from canary.prometheus import Sample
from canary.rollout.experiments import Trial, Weights

AT = datetime(2026, 3, 1, tzinfo=UTC)


def sample(name: str, value: float, **labels: str) -> Sample:
    """One sample as Prometheus answers it."""
    base = {"__name__": name, names.EXPERIMENT: "checkout", names.VARIANT: "short", names.KPI: "aov"}
    return Sample({**base, **labels}, value)


def test_the_series_of_a_treatment_become_one_row() -> None:
    """Numbers, marks, the treatment's units and the verdict that is 1; no number is not known."""
    found = results_of(
        [
            sample(names.EXPERIMENT_RELATIVE_CHANGE, 0.06),
            sample(names.EXPERIMENT_RELATIVE_CHANGE_LOWER, float("nan")),
            sample(names.EXPERIMENT_UNITS, 40, role="treatment"),
            sample(names.EXPERIMENT_UNITS, 44, role="control"),
            sample(names.EXPERIMENT_VERDICT, 0, verdict="fail"),
            sample(names.EXPERIMENT_VERDICT, 1, verdict="pass"),
            sample(names.EXPERIMENT_BETTER, 1),
            sample(names.EXPERIMENT_MISMATCH_EVIDENCE, 1, kpi=""),
        ]
    )

    assert found == {"checkout": [TreatmentRow("short", "aov", 0.06, units=40, verdict="pass", better=True)]}


def test_what_the_policy_has_is_shown_as_the_journal_knows_it() -> None:
    """Running, stopped with its reason, not begun; shares of the users; a flag that follows nothing is off."""
    arms = {"control": Variant(weight=0.5), "short": Variant(weight=1)}
    policy = Policy(
        service="shop",
        experiments={name: Experiment(variants=arms) for name in ("a", "b", "c")},
        flags={"f": Flag(follow_rollout=True), "g": Flag(percentage=0.1), "h": Flag(percentage=0.1, enabled=False)},
    )
    weights = (Weights(AT, {"control": 0.5, "short": 1.0}),)
    trials = {"a": Trial("a", AT, weights), "b": Trial("b", AT, weights, stopped_at=AT, reason="harm proven")}

    found = experiments_of(policy, trials, None, {})

    assert [(one.name, one.running, one.why) for one in found.experiments] == [
        ("a", True, ""),
        ("b", False, "harm proven"),
        ("c", False, "not begun"),
    ]
    assert found.experiments[0].weights == {"control": 1 / 3, "short": 2 / 3}
    assert [(one.name, one.ratio) for one in found.flags] == [("f", 0.0), ("g", 0.1), ("h", 0.0)]
