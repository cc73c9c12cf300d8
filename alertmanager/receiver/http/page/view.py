"""What the page shows, gathered from the receiver, its journal and Prometheus."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from alertmanager.receiver import answers
from canary import names
from canary.clock import Clock
from canary.errors import CanaryError, RemoteError
from canary.prometheus import Sample
from canary.rollout.entries import Entry

_EVENTS = 25
_KPI_SECONDS = 2.0


class Asked(Protocol):
    """Prometheus, for instant queries."""

    async def query(self, expression: str) -> list[Sample]:
        """The instant vector of an expression."""
        ...


class Receiver(Protocol):
    """What the page needs of the receiver."""

    async def status(self) -> answers.Status:
        """Where everything stands."""
        ...

    async def history(self, rollout: str | None) -> list[Entry]:
        """The journal."""
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
    tolerance: float | None = None
    verdict: str = ""
    proof: str = ""


@dataclass(frozen=True)
class View:
    """Everything that one rendering shows."""

    status: answers.Status
    kpis: Sequence[KpiRow]
    kpi_fault: str
    events: Sequence[Entry]


class Viewer:
    """Gathers views; Prometheus is asked no more often than every two seconds, whoever looks."""

    def __init__(self, receiver: Receiver, prometheus: Asked, service: str, clock: Clock) -> None:
        self._receiver = receiver
        self._prometheus = prometheus
        self._service = service
        self._clock = clock
        self._kpis: Sequence[KpiRow] = ()
        self._fault = ""
        self._asked_at = -math.inf

    async def view(self) -> View:
        """The present view; what cannot be read is said in it."""
        status = await self._receiver.status()
        rollout = status["rollout"]
        try:
            entries = await self._receiver.history(rollout["id"] if rollout else None)
        except CanaryError as error:
            status = {**status, "errors": {**status["errors"], "journal": str(error)}}
            entries = []
        if self._clock.monotonic() - self._asked_at >= _KPI_SECONDS:
            self._asked_at = self._clock.monotonic()
            await self._ask(rollout["id"] if rollout else "")
        told = [entry for entry in entries if entry.kind.value not in ("notified", "step_done")]
        return View(status, self._kpis, self._fault, told[-_EVENTS:][::-1])

    async def _ask(self, rollout: str) -> None:
        about = f'{names.SERVICE}="{self._service}",{names.ROLLOUT}="{rollout}"'
        try:
            found = await self._prometheus.query(f'{{__name__=~"canary_kpi_.+",{about}}}')
        except RemoteError as error:
            self._kpis, self._fault = (), str(error)
        else:
            self._kpis, self._fault = rows(found), ""


def rows(samples: Sequence[tuple[Mapping[str, str], float]]) -> list[KpiRow]:
    """The samples of all `canary_kpi_*` series as one row per KPI, by name."""
    values: dict[str, dict[str, Any]] = {}
    for labels, value in samples:
        kpi = values.setdefault(labels.get(names.KPI, ""), {})
        role = labels.get(names.ROLE)
        match labels.get("__name__"), role:
            case names.KPI_VALUE, "stable" | "canary":
                kpi[str(role)] = value
            case names.KPI_UNITS, "canary":
                kpi["units"] = value
            case names.KPI_RELATIVE_CHANGE, None:
                kpi["change"] = value
            case names.KPI_RELATIVE_CHANGE_LOWER, None:
                kpi["lower"] = value
            case names.KPI_RELATIVE_CHANGE_UPPER, None:
                kpi["upper"] = value
            case names.KPI_TOLERANCE, None:
                kpi["tolerance"] = value
            case names.KPI_PROOF, None if value == 1:
                kpi["proof"] = " and ".join(filter(None, (kpi.get("proof", ""), labels.get(names.TEST, ""))))
            case names.KPI_VERDICT, None if value == 1:
                kpi["verdict"] = labels.get(names.VERDICT, "")
    return [
        KpiRow(name, **{key: one for key, one in kpi.items() if isinstance(one, str) or math.isfinite(one)})
        for name, kpi in sorted(values.items())
        if name
    ]
