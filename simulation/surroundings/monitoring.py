"""Prometheus and Alertmanager at work: what is scraped, which rules are evaluated, who is told.

The rules are those of `rules/` that decide, said in Python: each joins what it knows `on (rollout)` with the rollout
that runs, and the phase is complete when its time is over, the verdict allows it and nothing objects. The store under
them is held against the real Prometheus by `tests/simulation`.
"""
# long: Prometheus and Alertmanager, which share what fires

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from alertmanager.receiver.gauges import Snapshot
from canary import names
from canary.policy.model import Policy
from canary.policy.pinning.digest import digest
from canary.testing.alertmanager import Inhibition, Labels, MemoryAlertmanager, Route
from canary.testing.clock import EPOCH
from canary.testing.http import Answer, Parameters
from canary.testing.prometheus import MemoryPrometheus, Rule
from canary.timing.times import to_text
from simulation.hosts import Host
from simulation.network import Network
from simulation.stories.story import SERVICE
from simulation.surroundings.shop import ERRORS, Sample, Shop
from simulation.truth import Truth

INTERVAL_SECONDS = 5.0
"""Between two scrapes, and between two evaluations."""

# As the generated files have it, in proportion to phases of 20 s: three missed scrapes are blind, two evaluations a
# group's interval, and the watchdog's timeout overlooks two heartbeats.
_ERROR_LIMIT = 0.1
_BLIND_SECONDS = 15.0
MISMATCH_SECONDS = 15.0
"""How long two policies may differ before the alert fires, in proportion."""
_GROUP_INTERVAL_SECONDS = 10.0
_HEARTBEAT_SECONDS = 20.0
# Alertmanager gives a webhook as long as its group's interval, tries again a little later each time, and drops it when
# the group is due anew.
_DELIVERY_SECONDS = 10.0
_ATTEMPTS = 6

_RUNNING = ("phase", "holding", "baking")
_NO_ALERTS: dict[str, Any] = {"status": "success", "data": {"alerts": []}}
_WRONG = (
    Answer(200, b"<html>Please sign in</html>"),
    Answer(502, b"bad gateway"),
    Answer(200, {"status": "error", "errorType": "timeout", "error": "query timed out"}),
    Answer(200, {"status": "success", "data": {"alerts": [{"labels": {"alertname": 7}}]}}),
    Answer(200, b'{"status": "success", "data": {"alerts": ['),
)


def shown(snapshot: Snapshot) -> Iterator[Sample]:
    """What the receiver's page says about its rollout."""
    rollout = snapshot.rollout
    if rollout is None:
        return
    own = {names.SERVICE: SERVICE, names.ROLLOUT: rollout.id}
    yield names.ROLLOUT_INFO, {**own, names.STABLE: rollout.stable, names.CANARY: rollout.canary}, 1.0
    for state in names.STATES:
        yield names.ROLLOUT_STATE, {**own, names.STATE: state}, float(state == rollout.state.value)
    yield names.ROLLOUT_PHASE, own, float(rollout.phase)
    if snapshot.phase_elapsed_seconds is not None:
        yield names.ROLLOUT_PHASE_ELAPSED_SECONDS, own, snapshot.phase_elapsed_seconds
    yield names.ROLLOUT_PHASE_DURATION_SECONDS, own, rollout.duration_seconds
    for gate in names.GATES:
        yield names.ROLLOUT_GATE, {**own, names.GATE: gate}, float(gate == snapshot.gate)


def _one(prometheus: MemoryPrometheus, metric: str) -> dict[tuple[str, str], float]:
    """The values of a metric by instance and rollout."""
    return {(one.labels["instance"], one.labels[names.ROLLOUT]): one.value for one in prometheus.series(metric)}


def _running(prometheus: MemoryPrometheus) -> dict[str, Mapping[str, str]]:
    """The labels of each rollout that runs: of each receiver only what its newest scrape says."""
    infos = list(prometheus.series(names.ROLLOUT_INFO))
    newest: dict[str, float] = {}
    for one in infos:
        instance = one.labels["instance"]
        newest[instance] = max(newest.get(instance, 0.0), one.at)
    states = {
        (one.labels["instance"], one.labels[names.ROLLOUT])
        for one in prometheus.series(names.ROLLOUT_STATE)
        if one.value == 1 and one.labels[names.STATE] in _RUNNING
    }
    found: dict[str, Mapping[str, str]] = {}
    for one in infos:
        instance, rollout = one.labels["instance"], one.labels[names.ROLLOUT]
        if one.at == newest[instance] and (instance, rollout) in states:
            labels = {name: one.labels[name] for name in (names.SERVICE, names.ROLLOUT, names.STABLE, names.CANARY)}
            found[rollout] = {**labels, names.VERSION: labels[names.CANARY]}
    return found


def _errors(prometheus: MemoryPrometheus) -> Iterator[Mapping[str, str]]:
    bad = {one.labels[names.VERSION] for one in prometheus.series(ERRORS) if one.value > _ERROR_LIMIT}
    return (labels for labels in _running(prometheus).values() if labels[names.VERSION] in bad)


def _degraded(prometheus: MemoryPrometheus) -> Iterator[Mapping[str, str]]:
    failed = {
        one.labels[names.ROLLOUT]
        for one in prometheus.series(names.KPI_VERDICT)
        if one.value == 1 and one.labels[names.VERDICT] == "fail"
    }
    return (labels for rollout, labels in _running(prometheus).items() if rollout in failed)


def _blind(prometheus: MemoryPrometheus) -> Iterator[Mapping[str, str]]:
    if not list(prometheus.series(names.DATABASE_UP)):
        yield from _running(prometheus).values()


def _mismatch(prometheus: MemoryPrometheus) -> Iterator[Mapping[str, str]]:
    by = {
        component: {
            one.labels[names.DIGEST]
            for one in prometheus.series(names.POLICY_INFO)
            if one.labels[names.COMPONENT] == component
        }
        for component in ("exporter", "receiver")
    }
    if by["exporter"] and by["receiver"] and not by["exporter"] & by["receiver"]:
        yield from _running(prometheus).values()


def _complete(*, manual: bool) -> Callable[[MemoryPrometheus], Iterator[Mapping[str, str]]]:
    def found(prometheus: MemoryPrometheus) -> Iterator[Mapping[str, str]]:
        running = _running(prometheus)
        elapsed = _one(prometheus, names.ROLLOUT_PHASE_ELAPSED_SECONDS)
        duration = _one(prometheus, names.ROLLOUT_PHASE_DURATION_SECONDS)
        free = {
            (one.labels["instance"], one.labels[names.ROLLOUT])
            for one in prometheus.series(names.ROLLOUT_STATE)
            if one.value == 1 and one.labels[names.STATE] in ("phase", "baking")
        }
        gated = {
            (one.labels["instance"], one.labels[names.ROLLOUT])
            for one in prometheus.series(names.ROLLOUT_GATE)
            if one.value == 1 and (one.labels[names.GATE] == "manual") == manual
        }
        agreed = {
            one.labels[names.ROLLOUT]
            for one in prometheus.series(names.KPI_VERDICT)
            if one.value == 1 and one.labels[names.VERDICT] in ("pass", "hold")
        }
        up = any(one.value == 1 for one in prometheus.series(names.DATABASE_UP))
        objected = {
            alert.labels.get(names.ROLLOUT)
            for alert in prometheus.active.values()
            if (alert.labels[names.ACTION] == "rollback" and names.DRY_RUN not in alert.labels)
            or (alert.labels[names.ACTION] == "hold" and alert.firing)
        }
        for (instance, rollout), phase in _one(prometheus, names.ROLLOUT_PHASE).items():
            at = (instance, rollout)
            over = elapsed.get(at, -1.0) >= duration.get(at, float("inf"))
            if over and at in free and at in gated and up and rollout in running and rollout in agreed - objected:
                yield {**running[rollout], names.PHASE: f"{phase:.0f}"}

    return found


def rules(*, dry_run: bool) -> list[Rule]:
    """The rules that decide, in their order."""
    rollback = {names.ACTION: "rollback"} | ({names.DRY_RUN: "true"} if dry_run else {})
    return [
        Rule(names.WATCHDOG, {names.ACTION: "none"}, lambda _: [{names.SERVICE: SERVICE}]),
        Rule("CanaryHighErrorRate", rollback, _errors),
        Rule("CanaryConversionDegraded", rollback, _degraded),
        Rule(names.BLIND_ALERT, {names.ACTION: "hold", names.REASON: "exporter"}, _blind, _BLIND_SECONDS),
        Rule(names.POLICY_MISMATCH, {names.ACTION: "hold"}, _mismatch, MISMATCH_SECONDS),
        Rule(names.PHASE_COMPLETE, {names.ACTION: "advance"}, _complete(manual=False)),
        Rule(names.PHASE_COMPLETE, {names.ACTION: "none", names.GATE: "manual"}, _complete(manual=True)),
    ]


def routes(repeat_seconds: float) -> list[Route]:
    """The generated routes that lead to the receiver."""
    by_rollout = [names.SERVICE, names.ROLLOUT, names.ACTION]

    def acting(action: str, *more: str) -> Route:
        return Route(
            action,
            lambda one: one[names.ACTION] == action,
            [*by_rollout, *more],
            _GROUP_INTERVAL_SECONDS,
            repeat_seconds,
        )

    def beats(labels: Labels) -> bool:
        return labels["alertname"] == names.WATCHDOG

    heartbeat = Route("watchdog", beats, ["alertname"], _GROUP_INTERVAL_SECONDS, _HEARTBEAT_SECONDS)
    return [heartbeat, acting("rollback"), acting("hold"), acting("advance", names.PHASE)]


def inhibitions() -> list[Inhibition]:
    """The generated rules of inhibition."""
    same = [names.SERVICE, names.ROLLOUT]
    advance = {names.ACTION: "advance"}
    return [
        Inhibition({names.ACTION: "rollback"}, advance, same),
        Inhibition({names.ACTION: "hold"}, advance, same),
        Inhibition({"alertname": names.BLIND_ALERT}, {"alertname": "CanaryConversionDegraded"}, same),
    ]


class Monitoring:
    """Scrapes, evaluates, delivers.

    Attributes:
        wrong: Prometheus answers nonsense.
        empty: Prometheus has lost its rules.
        unscraped: targets that cannot be scraped.
        policies: exporter and receivers publish by which policy they go; only where nobody edits it meanwhile.
        old_policy: the exporter goes by another one.
        drops, delays, repeats, truncates: Alertmanagers that do so.
    """

    def __init__(self, truth: Truth, shop: Shop, hosts: Sequence[Host], network: Network, policy: Policy) -> None:
        self.prometheus = MemoryPrometheus(_now, rules(dry_run=policy.rollback.dry_run))
        self.alertmanagers = {
            name: MemoryAlertmanager(_now, routes(policy.receiver.repeat), inhibitions()) for name in ("am1", "am2")
        }
        self.wrong = self.empty = self.away = False
        self.unscraped: set[str] = set()
        self.policies = self.old_policy = False
        self._digest = digest(policy)
        self.drops: set[str] = set()
        self.delays: set[str] = set()
        self.repeats: set[str] = set()
        self.truncates: set[str] = set()
        self.restarted_at = float("-inf")
        self._truth = truth
        self._shop = shop
        self._hosts = hosts
        self._network = network
        self._random = network.random
        self._tasks: set[asyncio.Task[None]] = set()

    async def watch(self) -> None:
        """Scrape and evaluate for ever."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            if not self.away:
                self.look()

    def look(self) -> None:
        """Scrape everything and evaluate once."""
        for host in self._hosts:
            receiver = host.receiver
            up = receiver is not None and host.machine.alive and not host.machine.paused
            up = up and host.name not in self.unscraped
            samples = [] if receiver is None else [*shown(receiver.snapshot()), *self._policy("receiver", self._digest)]
            self.prometheus.scrape(host.name, samples if up else None)
        judged = [*self._shop.judged(), *self._policy("exporter", "old" if self.old_policy else self._digest)]
        self.prometheus.scrape("exporter", None if "exporter" in self.unscraped else judged)
        self.prometheus.scrape("shop", None if "shop" in self.unscraped else self._shop.technical())
        if self.empty:
            self.prometheus.active.clear()
            return
        self.prometheus.evaluate()
        firing = self.prometheus.alerts(firing=True)
        for labels in firing:
            rollout = labels.get(names.ROLLOUT, "")
            self._truth.fired[labels["alertname"], rollout] = _now()
            if labels[names.ACTION] == "advance":
                self._truth.complete_at[rollout, int(labels[names.PHASE])] = _now()
        for alertmanager in self.alertmanagers.values():
            alertmanager.take(firing)

    def _policy(self, component: str, used: str) -> Iterator[Sample]:
        if self.policies:
            yield names.POLICY_INFO, {names.SERVICE: SERVICE, names.COMPONENT: component, names.DIGEST: used}, 1.0

    def restart(self) -> None:
        """Prometheus forgets what targets have shown."""
        self.restarted_at = _now()
        self.prometheus.restart()

    async def answer(self, path: str, parameters: Parameters) -> Answer:
        """As Prometheus' API, or what is in its place."""
        if self.wrong:
            return self._random.choice(_WRONG)
        if self.empty and path.endswith("alerts"):
            # What the rules recorded while they were loaded is answered all the same.
            return Answer(body=_NO_ALERTS)
        return await self.prometheus.answer(path, parameters)

    async def deliver(self) -> None:
        """Send notifications for ever."""
        while True:
            await asyncio.sleep(self._random.uniform(1.0, 2.5))
            for name, alertmanager in self.alertmanagers.items():
                for notification in alertmanager.due():
                    for host in self._hosts:
                        self._begin(self._send(name, notification, host))
                        if name in self.repeats:
                            self._begin(self._send(name, notification, host))

    def _begin(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, name: str, told: list[tuple[Labels, bool, float]], host: Host) -> None:
        for attempt in range(_ATTEMPTS):
            await asyncio.sleep(self._random.random() * (20.0 if name in self.delays else 0.05) + attempt)
            if name in self.drops and self._random.random() < 0.7:
                return
            cut = (host.name, "alertmanager") in self._network.cut or "alertmanager" in self._network.away
            if not cut and await self.post(host, told, truncated=name in self.truncates):
                return

    async def post(self, host: Host, told: list[tuple[Labels, bool, float]], *, truncated: bool = False) -> bool:
        """One POST to one receiver; whether it was taken."""
        alerts = [
            {
                "status": "firing" if firing else "resolved",
                "labels": dict(labels),
                "annotations": {},
                "startsAt": to_text(EPOCH + timedelta(seconds=since)),
            }
            for labels, firing, since in told
        ]
        left_out = 1 if truncated else 0
        for labels, firing, _ in told[left_out:] or told:
            self._note(host, labels, firing=firing, truncated=truncated)
        kept = alerts[left_out:] if len(alerts) > 1 else alerts
        try:
            async with asyncio.timeout(_DELIVERY_SECONDS):
                return await host.notify({"version": "4", "alerts": kept, "truncatedAlerts": left_out})
        except (ConnectionError, TimeoutError):
            return False

    def _note(self, host: Host, labels: Labels, *, firing: bool, truncated: bool) -> None:
        if not firing:
            return
        rollout = labels.get(names.ROLLOUT, "")
        if labels["alertname"] == names.WATCHDOG:
            self._truth.heard[host.name] = _now()
        elif labels[names.ACTION] == "advance" and not truncated:
            self._truth.confirmed[host.name, rollout, int(labels[names.PHASE])] = _now()
        elif labels[names.ACTION] == "rollback" and host.receiver is not None:
            known = host.receiver.store.rollout
            if known is not None and known.id == rollout and known.running:
                self._truth.asked.setdefault((host.name, rollout), _now())


def _now() -> float:
    return asyncio.get_running_loop().time()
