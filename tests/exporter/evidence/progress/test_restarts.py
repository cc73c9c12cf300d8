"""Evidence that restarts: still a fair bet, and quick to see what begins late."""

import dataclasses

import numpy as np
import pytest

from exporter.evidence.comparisons.conversion import GRID
from exporter.evidence.comparisons.outcome import OutcomeTest
from exporter.evidence.grid import log10_evidence
from exporter.evidence.judge import OutcomeRows, RolloutJudge, Verdict
from exporter.evidence.progress.restarts import FROM_START, Bases, Plan, Starts
from exporter.evidence.progress.timeline import Timeline
from tests.exporter.evidence.simulation import END, PLAN, START, WEIGHTS, rollout

TIMELINE = Timeline.of(START, 2.0, WEIGHTS)
ALL = TIMELINE.complete(END)
PLANNED = Plan(2400.0, 3)


def _payments(seed: int, per_minute: float, **shop: float) -> OutcomeRows:
    rows = rollout(np.random.default_rng(seed), per_minute, **shop).kpis["payment_success_rate"]
    assert isinstance(rows, OutcomeRows)
    return rows


@pytest.mark.parametrize("hours", [0.5, 1.0, 50.0])
def test_weights_are_given_once(hours: float) -> None:
    """However long a rollout lasts, the starts' weights and that of the beginning sum to one at most."""
    starts = Starts.of(PLANNED, TIMELINE, int(hours * 1800))

    assert starts.from_start == FROM_START
    assert FROM_START + starts.weights.sum() <= 1.0 + 1e-12
    assert (np.diff(starts.buckets) >= 0).all()


def test_all_starts_together_are_their_weighted_sum() -> None:
    """One product of matrices gives what each start's evidence, weighed and added, gives."""
    rng = np.random.default_rng(1)
    starts = Starts.of(PLANNED, TIMELINE, 1200)
    buckets = np.sort(rng.choice(1200, 150, replace=False))
    path = np.cumsum(rng.normal(0.0, 0.3, (150, 1)) * GRID.effects - 0.03 * GRID.effects**2, axis=0)
    bases = Bases().passed(starts, np.zeros(GRID.size), buckets, path, 1200)

    together = bases.evidence(GRID, starts, buckets, path)

    for row in range(0, 150, 7):
        begun = bases.buckets <= buckets[row]
        weights = starts.weights[: len(bases.buckets)][begun]
        later = 10 ** log10_evidence(GRID, path[row] - bases.likelihoods[begun])
        total = FROM_START * 10 ** log10_evidence(GRID, path[row]) + weights @ later
        ahead = 1.0 - FROM_START - weights.sum()
        assert together.log10_evidence[row] == pytest.approx(np.log10(total + ahead), abs=1e-9)


def test_a_healthy_canary_is_rarely_accused() -> None:
    """With all its beginnings evidence reaches 1/alpha in at most alpha of healthy rollouts."""
    alpha, rollouts = 0.05, 200

    accused = 0
    for seed in range(rollouts):
        _, path = OutcomeTest.new(alpha, PLANNED).advance(_payments(seed, 40.0), TIMELINE, ALL)
        accused += bool((path.log10_evidence >= -np.log10(alpha)).any())

    # alpha * rollouts is 10; three standard deviations above it is 19.
    assert accused <= 19


@pytest.mark.parametrize(("minute", "within"), [(19, 0.5), (35, 1.0)])
def test_harm_that_begins_late_is_found(minute: int, within: float) -> None:
    """A fifth of the payments lost from some minute on is found within a minute, at 2,000 payments a minute."""
    rows = rollout(np.random.default_rng(3), 2000.0)
    payments = rows.kpis["payment_success_rate"]
    assert isinstance(payments, OutcomeRows)
    late = payments.canary & (payments.entered > START + 60 * minute)
    lost = late & (np.random.default_rng(4).random(len(late)) < 0.2)
    harmed = dataclasses.replace(payments, resolved=payments.entered, failed=payments.failed | lost)
    parameters = dataclasses.replace(PLAN, kpis=PLAN.kpis[1:2], plan=PLANNED)
    found = dataclasses.replace(rows, kpis={"payment_success_rate": harmed})

    evidence = RolloutJudge(parameters).judge(found, WEIGHTS, END)

    assert evidence.verdict is Verdict.FAIL
    assert evidence.decided_at is not None
    assert START + 60 * minute < evidence.decided_at < START + 60 * (minute + within)
