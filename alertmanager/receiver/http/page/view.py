"""What the page shows, gathered from the receiver, its journal and Prometheus."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from alertmanager.receiver import answers
from alertmanager.receiver.http.page.curves import Curves, curves_of, expression, step_seconds
from alertmanager.receiver.http.page.experimentrows import Experiments, TreatmentRow, results_of
from alertmanager.receiver.http.page.experimentrows import expression as of_experiments
from canary import names
from canary.errors import CanaryError, RemoteError
from canary.prometheus import Sample, Series
from canary.rollout.entries import Entry, Note
from canary.rollout.state import Rollout
from canary.timing.clock import Clock
from canary.timing.times import from_text

# What a person reads of the past at one go, newest first; the API and `canary history` have all of it.
_EVENTS = 25
_RELEASES = 20
# Prometheus is asked at most this often, however many people look: between two scrapes it says the same again.
_KPI_SECONDS = 2.0

# As often as a curve's next point can come, at least.
_CURVE_SECONDS = 10.0

# What is known at the end is scraped and evaluated a little later.
_AFTER = timedelta(seconds=30)

# A page is shown without what Prometheus has not answered by then; the live update brings it.
_PATIENCE_SECONDS = 0.1


class Asked(Protocol):
    """Prometheus."""

    async def query(self, expression: str) -> list[Sample]:
        """The instant vector of an expression."""
        ...

    async def query_range(self, expression: str, start: datetime, end: datetime, step_seconds: float) -> list[Series]:
        """The values of an expression between two moments."""
        ...


class Receiver(Protocol):
    """What the page needs of the receiver."""

    async def status(self) -> answers.Status:
        """Where everything stands."""
        ...

    async def history(self, rollout: str | None) -> list[Entry]:
        """The journal."""
        ...

    def releases(self) -> Sequence[Rollout]:
        """Every rollout that the journal has, oldest first."""
        ...


@dataclass(frozen=True)
class KpiRow:
    """One KPI of the running rollout. Changes are relative to stable; None where nothing is known."""

    name: str
    stable: float | None = None
    canary: float | None = None
    units: float | None = None
    change: float | None = None
    lower: float | None = None
    upper: float | None = None
    evidence: float | None = None
    threshold: float | None = None
    tolerance: float | None = None
    verdict: str = ""
    proof: str = ""
    over_dispersion: float | None = None
    """By what its evidence is divided, as no column names the customer; None where one does."""


@dataclass(frozen=True)
class About:
    """What the policy says of how things are shown.

    Attributes:
        ratios: the KPIs whose values are shares.
        zone: in which people read times.
        experiments: experiments and flags as they stand.
    """

    ratios: frozenset[str] = frozenset()
    zone: str = "UTC"
    experiments: Experiments = field(default_factory=Experiments)


@dataclass(frozen=True)
class View:
    """Everything that one rendering shows.

    Attributes:
        about: what the policy says of how all of it is shown.
        events: the newest entries of the rollout's journal, newest first.
        notes: what people have observed, newest first.
        releases: the newest rollouts, newest first.
    """

    status: answers.Status
    kpis: Sequence[KpiRow] = ()
    kpi_fault: str = ""
    events: Sequence[Entry] = ()
    about: About = field(default_factory=About)
    curves: Curves = field(default_factory=Curves)
    notes: Sequence[Note] = ()
    releases: Sequence[Rollout] = ()

    @property
    def rollout_id(self) -> str:
        """The newest rollout's id; empty before the first."""
        return self.status["rollout"]["id"] if self.status["rollout"] else ""


class Viewer:
    """Gathers views; Prometheus is asked no more often than every two seconds, whoever looks.

    Args:
        about: gives what the policy says of how things are shown, with the results of its experiments.
    """

    def __init__(
        self,
        receiver: Receiver,
        prometheus: Asked,
        service: str,
        clock: Clock,
        about: Callable[[Mapping[str, Sequence[TreatmentRow]]], About],
    ) -> None:
        self._receiver = receiver
        self._prometheus = prometheus
        self._service = service
        self._clock = clock
        self._about = about
        self._kpis: Sequence[KpiRow] = ()
        self._fault = ""
        self._results: Mapping[str, Sequence[TreatmentRow]] = {}
        self._results_fault = ""
        self._curves = Curves()
        self._drawn = ""
        self._asked_at: dict[Any, float] = {}
        self._asking: set[asyncio.Task[None]] = set()

    async def view(self) -> View:
        """The present view; what cannot be read is said in it."""
        status = await self._receiver.status()
        rollout = status["rollout"]
        try:
            entries = await self._receiver.history(rollout["id"] if rollout else None)
        except CanaryError as error:
            status = {**status, "errors": {**status["errors"], "journal": str(error)}}
            entries = []
        await self._renew(rollout, from_text(status["now"]))
        about = self._about(self._results)
        shown = [entry for entry in entries if entry.kind.value not in ("notified", "step_done", "elapsed", "note")]
        notes = [entry for entry in entries if isinstance(entry, Note)]
        return View(
            status,
            self._kpis,
            self._fault,
            shown[-_EVENTS:][::-1],
            replace(about, experiments=replace(about.experiments, fault=self._results_fault)),
            self._curves,
            notes[::-1],
            self._receiver.releases()[-_RELEASES:][::-1],
        )

    def known(self, rollout: str) -> Sequence[KpiRow]:
        """The KPIs of a rollout as Prometheus last told them; asks it anew, for who looks again."""
        self._about_rollout(rollout)
        self._due(self._ask, _KPI_SECONDS, rollout)
        return self._kpis

    async def close(self) -> None:
        """End what is being asked."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    async def _renew(self, rollout: answers.Rollout | None, now: datetime) -> None:
        """Ask Prometheus for what is due, and wait a moment for it."""
        name = rollout["id"] if rollout else ""
        self._about_rollout(name)
        self._due(self._ask, _KPI_SECONDS, name)
        if self._about({}).experiments.experiments:
            self._due(self._ask_experiments, _KPI_SECONDS)
        if rollout is not None:
            until = min(now, from_text(rollout["ended_at"]) + _AFTER) if rollout["ended_at"] else now
            seconds = max(_CURVE_SECONDS, self._curves.step_seconds)
            self._due(self._draw, seconds, name, from_text(rollout["started_at"]), until)
        if self._asking:
            await asyncio.wait(self._asking, timeout=_PATIENCE_SECONDS)

    def _about_rollout(self, rollout: str) -> None:
        """Forget what was about another one."""
        if rollout != self._drawn:
            self._drawn, self._kpis, self._curves = rollout, (), Curves()
            self._asked_at.clear()

    def _due(self, ask: Callable[..., Awaitable[None]], seconds: float, *arguments: Any) -> None:
        now = self._clock.monotonic()
        if now - self._asked_at.get(ask, -math.inf) < seconds:
            return
        self._asked_at[ask] = now
        task = asyncio.ensure_future(ask(*arguments))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self, rollout: str) -> None:
        about = f'{names.SERVICE}="{self._service}",{names.ROLLOUT}="{rollout}"'
        try:
            found = await self._prometheus.query(f'{{__name__=~"canary_kpi_.+",{about}}}')
        except RemoteError as error:
            self._kpis, self._fault = (), str(error)
        else:
            if rollout == self._drawn:  # otherwise another one has begun meanwhile
                self._kpis, self._fault = rows(found), ""

    async def _ask_experiments(self) -> None:
        try:
            found = await self._prometheus.query(of_experiments(self._service))
        except RemoteError as error:
            self._results, self._results_fault = {}, str(error)
        else:
            self._results, self._results_fault = results_of(found), ""

    async def _draw(self, rollout: str, since: datetime, until: datetime) -> None:
        edges = since.timestamp(), max(until.timestamp(), since.timestamp() + 1)
        question = expression(self._service, rollout)
        try:
            found = await self._prometheus.query_range(question, since, until, step_seconds(*edges))
            curves = curves_of(found, *edges)
        except RemoteError as error:
            curves = Curves(fault=str(error))
        if rollout == self._drawn:  # otherwise another one has begun meanwhile
            self._curves = curves


def rows(samples: Sequence[tuple[Mapping[str, str], float]]) -> list[KpiRow]:
    """The samples of all `canary_kpi_*` series as one row per KPI, by name."""
    values: dict[str, dict[str, Any]] = {}
    for labels, value in samples:
        kpi = values.setdefault(labels.get(names.KPI, ""), {})
        role, metric = labels.get(names.ROLE), labels.get("__name__", "")
        match metric, role:
            case names.KPI_VALUE, "stable" | "canary":
                kpi[str(role)] = value
            case names.KPI_UNITS, "canary":
                kpi["units"] = value
            case _, None if metric in _COLUMNS:
                kpi[_COLUMNS[metric]] = value
            case names.KPI_PROOF | names.KPI_SEGMENT_PROOF, None if value == 1:
                # Of the segments it is said which, instead of that there is one.
                test, segment = labels.get(names.TEST, ""), labels.get(names.SEGMENT, "")
                proof = f"{segment} segment" if segment else "" if test == "segment" else test
                kpi["proof"] = " and ".join(filter(None, (kpi.get("proof", ""), proof)))
            case names.KPI_VERDICT, None if value == 1:
                kpi["verdict"] = labels.get(names.VERDICT, "")
    return [
        KpiRow(name, **{key: one for key, one in kpi.items() if isinstance(one, str) or math.isfinite(one)})
        for name, kpi in sorted(values.items())
        if name
    ]


_COLUMNS = {
    names.KPI_RELATIVE_CHANGE: "change",
    names.KPI_RELATIVE_CHANGE_LOWER: "lower",
    names.KPI_RELATIVE_CHANGE_UPPER: "upper",
    names.KPI_EVIDENCE: "evidence",
    names.KPI_EVIDENCE_THRESHOLD: "threshold",
    names.KPI_TOLERANCE: "tolerance",
    names.KPI_OVER_DISPERSION: "over_dispersion",
}
