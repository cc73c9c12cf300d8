"""Two policies' differences in words, and which of them make the guard looser."""

import json
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from canary.policy.gates import ApprovalGate, UrlGate
from canary.policy.kpis import DEFAULT_KPIS
from canary.policy.model import Evidence, Policy
from canary.policy.pinning.changes import Effect, changes
from canary.policy.pinning.digest import deciding, digest
from canary.policy.release import Phase, Rollback
from canary.policy.signals import Critical, Signals

_RATIOS = st.integers(1, 99).map(lambda percent: percent / 100)
_SECONDS = st.integers(1, 3600).map(float)
_GATES = st.one_of(
    st.sampled_from((None, "manual", UrlGate(url="http://gate"))), st.builds(ApprovalGate, approvers=st.integers(1, 3))
)
_PHASES = st.builds(
    lambda shares, durations, gates, modes: tuple(
        Phase(traffic=share, duration=duration, gate=gate, advance=mode)
        for share, duration, gate, mode in zip(sorted({*shares, 1.0}), durations, gates, modes, strict=False)
    ),
    st.sets(_RATIOS, max_size=3),
    st.lists(_SECONDS, min_size=4, max_size=4),
    st.lists(_GATES, min_size=4, max_size=4),
    st.lists(st.sampled_from(("on_schedule", "when_proven")), min_size=4, max_size=4),
)
_KPIS = st.dictionaries(st.sampled_from(sorted(DEFAULT_KPIS)), _RATIOS, min_size=1).map(
    lambda tolerances: {name: replace(DEFAULT_KPIS[name], tolerance=found) for name, found in tolerances.items()}
)
POLICIES: st.SearchStrategy[Policy] = st.builds(
    Policy,
    service=st.just("shop"),
    kpis=_KPIS,
    phases=_PHASES,
    rollback=st.builds(Rollback, automatic=st.booleans(), dry_run=st.booleans(), watch=_SECONDS),
    evidence=st.builds(Evidence, alpha=_RATIOS, minimum_units=st.integers(0, 100)),
    signals=st.builds(Signals, critical=st.builds(Critical, error_rate=_RATIOS, hold_for=_SECONDS)),
)


@given(before=POLICIES, after=POLICIES)
def test_what_is_tighter_one_way_is_looser_the_other(before: Policy, after: Policy) -> None:
    """Nothing is called tighter in both directions: whoever goes back and forth gives a reason once at least."""
    there = {change.place: change.effect for change in changes(deciding(before), deciding(after))}
    back = {change.place: change.effect for change in changes(deciding(after), deciding(before))}

    assert there.keys() == back.keys()
    for place, effect in there.items():
        if effect is Effect.TIGHTER:
            assert back[place] is Effect.LOOSER, place


@given(before=POLICIES, after=POLICIES)
def test_there_is_a_difference_exactly_where_the_digests_differ(before: Policy, after: Policy) -> None:
    """No difference is overlooked, and none is made up."""
    assert bool(changes(deciding(before), deciding(after))) is (digest(before) != digest(after))


_BASE = Policy(service="shop", kpis=dict(DEFAULT_KPIS))
_FIRST, *_REST = _BASE.phases


def _phase(**more: Any) -> Policy:
    return replace(_BASE, phases=(replace(_FIRST, **more), *_REST))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (_BASE, _phase(duration=120), "phases.5%.duration 5m -> 2m, looser"),
        (_BASE, _phase(gate="manual"), "phases.5%.gate added (manual), tighter"),
        (_phase(gate="manual"), _phase(gate=ApprovalGate(approvers=1)),
         "phases.5%.gate manual -> approvers 1, tighter"),
        (_phase(gate=ApprovalGate(approvers=3)), _phase(gate=ApprovalGate(approvers=2)),
         "phases.5%.gate.approvers 3 -> 2, looser"),
        (_phase(gate="manual"), _phase(gate=UrlGate(url="http://gate")),
         "phases.5%.gate manual -> url http://gate, timeout 10s, interval 30s, looser"),
        (_BASE, replace(_BASE, phases=_BASE.phases[1:]),
         "phases.5% removed (was duration 5m, advance on_schedule), looser"),
        (_BASE, replace(_BASE, rollback=Rollback(automatic=False)), "rollback.automatic yes -> no, looser"),
        (_BASE, replace(_BASE, evidence=Evidence(minimum_units=9)), "evidence.minimum_units 0 -> 9, tighter"),
        (_BASE, replace(_BASE, signals=Signals(requests="hits_total")),
         "signals.requests http_requests_total -> hits_total, looser"),
        (_BASE, replace(_BASE, technical=False), "signals removed (was as a section), looser"),
        (replace(_BASE, technical=False), _BASE, "signals added (as a section), tighter"),
        (_BASE, replace(_BASE, kpis={**_BASE.kpis, "payment_success_rate": replace(
            DEFAULT_KPIS["payment_success_rate"], target=None)}),
         "kpis.payment_success_rate.target removed (was 95%), for information"),
    ],
)  # fmt: skip
def test_each_difference_is_one_sentence(before: Policy, after: Policy, words: str) -> None:
    """It names the key, both values as a policy writes them, and what it does to the guard."""
    assert [str(change) for change in changes(deciding(before), deciding(after))] == [words]


def test_a_journal_that_does_not_say_whether_signals_are_watched_is_no_difference() -> None:
    """An earlier version has pinned the policy without it; nobody changed anything since."""
    earlier = {key: value for key, value in deciding(_BASE).items() if key != "technical"}

    assert changes(earlier, deciding(_BASE)) == ()


def test_keys_that_came_or_moved_since_an_earlier_version_are_no_difference() -> None:
    """Its journal lacks what was not known then, and has a key of events that stands in the KPI by now."""
    earlier = json.loads(json.dumps(deciding(_BASE)))
    earlier["database"]["events"]["payments"]["segment"] = None
    del earlier["database"]["exclude"], earlier["evidence"]["stable_harm"]

    assert changes(earlier, deciding(_BASE)) == ()
    assert [change.place for change in changes(earlier, deciding(_phase(duration=120)))] == [
        ("phases", "5%", "duration")
    ]
