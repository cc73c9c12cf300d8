"""A drill: an alert that takes the path of a rollback to the receiver, which proves that it could act, and does not.

The alert is about no rollout that there is, so that nothing on its way can take it for a real one. What the drill found
is recorded in the journal under an id of its own, which proves that the journal can be written, and is there after a
restart.
"""

import asyncio
import re
import secrets
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge

from alertmanager.receiver import answers
from alertmanager.receiver.act.effects import Effects
from canary import names
from canary.errors import CanaryError, JournalError, ProcessError, RefusedError, RemoteError
from canary.logs import Log
from canary.process.manager import ProcessState
from canary.prometheus import ServiceAlerts
from canary.prometheus.alert import Alert
from canary.rollout.commands.records import EndDrill
from canary.rollout.entries import Drilled, Entry
from canary.rollout.state import Moment
from canary.rollout.store.store import RolloutStore
from canary.timing.times import to_text
from canary.units import format_ratio

_ID = re.compile(r"[a-z0-9]{1,32}")
# Somebody who asks for a drill's outcome asks within minutes; more of them are nobody's any more.
_REMEMBERED = 20
# Scrape, rule evaluation and Alertmanager's grouping take two minutes with slow settings; what has not come after ten
# never will, and the next drill may be asked for.
_REQUEST_SECONDS = 600.0
_PREFIX = "drill-"


@dataclass
class Drill:
    """One drill as far as it has come.

    Attributes:
        links: what was found at each place: `place`, `ok`, `what`.
        finished_at: None while it is being looked at.
    """

    id: str
    heard_at: datetime
    finished_at: datetime | None = None
    links: list[answers.DrillLink] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether a rollback would have arrived and could have acted."""
        return self.finished_at is not None and all(link["ok"] for link in self.links)

    def as_json(self) -> answers.Drill:
        """For the API."""
        return {
            "id": self.id,
            "heard_at": to_text(self.heard_at),
            "finished_at": to_text(self.finished_at) if self.finished_at else None,
            "passed": self.passed,
            "links": self.links,
        }


class Drills:
    """Takes drill alerts, looks at everything a rollback would touch, moves nothing.

    Attributes:
        last: the last drill that has ended, as the journal has it.
        last_success_at: when one last passed.
    """

    def __init__(
        self,
        service: str,
        store: RolloutStore,
        effects: Effects,
        registry: CollectorRegistry,
        alerts: ServiceAlerts,
    ) -> None:
        self.last: Drilled | None = None
        self.last_success_at: datetime | None = None
        self.last_success: Moment | None = None
        self._service = service
        self._requested = Gauge(
            names.DRILL_REQUESTED,
            "Drills that a rule of Prometheus should begin, value 1.",
            [names.SERVICE, *names.LABELS[names.DRILL_REQUESTED]],
            registry=registry,
        )
        self._store = store
        self._effects = effects
        self._alerts = alerts
        self._asked = ""
        self._drills: dict[str, Drill] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = Log("drill")
        store.listen(self._heard)

    def take(self, alert: Alert) -> None:
        """Begin a drill, unless the alert is none, has no proper id, or has been taken already."""
        drill_id = alert.labels.get(names.DRILL_LABEL, "")
        if alert.name != names.DRILL or not alert.firing or not _ID.fullmatch(drill_id) or drill_id in self._drills:
            return
        while len(self._drills) >= _REMEMBERED:
            self._drills.pop(next(iter(self._drills)))
        drill = self._drills[drill_id] = Drill(drill_id, self._store.clock.now())
        self._withdraw(drill_id)
        self._start(self._look(drill))

    def ask_prometheus(self) -> str:
        """Let Prometheus' own rule begin a drill; gives its id.

        Raises:
            RefusedError: the one before has not begun yet; each that is asked for is a series.
        """
        if self._asked:
            raise RefusedError(
                f"drill {self._asked} is on its way",
                place="cannot begin a drill",
                remedy=f"wait for its alert, at most {_REQUEST_SECONDS / 60:g}m",
            )
        drill_id = self._asked = secrets.token_hex(6)
        # The alert gets the labels that a real one would have now: a route or an inhibition of another team that is
        # about this version keeps it away too.
        rollout = self._store.rollout
        stable, canary = ("", "") if rollout is None else (rollout.stable, rollout.canary)
        self._requested.labels(self._service, drill_id, stable, canary, canary).set(1)
        self._start(self._expire(drill_id))
        return drill_id

    async def _expire(self, drill_id: str) -> None:
        await self._store.clock.sleep(_REQUEST_SECONDS)
        self._withdraw(drill_id)

    def _withdraw(self, drill_id: str) -> None:
        if drill_id == self._asked:
            self._asked = ""
            self._requested.clear()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def report(self, drill_id: str) -> Drill | None:
        """What is known about a drill; None when its alert has not arrived."""
        return self._drills.get(drill_id)

    async def close(self) -> None:
        """End what is being looked at."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look(self, drill: Drill) -> None:
        names = self._effects.router_names
        drill.links = [
            *(link for links in await asyncio.gather(*map(self._router, names)) for link in links),
            await self._process(),
            await _prometheus(self._alerts),
        ]
        if not names:
            drill.links.append(_link("router", "the policy names none: there is nothing to roll back", ok=False))
        await self._note(drill)
        drill.finished_at = self._store.clock.now()
        self._log.info("drill", id=drill.id, passed=drill.passed)

    async def _router(self, name: str) -> list[answers.DrillLink]:
        place = f"router {name}"
        try:
            findings = await self._effects.check_router(name)
            observation = await self._effects.read_router(name)
        except CanaryError as error:
            return [_link(place, str(error), ok=False)]
        if observation.weight_ratio is None:
            return [_link(place, f"its traffic weight cannot be read: {observation.detail}", ok=False)]
        now = format_ratio(observation.weight_ratio)
        first = _link(place, f"would go from {now} to 0%; may be changed and is read back", ok=True)
        wrong = [_link(place, str(finding), ok=False) for finding in findings if finding.failed]
        return wrong or [first]

    async def _process(self) -> answers.DrillLink:
        try:
            state = await self._effects.process_state()
        except ProcessError as error:
            return _link("process", str(error), ok=False)
        what = {
            ProcessState.RUNNING: "would be stopped; its manager answers",
            ProcessState.UNKNOWN: "nobody is asked to stop it",
        }
        return _link("process", what.get(state, f"is {state} already; its manager answers"), ok=True)

    async def _note(self, drill: Drill) -> None:
        passed = all(link["ok"] for link in drill.links)
        what = "; ".join(f"{link['place']}: {link['what']}" for link in drill.links if not link["ok"])
        ended = EndDrill(
            rollout=f"{_PREFIX}{drill.id}",
            actor="drill",
            reason=what or "a rollback would have arrived and could have acted",
            passed=passed,
        )
        try:
            await self._store.propose(None, ended)
        except JournalError as error:
            drill.links.append(_link("journal", str(error), ok=False))
        else:
            drill.links.append(_link("journal", "would be written before acting; this drill stands in it", ok=True))

    def _heard(self, entry: Entry) -> None:
        if isinstance(entry, Drilled):
            self.last = entry
        if isinstance(entry, Drilled) and entry.passed:
            self.last_success_at = entry.at
            self.last_success = Moment(entry.at, entry.boot, entry.uptime_seconds)


def _link(place: str, what: str, *, ok: bool) -> answers.DrillLink:
    return {"place": place, "ok": ok, "what": what}


async def _prometheus(alerts: ServiceAlerts) -> answers.DrillLink:
    """A real rollback would begin at a rule, which must be evaluated somewhere."""
    try:
        await alerts.firing()
    except RemoteError as error:
        return _link("prometheus", str(error), ok=False)
    return _link("prometheus", f"evaluates this service's rules: {names.WATCHDOG} fires there", ok=True)
