"""Why a rollout does not go on: the one reason that is true now, and every word of it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from alertmanager.receiver.decide.promotion.waiting import Evidence, Reason, Waiting, objecting, person, undelivered
from canary import names
from canary.errors import RemoteError
from canary.policy.gates import ApprovalGate, Gate, UrlGate
from canary.policy.kpis import DEFAULT_KPIS, Kpi
from canary.policy.model import Evidence as Section
from canary.policy.model import Policy
from canary.policy.release import Phase, Receiver, Watchdog
from canary.prometheus import Alert, Silence
from canary.prometheus.client import Sample
from canary.rollout.plan.plans import Plans
from tests.support.receiving.deciding import Deciding

CALM = Receiver(watchdog=Watchdog(timeout=1e9))
LAST = Phase(traffic=1, duration=300)
CONVERSION = {"conversion_rate": DEFAULT_KPIS["conversion_rate"]}


def policy(gate: Gate | None = None) -> Policy:
    """Two phases, the first with a gate."""
    return Policy(service="shop", phases=(Phase(traffic=0.05, duration=300, gate=gate), LAST), receiver=CALM)


def waits(deciding: Deciding) -> tuple[str, str]:
    """The reason and its words."""
    found = deciding.promoter.waiting
    assert found is not None
    assert found.reason.value in names.WAITS
    return found.reason.value, found.text


def test_the_metric_knows_every_reason() -> None:
    """The label's values are those that are decided."""
    assert tuple(reason.value for reason in Reason) == names.WAITS


async def test_the_phases_time_until_when() -> None:
    """The end of the phase is told as a moment."""
    async with Deciding.about(policy()) as deciding:
        end = deciding.clock.now() + timedelta(seconds=300)
        await deciding.passes(100)
        assert waits(deciding) == ("time", f"the phase's time, until {end:%Y-%m-%d %H:%M:%S} UTC")


async def test_a_freeze_until_when() -> None:
    """With the phase's time over, a change freeze with its author and end; lifted, the next reason."""
    async with Deciding.about(policy()) as deciding:
        end = deciding.clock.now() + timedelta(hours=1)
        await deciding.freezes.begin(end, actor="ann", reason="sale")
        await deciding.passes(300)
        assert waits(deciding) == (
            "freeze", f"the end of the change freeze (sale) by ann, until {end:%Y-%m-%d %H:%M} UTC"
        )  # fmt: skip
        await deciding.freezes.lift(actor="ann", reason="")
        await deciding.passes(1)
        assert waits(deciding)[0] == "alertmanager"


async def test_a_hold_by_its_alert_and_by_a_person() -> None:
    """Which alert has begun it and how it ends; a person's ends by a person."""
    async with Deciding.about(policy()) as deciding:
        await deciding.hear("CanaryBlind", "hold")
        await deciding.passes(1)
        reason, text = waits(deciding)
        assert reason == "hold"
        assert text.startswith("the end of the hold by CanaryBlind (")
        assert text.endswith("it ends by itself")
        await deciding.order("hold")
        await deciding.passes(1)
        assert waits(deciding) == ("hold", "the end of the hold by ann (because); `canary resume` ends it")


async def test_alerts_that_ask_for_less_traffic_by_their_names() -> None:
    """Each once, in an order that stays, however many of them fire."""
    firing = [Alert({"alertname": name}, {}, firing=True) for name in ("CanaryX", "CanaryA", "CanaryX")]
    assert objecting(firing) == Waiting(Reason.HOLD, "CanaryA, CanaryX to clear")


async def test_who_has_agreed_so_far() -> None:
    """How many are still missing for the phase that comes next, and who was asked already."""
    gated = policy(ApprovalGate(approvers=2))
    three = replace(gated, phases=(gated.phases[0], Phase(traffic=0.5, duration=300), LAST))
    async with Deciding.about(three) as deciding:
        agreed = replace(deciding.rollout, approvals=frozenset({("bob", 1)}))
        assert person(agreed).text == "1 more people to agree, 1 of 2 approvals (bob): `canary advance`"


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ("manual", "a person: `canary advance`"),
        (ApprovalGate(approvers=2), "2 more people to agree"),
        (UrlGate(url="http://gate"), "the gate answered 503"),
    ],
)
async def test_a_gate_and_who_is_missing(gate: Gate, words: str) -> None:
    """A person, several, or the user's own check, once everything else agrees."""
    async with Deciding.about(policy(gate)) as deciding:
        deciding.gate = "the gate answered 503"
        deciding.complaint = "Prometheus to answer"
        await deciding.passes(300)
        assert waits(deciding)[0] == "prometheus"
        deciding.complaint = ""
        await deciding.key()
        await deciding.passes(10)
        reason, text = waits(deciding)
        assert (reason, words in text) == ("gate", True)


async def test_a_silence_before_alertmanager() -> None:
    """A silence on the advance is named with its author and end; without one Alertmanager is waited for."""
    async with Deciding.about(policy()) as deciding:
        end = deciding.clock.now() + timedelta(hours=1)
        deciding.silence = Silence((), end, active=True, author="bob", comment="lunch")
        await deciding.passes(300)
        reason, text = waits(deciding)
        assert reason == "silence"
        assert f"by bob until {end:%Y-%m-%d %H:%M} UTC (lunch)" in text
        deciding.silence = None
        await deciding.passes(10)
        assert waits(deciding) == ("alertmanager", f"Alertmanager to deliver {names.PHASE_COMPLETE}")
    kept = undelivered(None, "the inhibition by NightShift")
    assert kept.text == f"Alertmanager to deliver {names.PHASE_COMPLETE} (the inhibition by NightShift)"


async def test_whoever_does_not_run_waits_for_nothing() -> None:
    """After a rollback there is no reason left."""
    async with Deciding.about(policy()) as deciding:
        await deciding.order("rollback")
        await deciding.promoter.step()
        assert deciding.promoter.waiting is None


class Series:
    """A Prometheus with these verdicts and units of one rollout, and its bounds of those KPIs that it judges.

    Attributes:
        asked: how often it was asked.
    """

    place = "Prometheus"

    def __init__(
        self,
        rollout: str,
        verdicts: Mapping[str, str],
        units: Mapping[str, float],
        *,
        error: str = "",
        bounds: float = 0.2,
    ) -> None:
        self.asked = 0
        self._own = f'{{{names.SERVICE}="shop",{names.ROLLOUT}="{rollout}"'
        self._verdicts, self._units, self._error, self._bounds = verdicts, units, error, bounds

    async def alerts(self) -> list[Alert]:
        """Not asked for."""
        raise AssertionError

    async def query(self, expression: str) -> list[Sample]:
        """What the exporter says, of this rollout and no other."""
        self.asked += 1
        assert self._own in expression
        if self._error:
            raise RemoteError(self._error)
        if names.KPI_VERDICT in expression:
            return [Sample({names.KPI: kpi, names.VERDICT: text}, 1) for kpi, text in self._verdicts.items()]
        if names.KPI_UNITS in expression:
            assert f'{names.ROLE}="canary"' in expression
            return [Sample({names.KPI: kpi}, count) for kpi, count in self._units.items()]
        bounds = {
            names.KPI_RELATIVE_CHANGE_LOWER: -self._bounds,
            names.KPI_RELATIVE_CHANGE_UPPER: self._bounds,
            names.KPI_RELATIVE_CHANGE: 0,
        }
        value = next(bound for metric, bound in bounds.items() if metric in expression)
        return [Sample({names.KPI: kpi}, value) for kpi in self._units] if self._bounds else []


def judging(advance: str, **kpis: Kpi) -> Policy:
    """A policy that lets a phase end in this way, with 400 units at least."""
    return Policy(
        service="shop",
        kpis=kpis or CONVERSION,
        phases=(Phase(traffic=0.05, duration=300, advance=advance), LAST),  # type: ignore[arg-type]
        evidence=Section(minimum_units=400),
    )


NOTHING = Waiting(Reason.PROMETHEUS, f"Prometheus to show {names.PHASE_COMPLETE} firing for phase 1")


@pytest.mark.parametrize(
    ("advance", "verdict", "units", "asks", "words"),
    [
        ("on_schedule", "hold", 100.0, 2, "has 100 canary units of 400, about 15m more at this rate"),
        ("on_schedule", "hold", float("nan"), 2, "has 0 canary units of 400"),
        (
            "when_proven", "hold", 500.0, 5,
            "is not decided after 500 canary units, and must pass (in about 15m at this rate and change)",
        ),
        ("when_proven", "fail", 500.0, 2, "fails after 500 canary units, and must pass"),
        ("on_schedule", "fail", 500.0, 2, "fails after 500 canary units, and must not speak against the canary"),
        ("on_schedule", "blind", 500.0, 2,
         "has no data after 500 canary units, and must not speak against the canary"),
        ("on_schedule", "", 500.0, 2,
         "has no verdict yet after 500 canary units, and must not speak against the canary"),
        ("on_schedule", "hold", 400.0, 2, ""),
        ("when_proven", "pass", 500.0, 2, ""),
    ],
)  # fmt: skip
async def test_the_evidence_by_kpi(advance: str, verdict: str, units: float, asks: int, words: str) -> None:
    """Which KPI does not agree, what it has seen, and how long its units take; when all agree, the rules themselves.

    Prometheus is asked no more than is told.
    """
    judged = judging(advance)
    async with Deciding.about(judged) as deciding:
        said = {"conversion_rate": verdict} if verdict else {}
        series = Series(deciding.rollout.id, said, {"conversion_rate": units})
        found = await Evidence(series, Plans(judged)).missing(deciding.rollout, 300)
        assert found == (Waiting(Reason.EVIDENCE, f"evidence: conversion_rate {words}") if words else NOTHING)
        assert series.asked == asks


@pytest.mark.parametrize(
    ("elapsed", "still"), [(0.0, ""), (0.5, ", about 2s more at this rate"), (1.0, ", about 3s more at this rate")]
)
async def test_how_long_units_take_is_told_from_the_first_moment(elapsed: float, still: str) -> None:
    """With no time passed there is no rate, and none is made up."""
    judged = judging("on_schedule")
    async with Deciding.about(judged) as deciding:
        series = Series(deciding.rollout.id, {}, {"conversion_rate": 100})
        found = await Evidence(series, Plans(judged)).missing(deciding.rollout, elapsed)
        assert found.text == f"evidence: conversion_rate has 100 canary units of 400{still}"


async def test_every_kpi_that_may_stop_it_and_no_other() -> None:
    """What only warns, or is judged by a threshold, holds no phase up; the rollout's policy says which."""
    one = CONVERSION["conversion_rate"]
    judged = judging(
        "on_schedule",
        b=replace(one, action="hold"),
        a=replace(one, action="rollback"),
        warns=replace(one, action="warn"),
        threshold=replace(one, action="rollback", judge="threshold"),
    )
    async with Deciding.about(judged) as deciding:
        series = Series(deciding.rollout.id, dict.fromkeys("ab", "fail"), dict.fromkeys("ab", 500))
        later = Plans(replace(judged, kpis={}))
        found = await Evidence(series, later).missing(deciding.rollout, 300)
        lacks = "fails after 500 canary units, and must not speak against the canary"
        assert found.text == f"evidence: b {lacks}; a {lacks}"


async def test_bounds_that_are_not_there_tell_nothing_of_how_long() -> None:
    """Then it is told what is missing, and no time is made up."""
    judged = judging("when_proven")
    async with Deciding.about(judged) as deciding:
        said, units = {"conversion_rate": "hold"}, {"conversion_rate": 500.0}
        series = Series(deciding.rollout.id, said, units, bounds=0)
        found = await Evidence(series, Plans(judged)).missing(deciding.rollout, 300)
        assert found.text == "evidence: conversion_rate is not decided after 500 canary units, and must pass"


async def test_evidence_that_cannot_be_asked_for() -> None:
    """Prometheus itself is the reason then."""
    async with Deciding.about(policy()) as deciding:
        found = await Evidence(Series(deciding.rollout.id, {}, {}, error="away"), Plans(policy())).missing(
            deciding.rollout, 300
        )
        assert found == Waiting(Reason.PROMETHEUS, "Prometheus to answer (away)")
