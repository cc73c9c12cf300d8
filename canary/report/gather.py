"""From the journal and Prometheus to a report; what Prometheus no longer knows is named as a gap."""

import asyncio
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from canary import names
from canary.errors import RemoteError
from canary.policy import Policy
from canary.policy.kpis import Conversion
from canary.prometheus import Prometheus, Series
from canary.report.advice import advice
from canary.report.drift import Drift, drifts
from canary.report.facts import Firing, KpiStory, PhaseStory, Points, Report, Review
from canary.report.past import PastKpi, PastReport
from canary.report.review.asking import Asking, finite
from canary.report.review.money import Compared, last_weight, money
from canary.report.review.opinion import opinions
from canary.report.review.rows import replica_rows, row_shares
from canary.report.review.technical import technical
from canary.rollout.entries import (
    Advanced,
    Elapsed,
    Entry,
    Note,
    Notified,
    Promoted,
    RollbackDecided,
    Started,
    StepDone,
)
from canary.rollout.folding import fold, newest
from canary.rollout.plan.planentries import Amended
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout
from canary.timing.clock import Clock

_POINTS = 400
"""Points of a curve, at most: about the width of its picture, whatever the rollout's length."""
_BOOKKEEPING = (StepDone, Notified, Elapsed)
"""What the receiver notes for itself; it decided nothing."""
_ABOUT = (
    names.KPI, names.SEGMENT, names.METRIC, names.SERVER, names.REASON, names.EVENT, names.FAULT, names.COLUMN,
)  # fmt: skip
"""Labels by which several alerts of one name are told apart."""
_AFTER = timedelta(seconds=30)
"""So long after the end is looked too: what was known at the end is scraped and evaluated a little later."""

_SERIES = {
    names.KPI_RELATIVE_CHANGE: "change",
    names.KPI_RELATIVE_CHANGE_LOWER: "lower",
    names.KPI_RELATIVE_CHANGE_UPPER: "upper",
}


async def gather(
    policy: Policy, entries: Sequence[Entry], prometheus: Prometheus, clock: Clock, past: Iterable[PastReport]
) -> Report | None:
    """The report of the rollout that the entries are about; None when they hold none.

    Args:
        past: the reports that were written before, oldest first.
    """
    rollout = newest(fold(entries))
    if rollout is None:
        return None
    # By what it ran, and not by what the file says since.
    file, policy = policy, Plans(policy).of(rollout)
    now = clock.now()
    until = min(now, rollout.ended_at or now)
    gaps: list[str] = []
    stories, firing, events, points = await _asked(_History(policy, rollout, until, prometheus), gaps)
    review = await _reviewed(policy, rollout, Asking(prometheus, rollout.started_at, until), stories, points, gaps)
    complete = not gaps
    if complete:
        gaps += [f"KPI {kpi.name}: Prometheus has no band of it" for kpi in stories if not kpi.change]
    return Report(
        service=policy.service,
        rollout=rollout,
        until=until,
        made_at=now,
        entries=[entry for entry in entries if not isinstance(entry, (*_BOOKKEEPING, Note))],
        notes=[entry for entry in entries if isinstance(entry, Note)],
        phases=phases(entries, until),
        share=points,
        kpis=stories,
        alerts=firing,
        exposed=events,
        review=review,
        complete=complete,
        gaps=gaps,
        advice=advice(rollout, firing, stories),
        drift=_drift(file, rollout, stories, past),
        zone=file.receiver.timezone,
    )


def _drift(
    policy: Policy, rollout: Rollout, stories: Sequence[KpiStory], past: Iterable[PastReport]
) -> Sequence[Drift]:
    """What the last releases add up to, this one included when all customers have got it."""
    kpis = {
        kpi.name: PastKpi(relative_change=kpi.change, relative_change_lower=kpi.lower, relative_change_upper=kpi.upper)
        for kpi in stories
    }
    this = PastReport(policy.service, rollout.id, rollout.stable, rollout.canary, rollout.state.value, kpis=kpis)
    return drifts(policy, [*(one for one in past if one.rollout != rollout.id), this])


async def _asked(history: "_History", gaps: list[str]) -> tuple[list[KpiStory], list[Firing], dict[str, float], Points]:
    """What Prometheus knows of the rollout; nothing, and a gap, where it does not answer."""
    try:
        async with asyncio.TaskGroup() as group:
            kpis = group.create_task(history.kpis())
            alerts = group.create_task(history.alerts())
            exposed = group.create_task(history.exposed())
            share = group.create_task(history.share())
        found = (kpis.result(), alerts.result(), exposed.result(), share.result())
    except* RemoteError as errors:
        gaps.append(f"KPIs, alerts and customers: Prometheus is unreachable ({errors.exceptions[0]})")
        found = ([], [], {}, ())
    return found


async def _reviewed(
    policy: Policy, rollout: Rollout, asking: Asking, stories: Sequence[KpiStory], share: Points, gaps: list[str]
) -> Review:
    """The technical side, the money and the second opinion; nothing, and a gap, where Prometheus does not answer."""
    if gaps:
        return Review()
    changes = {
        kpi.name: Compared(kpi.change[-1][1], kpi.lower[-1][1], kpi.upper[-1][1])
        for kpi in stories
        if kpi.change and kpi.lower and kpi.upper
    }
    try:
        async with asyncio.TaskGroup() as group:
            measured = group.create_task(technical(policy, rollout, asking))
            others = group.create_task(opinions(policy, rollout, asking))
            cost = group.create_task(money(policy, rollout, asking, changes, last_weight(share)))
            rows = group.create_task(row_shares(policy.service, rollout, asking))
            replica = group.create_task(replica_rows(policy.service, rollout, asking))
        found = Review(measured.result(), cost.result(), others.result(), rows.result(), replica.result())
    except* RemoteError as errors:
        gaps.append(f"Errors, response times, money and rows: Prometheus is unreachable ({errors.exceptions[0]})")
        found = Review()
    return found


def phases(entries: Iterable[Entry], until: datetime) -> list[PhaseStory]:
    """The phases as they were lived, oldest first."""
    starts: list[tuple[int, float, datetime]] = []
    traffic: Sequence[float] = ()
    end = until
    for entry in entries:
        if isinstance(entry, Started):
            traffic = entry.traffic
            starts = [(0, traffic[0], entry.at)]
            end = until
        elif isinstance(entry, Amended):
            traffic = entry.traffic
            starts[-1:] = [(entry.phase, *start[1:]) for start in starts[-1:]]
        elif isinstance(entry, Advanced):
            starts.append((entry.phase, traffic[entry.phase], entry.at))
        elif isinstance(entry, RollbackDecided | Promoted):
            end = min(end, entry.at)
    ends = [*(at for _, _, at in starts[1:]), end]
    return [
        PhaseStory(index + 1, share, since, max(since, till))
        for (index, share, since), till in zip(starts, ends, strict=True)
    ]


class _History:
    """What Prometheus remembers of one rollout."""

    def __init__(self, policy: Policy, rollout: Rollout, until: datetime, prometheus: Prometheus) -> None:
        self._policy = policy
        self._rollout = rollout
        self._until = until
        self._end = until + _AFTER
        self._prometheus = prometheus
        self._service = f'{names.SERVICE}="{policy.service}"'
        self._told = f'{self._service},{names.ROLLOUT}="{rollout.id}"'

    async def kpis(self) -> list[KpiStory]:
        """Every KPI of the policy, with its band over time and its last values."""
        bands: dict[str, dict[str, Points]] = {}
        for metric, key in _SERIES.items():
            for labels, points in await self._range(f"max by ({names.KPI}) ({metric}{{{self._told}}})"):
                bands.setdefault(labels.get(names.KPI, ""), {})[key] = finite(points)
        last = await self._last()
        return [
            KpiStory(
                name=name,
                ratio=kpi.kind != "mean",
                complement=isinstance(kpi, Conversion) and kpi.complement,
                tolerance=kpi.tolerance,
                stable=last.get((names.KPI_VALUE, name, "stable")),
                canary=last.get((names.KPI_VALUE, name, "canary")),
                units=last.get((names.KPI_UNITS, name, "canary")),
                verdict=next(
                    (verdict for verdict in names.VERDICTS if last.get((names.KPI_VERDICT, name, verdict)) == 1), ""
                ),
                over_dispersion=last.get((names.KPI_OVER_DISPERSION, name, "")),
                **bands.get(name, {}),
            )
            for name, kpi in self._policy.kpis.items()
        ]

    async def _last(self) -> dict[tuple[str, str, str], float]:
        """The last value in the rollout of each series, by metric, KPI and role or verdict."""
        found: dict[tuple[str, str, str], float] = {}
        for metric, label in (
            (names.KPI_VALUE, names.ROLE),
            (names.KPI_UNITS, names.ROLE),
            (names.KPI_VERDICT, names.VERDICT),
            (names.KPI_OVER_DISPERSION, names.VERDICT),
        ):
            expression = f"max by ({names.KPI}, {label}) ({metric}{{{self._told}}})"
            for labels, points in await self._range(expression):
                values = finite(points)
                if values:
                    found[metric, labels.get(names.KPI, ""), labels.get(label, "")] = values[-1][1]
        return found

    async def alerts(self) -> list[Firing]:
        """Every alert about the rollout, each time it fired."""
        selector = f'ALERTS{{alertstate="firing",{self._service},{names.ROLLOUT}="{self._rollout.id}"}}'
        step = self._step()
        firing = []
        for labels, points in await self._range(selector):
            if labels.get("alertname") in (names.PHASE_COMPLETE, names.WATCHDOG):
                continue
            for since, until in _spells([at for at, _ in points], step):
                about = ", ".join(dict.fromkeys(labels[label] for label in _ABOUT if labels.get(label)))
                name = labels.get("alertname", "") + (f" ({about})" if about else "")
                moments = datetime.fromtimestamp(since, UTC), datetime.fromtimestamp(until, UTC)
                firing.append(Firing(name, labels.get(names.ACTION, "none"), *moments))
        return sorted(firing, key=lambda one: one.since)

    async def exposed(self) -> dict[str, float]:
        """What customers on the canary did while it ran, by event: how far its counters went up."""
        found = {}
        for event in self._policy.database.events:
            metric = names.event_total(event)
            selector = f'{metric}{{{self._service},{names.VERSION}="{self._rollout.canary}"}}'
            counted = [finite(points) for _, points in await self._range(f"sum({selector})")]
            if counted and counted[0]:
                found[event] = max(0.0, counted[0][-1][1] - counted[0][0][1])
        return found

    async def share(self) -> Points:
        """The canary's traffic weight, as read back from the routers."""
        series = await self._range(f'max({names.TRAFFIC_RATIO}{{{self._told},{names.ROLE}="canary"}})')
        return finite(series[0][1]) if series else ()

    def _step(self) -> float:
        seconds = (self._end - self._rollout.started_at).total_seconds()
        return max(1.0, math.ceil(seconds / _POINTS))

    async def _range(self, expression: str) -> list[Series]:
        return await self._prometheus.query_range(expression, self._rollout.started_at, self._end, self._step())


def _spells(moments: Sequence[float], step_seconds: float) -> Iterable[tuple[float, float]]:
    """Stretches of moments that follow one another step by step."""
    start = previous = None
    for moment in moments:
        if start is None or previous is None:
            start = moment
        elif moment - previous > 1.5 * step_seconds:  # more than one step, whatever was rounded
            yield start, previous
            start = moment
        previous = moment
    if start is not None and previous is not None:
        yield start, previous
