"""Experiments over time: begun by the policy, stopped for good reasons, told from the journal alone."""

from datetime import UTC, datetime, timedelta

import pytest

from canary.errors import RefusedError
from canary.policy.experiments import Experiment, Variant
from canary.policy.model import Policy
from canary.rollout import experiments
from canary.rollout.entries import Entry

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def policy(*, enabled: bool = True, **weights: float) -> Policy:
    """A policy with one experiment."""
    variants = {name: Variant(weight=weight) for name, weight in weights.items()}
    return Policy(service="shop", experiments={"checkout": Experiment(variants=variants, enabled=enabled)})


def grown(entries: list[Entry], wanted: Policy, minutes: int) -> list[Entry]:
    """The journal after the receiver has met a policy."""
    at = NOW + timedelta(minutes=minutes)
    return [*entries, *experiments.due(wanted, experiments.fold(entries), at=at, actor="receiver")]


def test_a_new_experiment_begins_once() -> None:
    """The first look at a policy begins its experiments, the next ones change nothing."""
    entries = grown([], policy(control=90, treatment=10), 0)

    again = grown(entries, policy(control=90, treatment=10), 5)

    assert again == entries
    assert experiments.fold(again)["checkout"].started_at == NOW


def test_changed_weights_are_remembered_with_their_time() -> None:
    """Evidence needs to know which weights held when."""
    entries = grown(grown([], policy(control=90, treatment=10), 0), policy(control=50, treatment=50), 5)

    weights = experiments.fold(entries)["checkout"].weights

    assert [one.share("treatment", "control") for one in weights] == [0.1, 0.5]
    assert weights[1].since - weights[0].since == timedelta(minutes=5)


def test_other_variants_begin_anew() -> None:
    """Evidence on other variants is no evidence on these."""
    entries = grown(grown([], policy(control=90, treatment=10), 0), policy(control=80, blue=10, green=10), 5)

    assert experiments.fold(entries)["checkout"].started_at == NOW + timedelta(minutes=5)


def test_a_disabled_experiment_stops_and_begins_anew_when_enabled() -> None:
    """Switching an experiment off in the policy stops it; switching it on begins it with fresh evidence."""
    entries = grown(grown([], policy(a=1, control=1), 0), policy(enabled=False, a=1, control=1), 5)
    stopped = experiments.fold(entries)["checkout"]

    entries = grown(entries, policy(a=1, control=1), 9)

    assert not stopped.running
    assert experiments.fold(entries)["checkout"].started_at == NOW + timedelta(minutes=9)


def test_a_stopped_experiment_stays_stopped_until_somebody_begins_it() -> None:
    """A guardrail's stop survives every restart and change of weights; a person may restart."""
    entries = grown([], policy(control=90, treatment=10), 0)
    trials = experiments.fold(entries)
    entries.append(experiments.stop(trials, "checkout", at=NOW, actor="alertmanager", reason="payments fail"))

    entries = grown(entries, policy(control=50, treatment=50), 5)
    stopped = experiments.fold(entries)
    entries.append(experiments.start(stopped, "checkout", at=NOW + timedelta(hours=1), actor="ann", reason="fixed"))

    assert (stopped["checkout"].running, stopped["checkout"].reason) == (False, "payments fail")
    assert experiments.fold(entries)["checkout"].running


def test_what_makes_no_sense_is_refused() -> None:
    """Unknown experiments, second stops and starts of a running one are refused with the reason."""
    entries = grown([], policy(control=1, treatment=1), 0)
    trials = experiments.fold(entries)

    with pytest.raises(RefusedError, match="known are checkout"):
        experiments.stop(trials, "chekout", at=NOW, actor="ann", reason="x")
    with pytest.raises(RefusedError, match="runs since"):
        experiments.start(trials, "checkout", at=NOW, actor="ann", reason="x")
    entries.append(experiments.stop(trials, "checkout", at=NOW, actor="ann", reason="enough"))
    with pytest.raises(RefusedError, match="stopped already"):
        experiments.stop(experiments.fold(entries), "checkout", at=NOW, actor="ann", reason="x")
