"""One KPI looked at by the values of a column: harm to a part of the customers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from canary import names
from canary.policy.kpis import Success
from canary.policy.model import Policy
from exporter.evidence.judge import KpiEvidence
from exporter.evidence.verdict import Verdict
from exporter.judge.exactfile import ExactFiles
from exporter.judge.parameters import judge_parameters
from exporter.judge.rollout import JudgedRollout
from exporter.ledger.rows import FAILED_CODE, SUCCEEDED_CODE, Codes, EventRows
from exporter.publish.rollout_metrics import rollout_metrics
from exporter.publish.snapshot import Snapshot
from tests.exporter.judge.customers import CANARY, END, POLICY, START, known_at, rollout, shop

VERSIONS = Codes()
for version in ("v1", "v2"):
    VERSIONS.code(version)
PROVIDERS = [VERSIONS.code(name) for name in ("card", "wallet", "invoice")]


def by_provider(segments: int = 2) -> Policy:
    """Payments looked at by provider."""
    payments = POLICY.kpis["payment_success_rate"]
    assert isinstance(payments, Success)
    return replace(
        POLICY, kpis={"payment_success_rate": replace(payments, by="provider", segments=segments, floor=None)}
    )


def payments_of(seed: int, *, breaks: str = "") -> dict[str, EventRows]:
    """Seven in ten pay by card, two by wallet, one by invoice, before the start too; the canary may break one."""
    rng = np.random.default_rng(seed)
    rows, before = shop(seed, 3000), shop(seed + 50, 400)
    earlier = {
        event: replace(table, time=table.time - 3000.0, entered=table.entered - 3000.0)
        for event, table in before.items()
    }
    every = {event: earlier[event].then((table,)) for event, table in rows.items()}
    paid = every["payments"]
    provider = np.asarray(PROVIDERS)[rng.choice(3, len(paid), p=[0.7, 0.2, 0.1])]
    broken = (paid.version == CANARY) & (paid.entered >= START)
    broken &= provider == (VERSIONS.code(breaks) if breaks else -1)
    outcome = np.where(broken, FAILED_CODE, np.where(paid.entered % 1 < 0.03, FAILED_CODE, SUCCEEDED_CODE))
    every["payments"] = replace(paid, outcome=outcome, segment=provider)
    return every


def judged(rows: dict[str, EventRows], policy: Policy, *looks: float) -> KpiEvidence:
    """What is said of payments at the end, looked at several times."""
    judge = JudgedRollout.of(policy, rollout())
    for now in (*looks, END):
        evidence = judge.look(known_at(rows, now), VERSIONS, rollout(until=now), now, {})
    return evidence.kpis["payment_success_rate"]


def test_a_broken_provider_is_found_and_named() -> None:
    """A canary with which every wallet payment fails is harmful to wallets, whatever all payments together say."""
    found = judged(payments_of(1, breaks="wallet"), by_provider())

    assert found.verdict is Verdict.FAIL
    assert "segment" in found.proofs
    assert found.segments["wallet"].verdict is Verdict.FAIL
    assert found.segments["wallet"].estimate < -0.5
    assert found.segments["card"].verdict is not Verdict.FAIL


def test_a_harmed_segment_of_a_kpi_without_a_unit_only_holds() -> None:
    """What may not roll back as a whole may not by a segment: no proof is published for a rule to act upon."""
    policy, rows = by_provider(), payments_of(1, breaks="wallet")
    events = {name: replace(event, unit=None) for name, event in policy.database.events.items()}
    judge = JudgedRollout.of(replace(policy, database=replace(policy.database, events=events)), rollout())

    evidence = judge.look(known_at(rows, END), VERSIONS, rollout(), END, {})
    snapshot = Snapshot("shop", rollout="r1", evidence=evidence, policy_kpis=policy.kpis)
    families = {family.name: family for family in rollout_metrics(snapshot, evidence)}

    kpi = evidence.kpis["payment_success_rate"]
    assert kpi.segments["wallet"].verdict is Verdict.FAIL
    assert kpi.verdict is Verdict.HOLD
    assert {sample.value for sample in families[names.KPI_SEGMENT_PROOF].samples} == {0.0}


def test_rare_values_count_together_as_other() -> None:
    """Only the most frequent values have a name; harm to a rarer one is harm to `other`."""
    found = judged(payments_of(2, breaks="invoice"), by_provider(segments=2))

    assert list(found.segments) == ["card", "wallet", "other"]
    assert found.segments["other"].verdict is Verdict.FAIL
    assert sum(sum((one.canary_units, one.stable_units)) for one in found.segments.values()) == sum(
        (found.canary_units, found.stable_units)
    )


def test_a_healthy_canary_is_accused_in_no_segment() -> None:
    """Equal versions pass for equal in each part too, and the evidence of a part does not depend on when one looks."""
    rows = payments_of(3)

    often = judged(rows, by_provider(), START + 400.0, START + 900.0, START + 1500.0)
    once = judged(rows, by_provider())

    assert once.verdict is not Verdict.FAIL
    for name, segment in once.segments.items():
        assert often.segments[name].log10_evidence == pytest.approx(segment.log10_evidence, abs=1e-9)


def test_segments_share_half_of_the_quick_halfs_alpha() -> None:
    """The whole, its segments and the exact half, which looks at all of them at once, have what the KPI has."""
    parameters = replace(judge_parameters(by_provider(segments=4), START), exact=True)
    kpi = parameters.kpis[0]

    quick = parameters.alpha_of(kpi) + kpi.segments * parameters.segment_alpha_of(kpi)

    assert kpi.segments == 5
    assert parameters.segment_alpha_of(kpi) == pytest.approx(parameters.alpha_of(kpi) / 5)
    assert quick + parameters.exact_alpha_of(kpi) == pytest.approx(parameters.share_of(kpi))


def test_the_exact_half_finds_and_names_a_broken_provider(tmp_path: Path) -> None:
    """The name that it gave survives a restart, also one after which other values are the frequent ones."""
    rows, policy = payments_of(1, breaks="wallet"), by_provider()
    files = ExactFiles(tmp_path / "evidence", "shop")
    lived = JudgedRollout.of(policy, rollout(), files=files)
    evidence = lived.look(known_at(rows, END), VERSIONS, rollout(), END, {}).kpis["payment_success_rate"]
    paid = rows["payments"]
    later = np.where(paid.entered < START, PROVIDERS[2], paid.segment)
    changed = rows | {"payments": replace(paid, segment=later)}

    again = JudgedRollout.of(policy, rollout(), files=files)
    resumed = again.look(known_at(changed, END), VERSIONS, rollout(), END, {}).kpis["payment_success_rate"]

    for found in (evidence.exact, resumed.exact):
        assert found is not None
        assert found.segment == "wallet"
    assert evidence.segments["wallet"].verdict is Verdict.FAIL
    assert list(resumed.segments) == ["invoice", "other"]


def test_a_segments_proof_by_the_exact_half_is_enough() -> None:
    """The quick half alone says nothing yet; told by the exact one, the segment that it names fails, and no other."""
    rows, policy = payments_of(1, breaks="wallet"), by_provider()
    judge = JudgedRollout.of(replace(policy, evidence=replace(policy.evidence, alpha=1e-15)), rollout())
    assert judge.exact is not None
    test = judge.exact.tests["payment_success_rate"]

    def fails(now: float) -> list[str]:
        evidence = judge.look(known_at(rows, now), VERSIONS, rollout(until=now), now, {})
        segments = evidence.kpis["payment_success_rate"].segments
        return [name for name, one in segments.items() if one.verdict is Verdict.FAIL]

    before = fails(START + 500.0)
    test.proven_at, test.worst = START + 500.0, test.names.index("wallet")

    assert before == []
    assert fails(START + 505.0) == ["wallet"]
