"""Why a rollout does not go on: the one reason that is true now, and every word of it."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from alertmanager.receiver.decide.promotion.waiting import Evidence, Reason, Waiting
from canary import names
from canary.errors import RemoteError
from canary.policy.gates import ApprovalGate, Gate, UrlGate
from canary.policy.kpis import DEFAULT_KPIS
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
        assert waits(deciding)[1].endswith("`canary resume` ends it")


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


async def test_whoever_does_not_run_waits_for_nothing() -> None:
    """After a rollback there is no reason left."""
    async with Deciding.about(policy()) as deciding:
        await deciding.order("rollback")
        await deciding.promoter.step()
        assert deciding.promoter.waiting is None


class Series:
    """A Prometheus with these verdicts and units."""

    place = "Prometheus"

    def __init__(self, verdicts: Mapping[str, str], units: Mapping[str, float], error: str = "") -> None:
        self._verdicts, self._units, self._error = verdicts, units, error

    async def alerts(self) -> list[Alert]:
        """Not asked for."""
        raise AssertionError

    async def query(self, expression: str) -> list[Sample]:
        """What the exporter says."""
        if self._error:
            raise RemoteError(self._error)
        if names.KPI_VERDICT in expression:
            return [Sample({names.KPI: kpi, names.VERDICT: text}, 1) for kpi, text in self._verdicts.items()]
        if names.KPI_UNITS in expression:
            return [Sample({names.KPI: kpi}, count) for kpi, count in self._units.items()]
        bounds = {
            names.KPI_RELATIVE_CHANGE_LOWER: -0.2,
            names.KPI_RELATIVE_CHANGE_UPPER: 0.2,
            names.KPI_RELATIVE_CHANGE: 0,
        }
        value = next(bound for metric, bound in bounds.items() if metric in expression)
        return [Sample({names.KPI: kpi}, value) for kpi in self._units]


@pytest.mark.parametrize(
    ("advance", "verdict", "units", "words"),
    [
        ("on_schedule", "hold", 100.0, "conversion_rate has 100 canary units of 400, about 15m more at this rate"),
        ("on_schedule", "hold", float("nan"), "conversion_rate has 0 canary units of 400"),
        (
            "when_proven",
            "hold",
            500.0,
            "not decided after 500 canary units, and must pass (in about 15m at this rate and change)",
        ),
        ("on_schedule", "blind", 500.0, "conversion_rate has no data after 500"),
        ("on_schedule", "", 500.0, "conversion_rate has no verdict yet after 500"),
        ("on_schedule", "hold", 500.0, ""),
        ("when_proven", "pass", 500.0, ""),
    ],
)
async def test_the_evidence_by_kpi(advance: str, verdict: str, units: float, words: str) -> None:
    """Which KPI does not agree, what it has seen, and how long its units take; when all agree, the rules themselves."""
    judged = Policy(
        service="shop",
        kpis=CONVERSION,
        phases=(Phase(traffic=0.05, duration=300, advance=advance), LAST),  # type: ignore[arg-type]
        evidence=Section(minimum_units=400),
    )
    async with Deciding.about(judged) as deciding:
        said = {"conversion_rate": verdict} if verdict else {}
        found = await Evidence(Series(said, {"conversion_rate": units}), Plans(judged)).missing(deciding.rollout, 300)
        nothing = Waiting(Reason.PROMETHEUS, f"Prometheus to show {names.PHASE_COMPLETE} firing for phase 1")
        assert found.reason is Reason.EVIDENCE if words else found == nothing
        assert words in found.text


async def test_evidence_that_cannot_be_asked_for() -> None:
    """Prometheus itself is the reason then."""
    async with Deciding.about(policy()) as deciding:
        found = await Evidence(Series({}, {}, "away"), Plans(policy())).missing(deciding.rollout, 300)
        assert found == Waiting(Reason.PROMETHEUS, "Prometheus to answer (away)")
