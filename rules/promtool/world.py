"""A healthy rollout as series: what exporter, receiver, shop and machine would have given to Prometheus."""

import re
from collections.abc import Collection, Iterator

import promql_parser

from canary import names
from canary.policy import Policy
from canary.policy.kpis import Conversion, Mean, Success
from rules.config import node_selector
from rules.promtool.values import STALE, Values, constant, counter, nothing, ramp, reset_at

STABLE, CANARY = "v1.0", "v2.0"
ROLLOUT = "r-2026-01-31"
ROLLOUT_LABELS = {names.ROLLOUT: ROLLOUT, names.STABLE: STABLE, names.CANARY: CANARY, names.VERSION: CANARY}
"""The labels that an alert has from the rollout that it is about."""

THRESHOLD = 2.0
ENDPOINT = "checkout"

_RECEIVER = {"job": "kpi-canary-receiver", "instance": "receiver"}
_EXPORTER = {"job": "kpi-canary-exporter", "instance": "exporter"}

Key = tuple[str, tuple[tuple[str, str], ...]]


class World:
    """Series of *count* scrapes, *step* seconds apart; all is well, and the rollout begins with scrape *begin*."""

    def __init__(self, policy: Policy, *, step: float, begin: int, count: int) -> None:
        self.policy = policy
        self.step = step
        self.count = count
        self.series: dict[Key, Values] = {}
        self.begin = begin
        self._receiver()
        self._exporter()
        self._shop()
        self._machine()

    def put(self, metric: str, values: float | Values, **labels: str) -> None:
        """Give a series these values; a number stays the same throughout."""
        series = constant(values, self.count) if isinstance(values, float | int) else values
        self.series[(metric, tuple(sorted(labels.items())))] = series

    def receiver(self, metric: str, values: float | Values, **labels: str) -> None:
        """A series of the receiver."""
        self.put(metric, values, **_RECEIVER, service=self.policy.service, **labels)

    def exporter(self, metric: str, values: float | Values, **labels: str) -> None:
        """A series of the exporter."""
        self.put(metric, values, **_EXPORTER, service=self.policy.service, **labels)

    def drop(self, metric: str, **labels: str) -> None:
        """Take away the series of a metric, or those of them that have these labels."""
        self.series = {
            key: values
            for key, values in self.series.items()
            if key[0] != metric or not labels.items() <= dict(key[1]).items()
        }

    def keep(self, metrics: Collection[str]) -> None:
        """Take away the series of all other metrics."""
        self.series = {key: values for key, values in self.series.items() if key[0] in metrics}

    def ago(self, seconds: float) -> Values:
        """A timestamp that is always *seconds* ago. Tests begin at the epoch, so it may be negative."""
        return ramp(-seconds, self.step, self.count)

    def state(self, state: str) -> None:
        """Let the rollout be in this state from scrape `begin` on; before, nothing has ever been started."""
        for known in names.STATES:
            values = constant(float(known == "idle"), self.begin)
            values += constant(float(known == state), self.count - self.begin)
            self.receiver(names.ROLLOUT_STATE, values, **{names.STATE: known})

    def miss(self, index: int) -> None:
        """No target can be scraped at *index*."""
        for values in self.series.values():
            values[index] = STALE

    def reset(self, index: int) -> None:
        """All processes of the shop are restarted at *index*."""
        for (metric, _), values in self.series.items():
            if metric.endswith(("_total", "_bucket", "_count", "_sum")):
                values[:] = reset_at(values, index)

    def items(self) -> Iterator[tuple[str, Values]]:
        """Each series as PromQL writes it, with its values."""
        for (metric, labels), values in sorted(self.series.items()):
            inside = ",".join(f'{key}="{value}"' for key, value in labels)
            yield f"{metric}{{{inside}}}" if inside else metric, values

    def _receiver(self) -> None:
        running = nothing(self.begin) + constant(1, self.count - self.begin)
        identity = {names.ROLLOUT: ROLLOUT, names.STABLE: STABLE, names.CANARY: CANARY}
        self.receiver(names.ROLLOUT_INFO, running, **identity)
        self.state("phase")
        self.receiver(names.ROLLOUT_PHASE, 0)
        self.receiver(names.ROLLOUT_STARTED_TIMESTAMP_SECONDS, self.ago(self.policy.signals.long_window))
        self.receiver(names.ROLLOUT_PHASE_STARTED_TIMESTAMP_SECONDS, self.ago(0))
        self.receiver(names.DRILL_LAST_SUCCESS_TIMESTAMP_SECONDS, self.ago(0))
        self.traffic(self.policy.phases[0].traffic)

    def traffic(self, ratio: float) -> None:
        """Let the canary have this share of the traffic, as asked for and as read back."""
        for metric in (names.TRAFFIC_RATIO, names.TRAFFIC_TARGET_RATIO):
            self.receiver(metric, ratio, role="canary")
            self.receiver(metric, 1 - ratio, role="stable")

    def _exporter(self) -> None:
        self.exporter(names.DATABASE_UP, 1)
        self.exporter(names.SCHEMA_COMPATIBLE, 1)
        self.exporter(names.BLIND, 0, reason="schema")
        self.exporter(names.LAST_REFRESH_TIMESTAMP_SECONDS, self.ago(1))
        self.exporter(names.TRAFFIC_MISMATCH_EVIDENCE, 0.1)
        if self.policy.database.replica:
            self.exporter(names.REPLICA_LAG_SECONDS, 0.1)
        for experiment in self.policy.experiments:
            self._experiment(experiment)
        for name, kpi in self.policy.kpis.items():
            if kpi.judge == "evidence":
                self.judgement(name)
            else:
                self._counted(kpi)
            self._gauge(name, kpi)

    def _experiment(self, name: str) -> None:
        experiment = self.policy.experiments[name]
        for variant in experiment.variants.keys() - {experiment.control}:
            arm = {names.EXPERIMENT: name, names.VARIANT: variant}
            self.exporter(names.EXPERIMENT_RUNNING, 1, **arm)
            self.exporter(names.EXPERIMENT_MISMATCH_EVIDENCE, 0.1, **arm)
            for kpi in {*experiment.metrics, *experiment.guardrails}:
                self.trial(name, variant, kpi)

    def trial(self, experiment: str, variant: str, kpi: str, *, verdict: str = "hold", better: float = 0) -> None:
        """What the exporter says about one KPI of one treatment."""
        labels = {names.EXPERIMENT: experiment, names.VARIANT: variant, names.KPI: kpi}
        for known in names.VERDICTS:
            self.exporter(names.EXPERIMENT_VERDICT, float(known == verdict), **labels, verdict=known)
        guardrails = self.policy.experiments[experiment].guardrails
        self.exporter(names.EXPERIMENT_GUARDRAIL, float(kpi in guardrails), **labels)
        self.exporter(names.EXPERIMENT_BETTER, better, **labels)

    def _gauge(self, name: str, kpi: Conversion | Success | Mean) -> None:
        if isinstance(kpi, Mean):
            limits = [limit for limit in (kpi.target, kpi.floor) if limit is not None]
            good = max(limits, default=10.0) * 1.01 if kpi.better == "higher" else min(limits, default=10.0) * 0.99
        else:
            good = min(1.0, (kpi.target or 0.5) * 1.01) if not getattr(kpi, "complement", False) else 0.0
        for version in (STABLE, CANARY):
            self.exporter(names.kpi_gauge(name), good, version=version)

    def _counted(self, kpi: Conversion | Success | Mean) -> None:
        for version in (STABLE, CANARY):
            match kpi:
                case Conversion():
                    self.events(kpi.from_, 1000, version=version)
                    self.events(kpi.to, 500, version=version)
                case Success():
                    self.events(kpi.of, 1000, version=version, outcome="succeeded")
                case Mean():
                    pass

    def judgement(
        self, kpi: str, *, verdict: str = "hold", evidence: float = 0.1, floor: float = 0.1, units: float = 100
    ) -> None:
        """What the exporter says about one KPI; *evidence* and *floor* are log10, their threshold is `THRESHOLD`."""
        for known in names.VERDICTS:
            self.exporter(names.KPI_VERDICT, float(known == verdict), kpi=kpi, verdict=known)
        self.exporter(names.KPI_EVIDENCE, evidence, kpi=kpi)
        self.exporter(names.KPI_EVIDENCE_THRESHOLD, THRESHOLD, kpi=kpi)
        if self.policy.kpis[kpi].floor is not None:
            self.exporter(names.KPI_FLOOR_EVIDENCE, floor, kpi=kpi)
        self.exporter(names.KPI_RELATIVE_CHANGE, -0.01, kpi=kpi)
        for role in names.ROLES:
            self.exporter(names.KPI_UNITS, units * (1 if role == "canary" else 10), kpi=kpi, role=role)
            self.exporter(names.KPI_VALUE, 0.95, kpi=kpi, role=role)

    def events(self, event: str, total: float, **labels: str) -> None:
        """How many events of the order database are counted within the long window."""
        self.exporter(names.event_total(event), self._counter(total, self.policy.signals.long_window), **labels)

    def _shop(self) -> None:
        signals = self.policy.signals
        plenty = 10 * signals.minimum_requests
        for version in (STABLE, CANARY):
            self.requests(plenty, 0, window=signals.window, version=version)
            fast = signals.info.response_time / 2
            self.response_times({fast: plenty}, window=signals.window, version=version)
            if signals.connection_errors and signals.preset == "application":
                self.connection_errors(0, version=version)

    def requests(self, total: float, failed: float, *, window: float, version: str = CANARY) -> None:
        """Requests within a window, and how many of them failed with 5xx."""
        signals = self.policy.signals
        metric = "haproxy_backend_http_responses_total" if signals.preset == "haproxy" else signals.requests
        for good, count in ((True, total - failed), (False, failed)):
            values = self._counter(count, window)
            if signals.preset == "haproxy":
                labels = {"proxy": self._backend(version), "code": "2xx" if good else "5xx"}
            else:
                labels = {**self._shop_labels(version), signals.status_label: "200" if good else "503"}
            self.put(metric, values, **labels, **matching(signals.selector))

    def response_times(self, counts: dict[float, float], *, window: float, version: str = CANARY) -> None:
        """How many requests within a window took up to so many seconds (and no less than the one before).

        An infinite time is longer than the histogram's last bucket.
        """
        signals = self.policy.signals
        if signals.preset == "haproxy":
            return
        metric = f"{signals.duration}_bucket"
        self.drop(metric, **{signals.version_label: version})
        below = 0.0
        for seconds in sorted({*counts, float("inf")}):
            below += counts.get(seconds, 0)
            le = "+Inf" if seconds == float("inf") else f"{seconds:g}"
            labels = self._shop_labels(version) | matching(signals.selector)
            self.put(metric, self._counter(below, window), **labels, le=le)

    def mean_response_time(self, seconds: float, *, version: str = CANARY) -> None:
        """HAProxy's own mean of its last requests."""
        selector = matching(self.policy.signals.selector)
        self.put("haproxy_backend_total_time_average_seconds", seconds, proxy=self._backend(version), **selector)

    def connection_errors(self, failed: float, *, version: str = CANARY) -> None:
        """Failed connections to the database within the short window."""
        signals = self.policy.signals
        labels = {signals.version_label: version} | matching(signals.selector)
        self.put(signals.connection_errors, self._counter(failed, signals.window), **labels)

    def _counter(self, total: float, window: float) -> Values:
        return counter(total, max(1, round(window / self.step)), self.count)

    def _shop_labels(self, version: str) -> dict[str, str]:
        signals = self.policy.signals
        return {signals.version_label: version, signals.endpoint_label: ENDPOINT}

    def _backend(self, version: str) -> str:
        signals = self.policy.signals
        return signals.canary_backend if version == CANARY else signals.stable_backend

    def _machine(self) -> None:
        for share in ("memory", "cpu", "disk"):
            self.use(share, 0.5)
        if self.policy.signals.preset == "haproxy":
            for version in (STABLE, CANARY):
                self.mean_response_time(self.policy.signals.info.response_time / 2, version=version)

    def use(self, what: str, ratio: float) -> None:
        """Let the canary's machine (or process) use this share of its memory, CPU or disk."""
        signals = self.policy.signals
        window = signals.long_window
        total = whole_with(ratio)
        free = total - round(total * ratio, 9)
        if signals.process_selector:
            labels = matching(signals.process_selector)
            if what == "memory" and signals.memory_limit is not None:
                self.put("process_resident_memory_bytes", ratio * signals.memory_limit, **labels)
            if what == "cpu":
                self.put("process_cpu_seconds_total", self._counter(round(ratio * window, 9), window), **labels)
            return
        labels = {"instance": "node:9100"} | matching(node_selector(self.policy))
        match what:
            case "memory":
                self.put("node_memory_MemAvailable_bytes", free, **labels)
                self.put("node_memory_MemTotal_bytes", total, **labels)
            case "cpu":
                idle = self._counter(round(free / total * window, 9), window)
                self.put("node_cpu_seconds_total", idle, **labels, cpu="0", mode="idle")
            case _:
                labels |= {"mountpoint": "/", "fstype": "ext4"}
                self.put("node_filesystem_avail_bytes", free, **labels)
                self.put("node_filesystem_size_bytes", total, **labels)


def whole_with(ratio: float) -> float:
    """A whole of which *ratio* is taken such that `1 - rest / whole` gives *ratio* exactly, in floating point."""
    for total in range(1, 2000):
        free = total - round(total * ratio, 9)
        if 1 - free / total == ratio:
            return float(total)
    return 1000.0


def matching(selector: str) -> dict[str, str]:
    """Labels that label matchers accept: for a regular expression its first alternative, read literally.

    Raises:
        ValueError: no such label can be guessed.
    """
    if not selector:
        return {}
    expression = promql_parser.parse(f"x{{{selector}}}")
    assert isinstance(expression, promql_parser.VectorSelector)
    labels = {}
    for matcher in expression.matchers.matchers:
        operator, value = str(matcher.op), matcher.value
        if "NotEqual" in operator or "NotRe" in operator:
            continue
        if "Re" in operator:
            guess = re.sub(r"\[(.)[^\]]*\]", r"\1", re.sub(r"\([^()]*\)\?", "", value)).split("|")[0]
            guess = re.sub(r"[()^$\\?]", "", guess).replace(".+", "x").replace(".*", "x")
            if re.fullmatch(value, guess) is None:
                raise ValueError(f"cannot make up a label that fits {matcher.name}=~{value!r}")
            value = guess
        labels[matcher.name] = value
    return labels


__all__ = ["CANARY", "ENDPOINT", "ROLLOUT", "ROLLOUT_LABELS", "STABLE", "THRESHOLD", "World", "matching"]
