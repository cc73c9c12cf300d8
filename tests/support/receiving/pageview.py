"""A view of the page in the middle of a release, with everything in it that a page can show."""

import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

from alertmanager.receiver.act.selfchecks import Result, SelfCheck, SelfChecks
from alertmanager.receiver.answers import Rollout as RolloutAnswer
from alertmanager.receiver.answers import Status
from alertmanager.receiver.http.page import render
from alertmanager.receiver.http.page.curves import Curves, KpiCurves
from alertmanager.receiver.http.page.view import KpiRow, View
from canary.fleet.page import STYLE
from canary.process.program import Outcome
from canary.rollout.commands.verbs import Verb
from canary.rollout.entries import Advanced, Entry, Held, Note
from canary.rollout.kinds import Step
from canary.rollout.state import Rollout, State, Weight
from canary.timing.clock import SystemClock
from canary.timing.times import to_text
from tests.support.receiving.experimentview import about

BEGAN = datetime(2026, 3, 1, 11, 48, tzinfo=UTC)
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

IDLE: Status = {
    "service": "shop",
    "now": to_text(NOW),
    "leading": True,
    "seen": "none/0",
    "accepts": [Verb.START],
    "rollout": None,
    "settled": True,
    "prices": [],
    "waiting_for": "",
    "waiting_reason": "",
    "routers": [],
    "process": None,
    "errors": {},
    "prometheus": {"looked_at": None, "error": "", "firing": [], "alerts": []},
    "alertmanager": {"error": "", "silences": [], "inhibited": []},
    "schedule": {"start_at": None, "summary": "", "refused": ""},
    "policy": {"digest": "d", "file": "d", "in_use": {}, "error": "", "notice": "", "differing": []},
    "watchdog": {"heard_at": None, "blind": False},
    "drill": None,
    "freeze": None,
    "untold": 0,
    "expired": 0,
}

ROLLOUT: RolloutAnswer = {
    "id": "2026-03-01-a1b2c3",
    "stable": "v1.9",
    "canary": "v2.0",
    "state": State.PHASE,
    "decision": 7,
    "decided_seconds": 420.0,
    "summary": "in phase 2 (25%)",
    "seen": "2026-03-01-a1b2c3/7",
    "plan": "normal",
    "approvals": [],
    "phase": 1,
    "phases": [
        {"traffic_ratio": 0.05, "duration_seconds": 300, "gate": "none"},
        {"traffic_ratio": 0.25, "duration_seconds": 600, "gate": "none"},
        {"traffic_ratio": 0.5, "duration_seconds": 900, "gate": "manual"},
        {"traffic_ratio": 1.0, "duration_seconds": 1800, "gate": "none"},
    ],
    "weight_ratio": 0.25,
    "started_at": to_text(BEGAN),
    "phase_started_at": to_text(BEGAN + timedelta(minutes=5)),
    "phase_elapsed_seconds": 420.0,
    "ended_at": None,
    "lifts": False,
    "rollback_at": None,
    "passport": None,
    "finishing": None,
    "stable_slot": None,
    "cause": "",
    "reason": "",
    "actor": "alertmanager",
    "steps": [],
}

RUNNING: Status = {
    **IDLE,
    "accepts": [Verb.HOLD, Verb.ADVANCE, Verb.PROMOTE, Verb.ROLLBACK],
    "rollout": ROLLOUT,
    "prices": [
        {
            "currency": "EUR",
            "traffic_ratio": 0.25,
            "loss_per_minute": 4.2,
            "lower": -1.1,
            "upper": 9.5,
            "summary": "a minute of going on at 25% costs 4.20 EUR (loss between -1.10 and +9.50), "
            "going back saves as much",
        }
    ],
    "waiting_for": "the phase's time, until 2026-03-01 12:03:00 UTC",
    "waiting_reason": "time",
    "routers": [
        {
            "name": "edge1",
            "weight_ratio": 0.25,
            "detail": "25% at haproxy /run/haproxy/canary.sock",
            "follows": True,
            "error": "",
        }
    ],
    "prometheus": {
        "looked_at": to_text(NOW),
        "error": "",
        "firing": ["CanaryElevatedErrorRate", "CanarySlower"],
        "alerts": [
            {
                "name": "CanaryElevatedErrorRate",
                "summary": "Error rate of v2.0 is 6.1%, expected at most 5% (5m); nothing is done",
                "severity": "warning",
                "action": "none",
                "since": to_text(NOW - timedelta(minutes=3)),
                "runbook_url": "https://example.org/runbooks/CanaryElevatedErrorRate.md",
                "dashboard_url": "https://grafana.example.org/d/kpi-canary-rollout",
            },
            {
                "name": "CanarySlower",
                "summary": "v2.0 converts later than v1.9, but no less",
                "severity": "warning",
                "action": "none",
                "since": None,
                "runbook_url": "javascript:alert(1)",
                "dashboard_url": "/d/kpi-canary-rollout",
            },
        ],
    },
    "alertmanager": {
        "error": "",
        "inhibited": ["rollback (CanaryConversionDegraded fires): inhibited by CanaryBlind"],
        "silences": [
            {
                "id": "5",
                "action": "advance",
                "matchers": ['action="advance"'],
                "author": "ada",
                "comment": "lunch",
                "ends_at": to_text(NOW + timedelta(hours=1)),
                "alerts": [],
                "summary": 'silence {action="advance"} by ada until 2026-03-01 13:00 UTC (lunch)',
            }
        ],
    },
    "drill": {
        "at": to_text(NOW - timedelta(days=2)),
        "passed": True,
        "what": "a rollback would have arrived and could have acted",
    },
    "freeze": {"title": "sale", "until": None, "actor": "bo", "summary": "sale, begun by bo, until it is lifted"},
    "untold": 2,
}


def curves() -> Curves:
    """Twelve minutes of two KPIs, with a gap in one of them."""
    since, until = BEGAN.timestamp(), NOW.timestamp()
    times = [since + 6 * step for step in range(121)]

    def wave(level: float, swing: float) -> list[tuple[float, float]]:
        return [(at, level + swing * math.sin(at / 80)) for at in times]

    return Curves(
        since,
        until,
        6.0,
        [(at, 0.05 if at < since + 300 else 0.25) for at in times],
        {
            "conversion_rate": KpiCurves(
                wave(-0.03, 0.02),
                wave(-0.16, 0.03),
                wave(0.08, 0.03),
                [(at, (at - since) / 900) for at in times],
                [(at, 2.0) for at in times],
            ),
            "payment_success_rate": KpiCurves(
                [(at, 0.01) for at in times if not 200 < at - since < 300],
                [(at, -0.02) for at in times if not 200 < at - since < 300],
                [(at, 0.04) for at in times if not 200 < at - since < 300],
                [(at, -0.5) for at in times],
                [(at, 2.3) for at in times],
            ),
        },
    )


def entries() -> tuple[Sequence[Entry], Sequence[Note]]:
    """What happened, and one note."""
    rollout = ROLLOUT["id"]
    events: list[Entry] = [
        Held(rollout=rollout, at=NOW - timedelta(minutes=9), actor="prometheus", reason="No data for canary v2.0"),
        Advanced(rollout=rollout, at=BEGAN + timedelta(minutes=5), actor="alertmanager", reason="", phase=1),
    ]
    notes = [Note(rollout=rollout, at=NOW - timedelta(minutes=2), actor="Ada", reason="checkout looks slow on phones")]
    return events, notes


def release(name: str, state: State, reason: str = "", *, report: bool = True) -> Rollout:
    """A release of some days ago."""
    began = BEGAN - timedelta(days=3)
    return Rollout(
        id=name,
        stable="v1.8",
        canary="v1.9",
        traffic=(0.05, 0.25, 0.5, 1.0),
        durations_seconds=(300, 600, 900, 1800),
        state=state,
        started_at=began,
        phase=3,
        phase_started_at=began,
        weights=(Weight(began, 0.05), Weight(began, 1.0)),
        reason=reason,
        ended_at=began + timedelta(hours=1),
        steps=frozenset({Step.REPORT}) if report else frozenset(),
    )


def view() -> View:
    """All of it."""
    events, notes = entries()
    return View(
        RUNNING,
        [
            KpiRow("conversion_rate", 0.0412, 0.0401, 5120, -0.031, -0.16, 0.08, 0.8, 2.0, 0.1, verdict="hold"),
            KpiRow("payment_success_rate", 0.97, 0.98, 412, 0.01, -0.02, 0.04, -0.5, 2.3, 0.05, verdict="pass"),
            KpiRow("average_order_value", 41.2, None, 0, None, -1, 2.64, 0, 2, 0.1, over_dispersion=27.8),
        ],
        "",
        events,
        about(),
        curves(),
        notes,
        [
            release("2026-02-26-ffff", State.ROLLED_BACK, "conversion_rate of v1.9 is -14.1%, expected -10% at worst"),
            release("2026-02-20-eeee", State.FINISHED, report=False),
        ],
    )


async def never(argv: Sequence[str]) -> Outcome:
    """Runs nothing."""
    return Outcome(None, fault=f"{argv[0]} is not run here")


def checks(run: Callable[[Sequence[str]], Awaitable[Outcome]] = never) -> SelfChecks:
    """What `canary check` and `canary plan` have said."""
    made = SelfChecks(Path("canary"), Path("canary.yaml"), run, SystemClock())
    made.results[SelfCheck.CHECK] = Result(
        NOW,
        [
            {"place": "policy canary.yaml", "status": "ok", "what": "valid", "remedy": ""},
            {"place": "clock", "status": "warning", "what": "is 2.1s off Prometheus'", "remedy": "run an NTP client"},
            {"place": "router edge1", "status": "failed", "what": "its socket is missing", "remedy": "start HAProxy"},
        ],
    )
    made.results[SelfCheck.PLAN] = Result(
        NOW,
        [
            {
                "phase": phase,
                "traffic": traffic,
                "kpi": "conversion_rate",
                "smallest_harm": [harm, None],
                "minutes": [minutes, None],
                "customers": 12.0,
            }
            for phase, traffic, harm, minutes in ((0, 0.05, None, None), (1, 0.25, 0.31, 44.0))
        ],
    )
    return made


def routes(text: Callable[[], str], services: Callable[[], str] = str) -> list[web.RouteDef]:
    """The page and the list of services, rendered already, with styles and scripts as the receiver serves them."""
    folder = Path(render.__file__).parent

    def serve(what: Callable[[], str], kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handler(_request: web.Request) -> web.Response:
            return web.Response(text=what(), content_type=kind)

        return handler

    return [
        web.get("/", serve(text, "text/html")),
        web.get("/page/style.css", serve((folder / "style.css").read_text, "text/css")),
        web.get("/page/live.js", serve((folder / "live.js").read_text, "text/javascript")),
        web.get("/services", serve(services, "text/html")),
        web.get("/list.css", serve(lambda: STYLE, "text/css")),
        web.get("/list.js", serve(lambda: "", "text/javascript")),
    ]
