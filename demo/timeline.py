"""What happened when: the moments of a rollout, from the shop's database, Prometheus, the journal and the customers.

Each moment comes from the witness that knows it best, and the witness is named: that the last request reached the
canary is the customers' word, not the router's. A moment that nobody can testify is shown as missing, never left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from canary import names
from canary.rollout.entries import (
    Advanced,
    Entry,
    FinishBegan,
    Finished,
    FinishStepped,
    Held,
    Promoted,
    Resumed,
    RollbackDecided,
    RolledBack,
    Started,
    StepDone,
)
from canary.rollout.kinds import Step
from canary.timing.times import from_text
from canary.units import format_ratio
from demo.customers import Memory
from demo.questions import Questions
from demo.shop.schema import payments
from demo.team import Message

_KPIS = {
    names.CONVERSION_DEGRADED: "conversion_rate",
    names.PAYMENT_SUCCESS_DEGRADED: "payment_success_rate",
    names.PAYMENT_SUCCESS_LOW: "payment_success_rate",
}


@dataclass(frozen=True)
class Moment:
    """One line of the timeline; *at* is nothing when it did not happen."""

    at: datetime | None
    what: str
    source: str


async def first_bad_payment(engine: AsyncEngine, version: str, since: datetime) -> datetime | None:
    """When a payment of one version first failed after a moment, as the order database has it."""
    query = select(func.min(payments.c.settled_at)).where(
        payments.c.version == version, payments.c.status == "failed", payments.c.settled_at >= since
    )
    async with engine.connect() as connection:
        found = await connection.scalar(query)
    return None if found is None else from_text(str(found))


async def of_rollback(
    entries: Sequence[Entry],
    memory: Memory,
    messages: Sequence[Message],
    questions: Questions,
    engine: AsyncEngine,
    fault_at: datetime,
    fault: str,
) -> list[Moment]:
    """The moments of a rollout whose canary went bad, in the order in which they should happen."""
    started, rollback = _first(entries, Started), _first(entries, RollbackDecided)
    canary = started.canary if started else ""
    cause = rollback.cause if rollback else ""
    until = entries[-1].at
    alert = f'ALERTS{{alertname="{cause}",alertstate="firing"}}'
    evidence = []
    if cause in _KPIS:
        # Proofs are scraped each second; a verdict may be over before it is scraped with everything else.
        crossed = await questions.first_time(f'{names.KPI_PROOF}{{{names.KPI}="{_KPIS[cause]}"}}', fault_at, until)
        evidence = [Moment(crossed, "evidence crosses its threshold", "Prometheus")]
    first_harm = [Moment(await first_bad_payment(engine, canary, fault_at), "first bad payment", "order database")]
    if fault != "payments":
        harmed = next((e.at for e in memory.at(canary) if e.failed and e.at >= fault_at), None)
        first_harm = [Moment(harmed, "first customer harmed", "customers")]
    last = max((e.at for e in memory.at(canary) if e.request), default=None)
    notified_at = next((m.at for m in messages if rollback and m.at >= rollback.at), None)
    return [
        Moment(_at(started), f"rollout of {canary} starts", "journal"),
        *_course(entries),
        Moment(fault_at, f"{canary} begins to misbehave: {fault}", "demo"),
        *first_harm,
        *evidence,
        Moment(await questions.first_time(alert, fault_at, until), f"alert {cause or '?'} fires", "Prometheus"),
        Moment(_at(rollback), f"rollback decided by {rollback.actor if rollback else '?'}", "journal"),
        Moment(last, f"last request answered by {canary}", "customers"),
        Moment(_step(entries, Step.TRAFFIC), "router reads back 0 %", "journal"),
        Moment(_step(entries, Step.PROCESS), f"process of {canary} stopped", "journal"),
        Moment(notified_at, "team notified", "team's webhook"),
        Moment(_at(_first(entries, RolledBack)), "rolled back", "journal"),
    ]


def of_promotion(entries: Sequence[Entry], messages: Sequence[Message]) -> list[Moment]:
    """The moments of a rollout whose canary stayed healthy."""
    started, promoted = _first(entries, Started), _first(entries, Promoted)
    notified_at = next((m.at for m in messages if promoted and m.at >= promoted.at), None)
    return [
        Moment(_at(started), f"rollout of {started.canary if started else '?'} starts", "journal"),
        *_course(entries),
        Moment(_at(promoted), "promoted", "journal"),
        Moment(notified_at, "team notified", "team's webhook"),
    ]


def of_finish(entries: Sequence[Entry]) -> list[Moment]:
    """The moments of a promoted release that is finished."""
    began, finished = _first(entries, FinishBegan), _first(entries, Finished)
    weights = began.weights if began else ()
    steps = [
        Moment(entry.at, f"{format_ratio(1 - weights[entry.step])} are back on the stable server", "journal")
        for entry in entries
        if isinstance(entry, FinishStepped)
    ]
    return [
        Moment(_at(began), "finishing begins", "journal"),
        *steps,
        Moment(_step(entries, Step.PROCESS), "process on the canary's server stopped", "journal"),
        Moment(_at(finished), "finished", "journal"),
    ]


def of_outage(entries: Sequence[Entry], fault_at: datetime) -> list[Moment]:
    """The moments of a rollout during which the payment provider failed for both versions."""
    started, held = _first(entries, Started), _first(entries, Held)
    moments = [
        Moment(_at(started), f"rollout of {started.canary if started else '?'} starts", "journal"),
        *_course(entries),
        Moment(fault_at, "payments of both versions begin to fail", "demo"),
    ]
    return moments if held else [*moments, Moment(None, "held", "journal")]


def _course(entries: Sequence[Entry]) -> list[Moment]:
    """How the rollout went between its start and its end."""
    started = _first(entries, Started)
    traffic = started.traffic if started else ()
    moments = []
    for entry in entries:
        match entry:
            case Advanced(phase=phase):
                share = format_ratio(traffic[phase])
                moments.append(Moment(entry.at, f"phase {phase + 1}: {share} of customers", "journal"))
            case Held():
                moments.append(Moment(entry.at, f"held by {entry.cause}", "journal"))
            case Resumed():
                moments.append(Moment(entry.at, "resumed", "journal"))
    return moments


E = TypeVar("E", bound=Entry)


def _first(entries: Sequence[Entry], kind: type[E]) -> E | None:
    return next((entry for entry in entries if isinstance(entry, kind)), None)


def _at(entry: Entry | None) -> datetime | None:
    return entry.at if entry else None


def _step(entries: Sequence[Entry], step: Step) -> datetime | None:
    done = (e for e in entries if isinstance(e, StepDone) and e.step is step)
    return _at(next(done, None))
