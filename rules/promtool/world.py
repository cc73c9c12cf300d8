"""A healthy rollout as series: what exporter, receiver, shop and machine would have given to Prometheus."""

from canary import names
from canary.mixin.limits import gate_of, limits
from canary.policy import Policy
from canary.policy.kpis import Conversion, Mean, Success
from canary.policy.pinning.digest import digest
from canary.policy.release import Phase
from rules.promtool.shop import CANARY, STABLE, Shop
from rules.promtool.values import STALE, Values, constant, nothing

ROLLOUT = "r-2026-01-31"
EARLIER = "r-2026-01-30"
"""The rollout before."""

ROLLOUT_LABELS = {names.ROLLOUT: ROLLOUT, names.STABLE: STABLE, names.CANARY: CANARY, names.VERSION: CANARY}
"""The labels that an alert has from the rollout that it is about."""

THRESHOLD = 2.0
"""log10 of the evidence at which harm is proven; any number will do, because rules read the exporter's own."""

SEGMENT = "stripe"
"""The part of the customers that is harmed, where a KPI is looked at by one."""

EXISTENCE = frozenset(
    {names.ROLLOUT_INFO, names.ROLLOUT_STATE, names.ROLLOUT_SINCE_END_SECONDS, names.ROLLOUT_SINCE_PROMOTION_SECONDS}
)
"""The series that say that a rollout is there, and whether it runs."""


_RECEIVER = {"job": "kpi-canary-receiver", "instance": "receiver"}
_EXPORTER = {"job": "kpi-canary-exporter", "instance": "exporter"}


class World(Shop):
    """Series of *count* scrapes, *step* seconds apart; all is well, and the rollout begins with scrape *begin*."""

    def __init__(self, policy: Policy, *, step: float, begin: int, count: int) -> None:
        super().__init__(policy, step=step, begin=begin, count=count)
        self._receiver()
        self._exporter()
        self.well()

    def receiver(self, metric: str, values: float | Values, **labels: str) -> None:
        """A series of the receiver, about the rollout if its metric is about one."""
        self.put(metric, values, **_RECEIVER, **self._identity(metric), **labels)

    def exporter(self, metric: str, values: float | Values, **labels: str) -> None:
        """A series of the exporter, about the rollout if its metric is about one."""
        self.put(metric, values, **_EXPORTER, **self._identity(metric), **labels)

    def _identity(self, metric: str) -> dict[str, str]:
        of_rollout = names.ROLLOUT in names.LABELS.get(metric, ())
        return {names.SERVICE: self.policy.service, names.ROLLOUT: ROLLOUT if of_rollout else ""}

    def of_earlier_rollout(self) -> None:
        """All that is known of the rollout, but that it is there, was said about the one before it."""
        for metric, labels in list(self.series):
            if (names.ROLLOUT, ROLLOUT) in labels and metric not in EXISTENCE:
                told = tuple((key, EARLIER if key == names.ROLLOUT else text) for key, text in labels)
                self.series[metric, told] = self.series.pop((metric, labels))

    def state(self, state: str) -> None:
        """Let the rollout be in this state from scrape `begin` on; before, nothing has ever been started."""
        for known in names.STATES:
            before = constant(float(known == "idle"), self.begin)
            since = constant(float(known == state), self.count - self.begin)
            self.receiver(names.ROLLOUT_STATE, nothing(self.begin) + since, **{names.STATE: known})
            gone: Values = [STALE, *nothing(self.count - self.begin - 1)]
            own = {names.SERVICE: self.policy.service, names.STATE: known}
            self.put(names.ROLLOUT_STATE, before + gone, **_RECEIVER, **own)

    def _receiver(self) -> None:
        running = nothing(self.begin) + constant(1, self.count - self.begin)
        self.receiver(names.ROLLOUT_INFO, running, **{names.STABLE: STABLE, names.CANARY: CANARY})
        self.state("phase")
        # Just old enough for the longest window of the shop's own series.
        self.receiver(names.ROLLOUT_ELAPSED_SECONDS, self.policy.signals.long_window)
        self.receiver(names.DRILL_AGE_SECONDS, 0)
        self.receiver(names.POLICY_INFO, 1, component="receiver", digest=digest(self.policy))
        for limit in limits(self.policy):
            self.receiver(names.ROLLOUT_LIMIT, limit.value, **{names.LIMIT: limit.name, names.KPI: limit.kpi})
        self.phase(0, self.policy.phases[0], 0)

    def phase(self, index: int, phase: Phase, elapsed_seconds: float) -> None:
        """Let the rollout be in this phase for so long."""
        self.receiver(names.ROLLOUT_PHASE, index)
        self.receiver(names.ROLLOUT_PHASE_ELAPSED_SECONDS, elapsed_seconds)
        self.receiver(names.ROLLOUT_PHASE_DURATION_SECONDS, phase.duration)
        for gate in names.GATES:
            self.receiver(names.ROLLOUT_GATE, float(gate == gate_of(phase)), gate=gate)
        for mode in names.ADVANCES:
            self.receiver(names.ROLLOUT_ADVANCE, float(mode == phase.advance), mode=mode)
        self.traffic(phase.traffic)

    def traffic(self, ratio: float) -> None:
        """Let the canary have this share of the traffic, as asked for and as read back."""
        for metric in (names.TRAFFIC_RATIO, names.TRAFFIC_TARGET_RATIO):
            self.receiver(metric, ratio, role="canary")
            self.receiver(metric, 1 - ratio, role="stable")

    def _exporter(self) -> None:
        self.exporter(names.DATABASE_UP, 1)
        self.exporter(names.POLICY_INFO, 1, component="exporter", digest=digest(self.policy))
        self.exporter(names.SCHEMA_COMPATIBLE, 1)
        self.exporter(names.BLIND, 0, reason="schema")
        self.exporter(names.LAST_REFRESH_AGE_SECONDS, 1)
        self.exporter(names.TRAFFIC_MISMATCH_EVIDENCE, 0.1)
        for event in (*self.policy.database.events, "of_no_kpi"):
            self.exporter(names.UNKNOWN_VERSION_RATIO, 0, event=event)
            self.exporter(names.VERSION_ROWS, 1000, event=event)
        fault = {names.EVENT: "orders", names.FAULT: "childless", names.COLUMN: "payments"}
        self.exporter(names.CONSISTENCY_BROKEN, 0, **fault)
        for version, faulty, rows in ((STABLE, 3, 900), (CANARY, 12, 40)):
            self.exporter(names.CONSISTENCY_FAULTY_ROWS, faulty, **fault, version=version)
            self.exporter(names.CONSISTENCY_ROWS, rows, **fault, version=version)
        if self.policy.database.replica:
            self.exporter(names.REPLICA_LAG_SECONDS, 0.1)
        if self.policy.database.primary:
            self.exporter(names.REPLICA_FAULTY_ROWS, 0, event="orders", fault="missing")
        if self.policy.database.log is not None:
            self.exporter(names.LOG_LINE_AGE_SECONDS, 0.1)
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
                self.experiment(name, variant, kpi)

    def experiment(self, experiment: str, variant: str, kpi: str, *, verdict: str = "hold", better: float = 0) -> None:
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

    def _stable(self, kpi: str) -> None:
        """What stable had before the start, and has now."""
        self.exporter(names.KPI_STABLE_BEFORE, 0.95, kpi=kpi)
        self.exporter(names.KPI_STABLE_NOW, 0.85, kpi=kpi)

    def _segment(self, kpi: str, evidence: float, *, proven: bool) -> None:
        """What the exporter says about one part of the customers, where the KPI is looked at by part."""
        judged = self.policy.kpis[kpi]
        if not isinstance(judged, Mean) and judged.by is not None:
            self.exporter(names.KPI_SEGMENT_EVIDENCE, evidence, kpi=kpi, segment=SEGMENT)
            self.exporter(names.KPI_SEGMENT_PROOF, float(proven), kpi=kpi, segment=SEGMENT)

    def judgement(
        self,
        kpi: str,
        *,
        verdict: str = "hold",
        evidence: float = 0.1,
        floor: float = 0.1,
        units: float = 100,
        reason: str = "",
        exact: bool = False,
        segment: float = 0.1,
    ) -> None:
        """What the exporter says about one KPI; *evidence* and *floor* are log10, their threshold is `THRESHOLD`.

        Args:
            exact: the exact half has proven harm.
            segment: log10 of the evidence that it harms one part of the customers.
        """
        for known in names.VERDICTS:
            self.exporter(names.KPI_VERDICT, float(known == verdict), kpi=kpi, verdict=known)
        for known in names.KPI_FINDINGS:
            self.exporter(names.KPI_FINDING, float(known == reason), kpi=kpi, reason=known)
        self.exporter(names.KPI_EVIDENCE, evidence, kpi=kpi)
        self.exporter(names.KPI_EVIDENCE_THRESHOLD, THRESHOLD, kpi=kpi)
        proofs = {
            "quick": evidence >= THRESHOLD,
            "exact": exact,
            "floor": floor >= THRESHOLD,
            "segment": segment >= THRESHOLD,
        }
        self._segment(kpi, segment, proven=proofs["segment"] and verdict == "fail")
        for test, proven in proofs.items():
            self.exporter(names.KPI_PROOF, float(proven and verdict == "fail"), kpi=kpi, test=test)
        if self.policy.kpis[kpi].floor is not None:
            self.exporter(names.KPI_FLOOR_EVIDENCE, floor, kpi=kpi)
        self.exporter(names.KPI_RELATIVE_CHANGE, -0.01, kpi=kpi)
        self._stable(kpi)
        for role in names.ROLES:
            self.exporter(names.KPI_UNITS, units * (1 if role == "canary" else 10), kpi=kpi, role=role)
            self.exporter(names.KPI_VALUE, 0.95, kpi=kpi, role=role)

    def events(self, event: str, total: float, **labels: str) -> None:
        """How many events of the order database are counted within the long window."""
        self.exporter(names.event_total(event), self.counter(total, self.policy.signals.long_window), **labels)
