"""A rollout that went wrong, as series: what exporter, receiver, rules and shop would have left in Prometheus.

The canary gets 5 % and 25 % of the customers, then its payments begin to fail; the harm is proven, and it is rolled
back. All counts are drawn from a seeded generator, so that the same story gives the same series.
"""

# long: one story, whose parts share its minutes
import math
from collections.abc import Iterator, Mapping

import numpy as np

from canary import names
from tests.support.receiving.surroundings import experiment, machine
from tests.support.series import STEP_SECONDS, Series, Values, labels_of

DAY_SECONDS = 86_400
STABLE = "v1.0"
CANARY = "v2.0"
CURRENCY = "EUR"

# Minutes of the story.
START, SECOND, THIRD, FAULT, END = 5.0, 10.0, 25.0, 29.0, 45.0
_VISITS_PER_MINUTE = 900.0
_THRESHOLD = math.log10(2 / 0.01)

_ENDPOINTS = {"browse": 0.5, "product": 0.25, "cart": 0.15, "checkout": 0.06, "pay": 0.04}
_DURATION_SCALE_SECONDS = {STABLE: 0.03, CANARY: 0.036}


class Story(Series):
    """All series of one story that ends at *ends_at* (seconds since the epoch)."""

    def __init__(self, service: str, ends_at: float, rollout: str = "2026-11-24-v2.0", seed: int = 7) -> None:
        super().__init__(service, ends_at - END * 60 + np.arange(0, END * 60 + 1, STEP_SECONDS, dtype=np.float64))
        self.ends_at = ends_at
        self.rollout = rollout
        self._random = np.random.default_rng(seed)
        self._minute = (self.times - self.times[0]) / 60
        self.proven = FAULT + 2.5
        self._share = np.select(
            [self._minute < START, self._minute < SECOND, self._minute < THIRD, self._minute < self.proven + 0.2],
            [0.0, 0.05, 0.25, 0.5],
            0.0,
        )
        counts = {role: self._shop(role) for role in names.ROLES}
        self._day_before()
        self._judgement(counts)
        experiment(self, self._minute)
        self._receiver()
        self._drift()
        self._exporter()
        self._alerts()
        self._signals()
        machine(self, self._minute, self._steps({self.proven: 1.0}))

    def at(self, minute: float) -> float:
        """The time of a minute of the story, in seconds since the epoch."""
        return float(self.times[0] + minute * 60)

    def own(
        self, name: str, labels: Mapping[str, str], values: Values | float = 1.0, times: Values | None = None
    ) -> None:
        """A series of exporter or receiver; what is about a rollout is about the one of the story."""
        told = {names.ROLLOUT: self.rollout} if names.ROLLOUT in names.LABELS.get(name, ()) else {}
        super().own(name, told | dict(labels), values, times)

    # One method per part of the stack.

    def _shop(self, role: str) -> dict[str, Values]:
        """Events of one role per step; published as counters and KPIs."""
        version = STABLE if role == "stable" else CANARY
        share = self._share if role == "canary" else 1 - self._share
        wave = 1 + 0.15 * np.sin(self._minute / 7)
        visits = self._random.poisson(_VISITS_PER_MINUTE / 60 * STEP_SECONDS * share * wave).astype(np.float64)
        ratios = {"carts": 0.42, "checkouts": 0.62, "payments": 0.96}
        counts = {"visits": visits}
        for event, ratio in ratios.items():
            counts[event] = self._draw(list(counts.values())[-1], ratio)
        success = np.where((self._minute >= FAULT) & (role == "canary"), 0.62, 0.97)
        counts["orders"] = self._draw(counts["payments"], success)
        counts["feedback"] = self._draw(counts["orders"], 0.3)
        counts["value"] = np.round(counts["orders"] * self._random.normal(48, 1.5, len(self.times)), 2)
        counts["score"] = counts["feedback"] * self._random.normal(4.3, 0.1, len(self.times))
        counts["seconds"] = counts["orders"] * self._random.normal(95, 3, len(self.times))
        self._publish(version, counts, self.times)
        return counts

    def _draw(self, of: Values, ratio: float | Values) -> Values:
        return self._random.binomial(of.astype(np.int64), ratio).astype(np.float64)

    def _publish(self, version: str, counts: Mapping[str, Values], times: Values) -> None:
        labels = {names.VERSION: version}
        for event in ("visits", "carts", "checkouts", "orders", "feedback"):
            self.own(names.event_total(event), labels, np.cumsum(counts[event]), times)
        paid = np.cumsum(counts["orders"])
        self.own(names.event_total("payments"), labels | {names.OUTCOME: "succeeded"}, paid, times)
        lost = np.cumsum(counts["payments"]) - paid
        self.own(names.event_total("payments"), labels | {names.OUTCOME: "failed"}, lost, times)
        money = labels | {names.CURRENCY: CURRENCY}
        self.own(names.ORDER_VALUE_TOTAL, money, np.cumsum(counts["value"]), times)
        for kpi, (part, whole) in _KPIS.items():
            value = _windowed(counts[part]) / _positive(_windowed(counts[whole]))
            own = money if kpi == "average_order_value" else labels
            self.own(names.kpi_gauge(kpi), own, 1 - value if kpi == "cart_abandonment_rate" else value, times)

    def _day_before(self) -> None:
        """Stable alone, a day earlier, a little quieter."""
        times = self.times - DAY_SECONDS
        visits = self._random.poisson(_VISITS_PER_MINUTE / 60 * STEP_SECONDS * 0.9, len(times)).astype(np.float64)
        counts = {"visits": visits}
        for event, ratio in {"carts": 0.42, "checkouts": 0.62, "payments": 0.96, "orders": 0.97}.items():
            counts[event] = self._draw(list(counts.values())[-1], ratio)
        counts["feedback"] = self._draw(counts["orders"], 0.3)
        counts["value"] = np.round(counts["orders"] * 47.5, 2)
        counts["score"] = counts["feedback"] * 4.3
        counts["seconds"] = counts["orders"] * 94.0
        self._publish(STABLE, counts, times)

    def _judgement(self, counts: Mapping[str, Mapping[str, Values]]) -> None:
        """Estimate, bounds and evidence by a normal mixture on the log of the ratio."""
        running = self._minute >= START
        for kpi, (part, whole) in _KPIS.items():
            units = {role: np.cumsum(counts[role][whole] * running) for role in names.ROLES}
            good = {role: np.cumsum(counts[role][part] * running) for role in names.ROLES}
            value = {role: good[role] / _positive(units[role]) for role in names.ROLES}
            spread = 0.6 if _KPIS[kpi][0] in ("value", "score", "seconds") else 1.0
            error = np.sqrt(
                spread * sum((1 - np.minimum(value[role], 0.9)) / _positive(good[role]) for role in names.ROLES)
            )
            change = value["canary"] / _positive(value["stable"]) - 1
            z = np.minimum(change / error, 0)
            prior = 0.5**2 / (0.5**2 + error**2)
            evidence = 0.5 * (z**2 * prior + np.log1p(-prior)) / math.log(10)
            self._verdict(kpi, change, 3.0 * error, np.where(units["canary"] > 30, evidence, np.nan))
            complement = kpi == "cart_abandonment_rate"
            for role in names.ROLES:
                self.own(names.KPI_UNITS, {names.KPI: kpi, names.ROLE: role}, np.where(running, units[role], np.nan))
                shown = 1 - value[role] if complement else value[role]
                self.own(names.KPI_VALUE, {names.KPI: kpi, names.ROLE: role}, np.where(running, shown, np.nan))

    def _verdict(self, kpi: str, change: Values, half: Values, evidence: Values) -> None:
        labels = {names.KPI: kpi}
        tolerance = 0.05 if kpi == "payment_success_rate" else 0.1
        known = ~np.isnan(evidence)
        lower, upper = np.where(known, change - half, -1.0), np.where(known, change + half, np.inf)
        failed = np.maximum.accumulate(known & (np.nan_to_num(evidence) >= _THRESHOLD) & (change < -tolerance))
        passed = known & ~failed & (lower > -tolerance)
        verdicts = {"fail": failed, "pass": passed, "hold": ~failed & ~passed, "blind": np.zeros_like(failed)}
        running = self._minute >= START
        for verdict, holds in verdicts.items():
            own = labels | {names.VERDICT: verdict}
            self.own(names.KPI_VERDICT, own, np.where(running, holds.astype(np.float64), np.nan))
        for reason in names.KPI_FINDINGS:
            found = 1.0 if (kpi, reason) == ("conversion_rate", "slower") else 0.0
            self.own(names.KPI_FINDING, labels | {names.REASON: reason}, np.where(running, found, np.nan))
        self.own(names.KPI_RELATIVE_CHANGE, labels, np.where(known, change, np.nan))
        self.own(names.KPI_RELATIVE_CHANGE_LOWER, labels, np.where(running, lower, np.nan))
        self.own(names.KPI_RELATIVE_CHANGE_UPPER, labels, np.where(running, upper, np.nan))
        self.own(names.KPI_EVIDENCE, labels, np.where(running, np.nan_to_num(evidence), np.nan))
        if kpi == "payment_success_rate":
            self.own(names.KPI_FLOOR_EVIDENCE, labels, np.where(running, np.nan_to_num(evidence) * 0.8, np.nan))
        for name, value in ((names.KPI_EVIDENCE_THRESHOLD, _THRESHOLD), (names.KPI_TOLERANCE, tolerance)):
            self.own(name, labels, np.where(running, value, np.nan))
        proven = verdicts["fail"] & (np.nan_to_num(evidence) >= _THRESHOLD)
        self.own(names.KPI_PROOF, labels | {names.TEST: "quick"}, np.where(running, proven * 1.0, np.nan))
        self.own(names.KPI_JUDGED, labels, np.where(running, 1.0, np.nan))
        self.own(names.KPI_FROZEN, labels, np.where(running, (self._minute > self.proven) * 1.0, np.nan))

    def _receiver(self) -> None:
        minute = self._minute
        running = minute >= START
        since = np.select([minute < SECOND, minute < THIRD], [START, SECOND], THIRD)
        over = minute >= self.proven
        state = np.select(
            [minute < START, ~over, minute < self.proven + 0.3], ["idle", "phase", "rolling_back"], "rolled_back"
        )
        for known in names.STATES:
            told = (state == known) * 1.0
            self.own(names.ROLLOUT_STATE, {names.STATE: known}, np.where(running, told, np.nan))
            before = {names.ROLLOUT: "", names.STATE: known}
            self.own(names.ROLLOUT_STATE, before, np.where(running, np.nan, told))
        identity = {names.ROLLOUT: self.rollout, names.STABLE: STABLE, names.CANARY: CANARY}
        self.own(names.ROLLOUT_INFO, identity, np.where(running, 1.0, np.nan))
        index = np.select([minute < SECOND, minute < THIRD], [0.0, 1.0], 2.0)
        duration = np.select([minute < SECOND, minute < THIRD], [300.0, 900.0], 1200.0)
        for name, values in (
            (names.ROLLOUT_PHASE, index),
            (names.ROLLOUT_STARTED_TIMESTAMP_SECONDS, np.full_like(minute, self.at(START))),
            (names.ROLLOUT_PHASE_STARTED_TIMESTAMP_SECONDS, self.times[0] + 60 * since),
            (names.ROLLOUT_ELAPSED_SECONDS, 60 * (minute - START)),
            (names.ROLLOUT_PHASE_ELAPSED_SECONDS, 60 * (minute - since)),
            (names.ROLLOUT_PHASE_DURATION_SECONDS, duration),
        ):
            self.own(name, {}, np.where(running, values, np.nan))
        late = np.concatenate([self._share[:1], self._share[:-1]])
        for role in names.ROLES:
            wanted, had = (self._share, late) if role == "canary" else (1 - self._share, 1 - late)
            self.own(names.TRAFFIC_TARGET_RATIO, {names.ROLE: role}, np.where(running, wanted, np.nan))
            self.own(names.TRAFFIC_RATIO, {names.ROLE: role}, had)
        self._marks()
        self._acts()
        self._program("kpi-canary-receiver", "127.0.0.1:9878")

    def _acts(self) -> None:
        """What the receiver has heard, done and sent, counted."""
        minute = self._minute
        self.own(names.WATCHDOG_LAST_SEEN_TIMESTAMP_SECONDS, {}, np.floor(self.times / 60) * 60)
        self.own(names.DRILL_LAST_SUCCESS_TIMESTAMP_SECONDS, {}, np.full_like(minute, self.times[0] - 7200))
        self.own(names.DRILL_AGE_SECONDS, {}, 7200 + 60 * minute)
        self.own(names.ROUTER_DRIFT_TOTAL, {}, self._steps({18.0: 1}))
        self.own(names.FREEZE_ACTIVE, {}, 0.0 * minute)
        self.own(names.ALERTS_SUPPRESSED, {names.ACTION: "advance"}, 0.0 * minute)
        self.own(names.ROLLBACKS_TOTAL, {names.CAUSE: names.PAYMENT_SUCCESS_DEGRADED}, self._steps({self.proven: 1}))
        steps = {START: 1.0, SECOND: 1.0, THIRD: 1.0}
        for action, moments in (("advance", steps), ("rollback", {self.proven: 1.0})):
            self.own(names.ACTIONS_TOTAL, {names.ACTION: action, names.OUTCOME: "done"}, self._steps(moments))
            accepted = {names.ACTION: action, names.OUTCOME: "accepted"}
            self.own(names.WEBHOOK_ALERTS_TOTAL, accepted, self._steps(moments))
        every = self._steps(dict.fromkeys(np.arange(1.0, END), 1.0))
        self.own(names.WEBHOOK_ALERTS_TOTAL, {names.ACTION: "none", names.OUTCOME: "watchdog"}, every)
        self.own(names.NOTIFICATIONS_TOTAL, {names.OUTCOME: "sent"}, self._steps(steps | {self.proven: 2.0}))
        self.own(names.NOTIFICATIONS_TOTAL, {names.OUTCOME: "failed"}, self._steps({self.proven: 1.0}))
        self.histogram(names.CONVERGENCE_SECONDS, {}, self._steps(steps | {self.proven: 1.0}), 0.02)

    def _marks(self) -> None:
        """When something last happened to the rollout."""
        moments = {"start": [START], "advance": [SECOND, THIRD], "hold": [14.0], "resume": [16.0]}
        moments |= {"rollback": [self.proven]}
        for event, minutes in moments.items():
            latest = np.full_like(self._minute, np.nan)
            for minute in minutes:
                latest[self._minute >= minute] = self.at(minute)
            labels = {names.ROLLOUT: self.rollout, names.EVENT: event}
            self.own(names.ROLLOUT_EVENT_TIMESTAMP_SECONDS, labels, latest)

    def _drift(self) -> None:
        """What the last releases add up to: within its budget."""
        for name, value in (
            (names.DRIFT_CHANGE, -0.01),
            (names.DRIFT_CHANGE_LOWER, -0.04),
            (names.DRIFT_CHANGE_UPPER, 0.02),
            (names.DRIFT_BUDGET, -0.05),
        ):
            self.own(name, {names.KPI: "conversion_rate"}, value)

    def _exporter(self) -> None:
        self.own(names.DATABASE_UP, {}, np.where(np.abs(self._minute - 20) < 0.2, 0.0, 1.0))
        age = self._random.uniform(0.1, 1.1, len(self.times))
        self.own(names.LAST_REFRESH_TIMESTAMP_SECONDS, {}, self.times - age)
        self.own(names.LAST_REFRESH_AGE_SECONDS, {}, age)
        self.own(names.DATA_LAG_SECONDS, {}, self._random.exponential(1.5, len(self.times)))
        self.own(names.BACKFILL_RATIO, {}, np.minimum(1, self._minute / 2 + 0.2))
        self.own(names.SCHEMA_COMPATIBLE, {})
        for component in names.COMPONENTS:
            self.own(names.POLICY_INFO, {names.COMPONENT: component, names.DIGEST: "0123456789abcdef"})
        self.own(names.BLIND, {names.REASON: "database"}, np.where(np.abs(self._minute - 15) < 1, 1.0, 0.0))
        for event in ("visits", "orders"):
            self.own(names.UNKNOWN_VERSION_RATIO, {names.EVENT: event}, self._random.beta(1, 80, len(self.times)))
        for version, faulty in ((STABLE, 1.0), (CANARY, 4.0)):
            orders = {names.EVENT: "orders", names.FAULT: "orphan", names.COLUMN: "visit_id", names.VERSION: version}
            for name, rows in ((names.CONSISTENCY_ROWS, 800.0), (names.CONSISTENCY_FAULTY_ROWS, faulty)):
                self.own(name, {names.ROLLOUT: self.rollout, **orders}, rows)
        orders = {names.ROLLOUT: self.rollout, names.EVENT: "orders"}
        self.own(names.REPLICA_ROWS, orders, 1000.0)
        self.own(names.REPLICA_FAULTY_ROWS, {**orders, names.FAULT: names.REPLICA_FAULTS[0]}, 1.0)
        self.own(names.REPLICA_LAG_SECONDS, {}, self._random.gamma(2, 0.2, len(self.times)))
        self.own(names.EXPORTER_ERRORS_TOTAL, {names.ERROR: "unavailable"}, self._steps({20.0: 3}))
        for name in (names.RECONCILED_ROWS_TOTAL, names.CORRECTIONS_TOTAL):
            self.own(name, {names.EVENT: "payments"}, self._steps({12.0: 2}))
        self.histogram(names.REFRESH_DURATION_SECONDS, {}, np.cumsum(np.full_like(self.times, 5.0)), 0.01)
        self._program("kpi-canary-exporter", "127.0.0.1:9877")

    def _program(self, job: str, instance: str) -> None:
        """What a program says about itself, whatever service it works for."""
        scraped = {"job": job, "instance": instance}
        self.shops(names.BUILD_INFO, {names.VERSION: "0.1.0", **scraped}, 1.0)
        self.shops(names.CONFIG_LAST_RELOAD_SUCCESSFUL, scraped, 1.0)

    def _alerts(self) -> None:
        """What Prometheus itself writes for the generated rules."""
        self._alert(names.WATCHDOG, "none", {}, [(0, 0.1, END + 1)])
        self._alert(names.PHASE_COMPLETE, "advance", {}, [(SECOND - 0.4, SECOND - 0.2, SECOND + 0.1)])
        self._alert(names.PHASE_COMPLETE, "advance", {}, [(THIRD - 0.4, THIRD - 0.2, THIRD + 0.1)])
        harm = [(self.proven - 0.3, self.proven - 0.1, self.proven + 1)]
        self._alert(names.PAYMENT_SUCCESS_DEGRADED, "rollback", {names.KPI: "payment_success_rate"}, harm)
        self._alert(names.BLIND_ALERT, "hold", {"reason": "database"}, [(13.8, 14, 16)])
        self._alert(names.OUT_OF_RANGE, "none", {"metric": "payment_success_rate"}, [(FAULT + 1, FAULT + 2, 34)])
        self._alert(names.ROLLED_BACK, "none", {}, [(self.proven + 0.3, self.proven + 0.4, END + 1)])

    def _steps(self, moments: Mapping[float, float]) -> Values:
        """A counter that grows at some minutes."""
        values: Values = np.zeros_like(self._minute)
        for minute, by in moments.items():
            values[self._minute >= minute] += by
        return values

    def _alert(self, name: str, action: str, more: dict[str, str], spans: list[tuple[float, float, float]]) -> None:
        labels = {"alertname": name, names.ACTION: action, "severity": "info", names.ROLLOUT: self.rollout} | more
        for state in ("pending", "firing"):
            values = np.full_like(self._minute, np.nan)
            for pending, firing, end in spans:
                begin, until = (pending, firing) if state == "pending" else (firing, end)
                values[(self._minute >= begin) & (self._minute < until)] = 1.0
            key = labels_of({names.SERVICE: self.service, **labels, "alertstate": state})
            _, known = self.series.get("ALERTS", {}).get(key, (None, values))
            self.add("ALERTS", key, self.times, np.where(np.isnan(values), known, values))

    def _signals(self) -> None:
        """The shop's own series."""
        for version, share in ((STABLE, 1 - self._share), (CANARY, self._share)):
            for endpoint, part in _ENDPOINTS.items():
                rate = _VISITS_PER_MINUTE / 60 * STEP_SECONDS * 2 * part * share
                done = np.cumsum(self._random.poisson(rate).astype(np.float64))
                ill = (self._minute >= FAULT) & (version == CANARY) & (endpoint == "pay")
                failed = np.cumsum(self._random.poisson(rate * np.where(ill, 0.05, 0.002)).astype(np.float64))
                labels = {"version": version, "endpoint": endpoint, "job": "shop"}
                self.shops("http_requests_total", labels | {"status": "200"}, done)
                self.shops("http_requests_total", labels | {"status": "500"}, failed)
                self.histogram("http_request_duration_seconds", labels, done, _DURATION_SCALE_SECONDS[version])
            trouble = {FAULT + 1.0: 2.0} if version == CANARY else {}
            self.shops("database_connection_errors_total", {"version": version, "job": "shop"}, self._steps(trouble))


_KPIS = {
    "conversion_rate": ("orders", "visits"),
    "average_order_value": ("value", "orders"),
    "cart_abandonment_rate": ("orders", "carts"),
    "payment_success_rate": ("orders", "payments"),
    "checkout_completion_rate": ("orders", "checkouts"),
    "customer_satisfaction": ("score", "feedback"),
    "checkout_time": ("seconds", "orders"),
}


def _windowed(counts: Values, minutes: int = 10) -> Values:
    """Sums over a trailing window."""
    total = np.cumsum(counts)
    width = minutes * 60 // STEP_SECONDS
    before: Values = np.concatenate([np.zeros(width), total[:-width]])
    return np.subtract(total, before)


def _positive(values: Values) -> Values:
    """The values, nan where a division would have no meaning."""
    return np.where(values > 0, values, np.nan)


def moments(story: Story) -> Iterator[float]:
    """Times at which a person might look: before, in each phase, at the harm, and after it."""
    for minute in (START + 2, SECOND + 2, 15, THIRD + 2, story.proven, story.proven + 0.2, story.proven + 1, END):
        yield story.at(minute)
