"""Every name on the wire: metrics, labels, alerts. Rules, dashboards, exporter and receiver all take them from here.

A name that is spelled twice is one day spelled differently, and nothing fails: a rule over a metric that does not exist
is merely silent. So Python takes names from these constants, and jsonnet from a file that is made from them
(`rules.names`). A name here is a promise to users, whose own rules and dashboards hold it.
"""
# long: one table, which is searched and not read; split by room it would no longer be the one place

import hashlib
from typing import Final

# Labels. `version` is what the shop's own series carry too; `service` keeps two shops on one Prometheus apart.
VERSION: Final = "version"
SERVICE: Final = "service"
ROLLOUT: Final = "rollout"
PHASE: Final = "phase"
KPI: Final = "kpi"
VERDICT: Final = "verdict"
ROLE: Final = "role"
ACTION: Final = "action"
OUTCOME: Final = "outcome"
CURRENCY: Final = "currency"
CAUSE: Final = "cause"
ERROR: Final = "error"
EVENT: Final = "event"
STATE: Final = "state"
EXPERIMENT: Final = "experiment"
VARIANT: Final = "variant"
STABLE: Final = "stable"
CANARY: Final = "canary"
DRY_RUN: Final = "dry_run"
OWNER: Final = "owner"
"""Who looks after the KPI that an alert is about."""
SEVERITY: Final = "severity"
REASON: Final = "reason"
METRIC: Final = "metric"
SCOPE: Final = "scope"
SERVER: Final = "server"
LIMIT: Final = "limit"
DRILL_LABEL: Final = "drill"
GATE: Final = "gate"
MODE: Final = "mode"
TEST: Final = "test"
"""Which test of a KPI: one of `TESTS`."""
SEGMENT: Final = "segment"
"""A value of the column that a KPI's `by` names, or `other`."""
COMPONENT: Final = "component"
DIGEST: Final = "digest"
FAULT: Final = "fault"
"""In which way rows do not fit together: one of `FAULTS`, or of `REPLICA_FAULTS`."""
COLUMN: Final = "column"
"""Where rows do not: a column of the event, or the event of which rows should have come."""
OTHER: Final = "other"
"""Label value that takes what would make a label unbounded."""

ROLES: Final = ("stable", "canary")
VERDICTS: Final = ("pass", "fail", "hold", "blind")
KPI_FINDINGS: Final = (
    "fails_everywhere", "lags_unknown", "mismatch", "no_unit", "not_told_apart", "sides_differ", "stable_harmed",
    "watch_floor", "slower",
)  # fmt: skip
"""What stands behind a KPI's verdict: why what looks like harm only holds, and that the canary is slower."""
FAULTS: Final = ("orphan", "childless", "amount", "empty")
"""Rows that name a parent that is not there, have none of what should come of them (an order its payment), have another
amount than that together, or leave a column empty."""
REPLICA_FAULTS: Final = ("missing", "surplus", "differing")
"""Rows of a read replica that it lacks although its primary has them, that only it has, or that it has otherwise."""
ACTIONS: Final = ("rollback", "advance", "hold", "stop", "none")
"""`stop` ends an experiment; the others are about the rollout."""
GATES: Final = ("none", "manual", "url")
"""What else a phase waits for when its time is over: nothing, a person, or the user's own check."""
ADVANCES: Final = ("on_schedule", "when_proven")
"""What the evidence must say before a phase may end: nothing against the canary, or that every judged KPI passed."""
WAITS: Final = (
    "time",
    "gate",
    "silence",
    "freeze",
    "hold",
    "evidence",
    "prometheus",
    "alertmanager",
    "servers",
    "routers",
    "process",
)
"""Why a rollout, or the finish of a release, does not go on."""
COMPONENTS: Final = ("exporter", "receiver", "rules")
"""What has read the policy, each at another time."""
STATES: Final = (
    "idle",
    "phase",
    "holding",
    "baking",
    "promoted",
    "finishing",
    "finished",
    "rolling_back",
    "rolled_back",
    "failed",
)
EVENTS: Final = ("start", "advance", "hold", "resume", "rollback", "promotion", "finish")
"""What happens to a rollout, as marked in dashboards by the time of its latest occurrence."""

# The receiver's paths
WEBHOOK_PATH: Final = "/alertmanager"
API_PREFIX: Final = "/api/v1"

# Exporter
TESTS: Final = ("quick", "exact", "floor", "segment")
"""A KPI's comparison with stable has two halves, one quick and one exact; `floor` looks at the canary's own level, and
`segment` compares parts of the customers."""

SHOP_PREFIX: Final = "shop_"


def event_total(event: str) -> str:
    """The counter of one event: `orders` -> `shop_orders_total`."""
    return f"{SHOP_PREFIX}{event}_total"


def kpi_gauge(kpi: str) -> str:
    """The gauge of one KPI: `conversion_rate` -> `shop_conversion_rate`."""
    return f"{SHOP_PREFIX}{kpi}"


ORDER_VALUE_TOTAL: Final = "shop_order_value_total"
KPI_RELATIVE_CHANGE: Final = "canary_kpi_relative_change"
KPI_RELATIVE_CHANGE_LOWER: Final = "canary_kpi_relative_change_lower"
KPI_RELATIVE_CHANGE_UPPER: Final = "canary_kpi_relative_change_upper"
KPI_EVIDENCE: Final = "canary_kpi_evidence"
KPI_EVIDENCE_THRESHOLD: Final = "canary_kpi_evidence_threshold"
KPI_FLOOR_EVIDENCE: Final = "canary_kpi_floor_evidence"
KPI_VERDICT: Final = "canary_kpi_verdict"
KPI_OVER_DISPERSION: Final = "canary_kpi_over_dispersion"
KPI_FINDING: Final = "canary_kpi_finding"
KPI_UNITS: Final = "canary_kpi_units"
KPI_VALUE: Final = "canary_kpi_value"
KPI_TOLERANCE: Final = "canary_kpi_tolerance_ratio"
KPI_STABLE_BEFORE: Final = "canary_kpi_stable_before_ratio"
KPI_STABLE_NOW: Final = "canary_kpi_stable_now_ratio"
KPI_SEGMENT_CHANGE: Final = "canary_kpi_segment_relative_change"
KPI_SEGMENT_EVIDENCE: Final = "canary_kpi_segment_evidence"
KPI_SEGMENT_THRESHOLD: Final = "canary_kpi_segment_evidence_threshold"
KPI_SEGMENT_PROOF: Final = "canary_kpi_segment_proof"
KPI_SEGMENT_UNITS: Final = "canary_kpi_segment_units"
KPI_FROZEN: Final = "canary_kpi_frozen"
KPI_JUDGED: Final = "canary_kpi_judged"
KPI_PROOF: Final = "canary_kpi_proof"
KPI_EXACT_SPENT_RATIO: Final = "canary_kpi_exact_alpha_spent_ratio"
KPI_EXACT_REPLAYED: Final = "canary_kpi_exact_replayed"
TRAFFIC_MISMATCH_EVIDENCE: Final = "canary_traffic_mismatch_evidence"
TRAFFIC_SIDES_APART_RATIO: Final = "canary_traffic_sides_apart_ratio"
BLIND: Final = "canary_blind"
DATABASE_UP: Final = "canary_exporter_database_up"
REFRESH_DURATION_SECONDS: Final = "canary_exporter_refresh_duration_seconds"
LAST_REFRESH_AGE_SECONDS: Final = "canary_exporter_last_refresh_age_seconds"
LAST_REFRESH_TIMESTAMP_SECONDS: Final = "canary_exporter_last_refresh_timestamp_seconds"
DATA_LAG_SECONDS: Final = "canary_exporter_data_lag_seconds"
SAMPLE_RATIO: Final = "canary_exporter_sample_ratio"
EXPORTER_ERRORS_TOTAL: Final = "canary_exporter_errors_total"
RECONCILED_ROWS_TOTAL: Final = "canary_exporter_reconciled_rows_total"
CORRECTIONS_TOTAL: Final = "canary_exporter_corrections_total"

URGENT: Final = frozenset({KPI_EVIDENCE, KPI_FLOOR_EVIDENCE, KPI_PROOF, KPI_SEGMENT_EVIDENCE, KPI_SEGMENT_PROOF})
"""What the alerts read that roll back for proven harm."""
VERDICTS_PATH: Final = "verdicts"
"""Where these are shown alone, below the exporter's path of metrics, for those who scrape them more often."""

# The follower of the router's log
STATUS: Final = "status"
ENDPOINT: Final = "endpoint"
LOG_REQUESTS_TOTAL: Final = "canary_log_requests_total"
LOG_REQUEST_DURATION_SECONDS: Final = "canary_log_request_duration_seconds"
LOG_LINES_TOTAL: Final = "canary_log_lines_total"
LOG_GARBAGE_LINES_TOTAL: Final = "canary_log_garbage_lines_total"
LOG_CRAWLER_REQUESTS_TOTAL: Final = "canary_log_crawler_requests_total"
LOG_DROPPED_LINES_TOTAL: Final = "canary_log_dropped_lines_total"
LOG_GAPS_TOTAL: Final = "canary_log_gaps_total"
LOG_LINE_AGE_SECONDS: Final = "canary_log_line_age_seconds"
LOG_STORE_UP: Final = "canary_log_store_up"
UNKNOWN_VERSION_RATIO: Final = "canary_exporter_unknown_version_ratio"
VERSION_ROWS: Final = "canary_exporter_version_rows"
BACKFILL_RATIO: Final = "canary_exporter_backfill_ratio"
REPLICA_LAG_SECONDS: Final = "canary_replica_lag_seconds"
SCHEMA_COMPATIBLE: Final = "canary_schema_compatible"
REPLICA_ROWS: Final = "canary_replica_rows"
REPLICA_FAULTY_ROWS: Final = "canary_replica_faulty_rows"
CONSISTENCY_ROWS: Final = "canary_consistency_rows"
CONSISTENCY_FAULTY_ROWS: Final = "canary_consistency_faulty_rows"
CONSISTENCY_BROKEN: Final = "canary_consistency_broken"
EXPERIMENT_RELATIVE_CHANGE: Final = "canary_experiment_relative_change"
EXPERIMENT_RELATIVE_CHANGE_LOWER: Final = "canary_experiment_relative_change_lower"
EXPERIMENT_RELATIVE_CHANGE_UPPER: Final = "canary_experiment_relative_change_upper"
EXPERIMENT_EVIDENCE: Final = "canary_experiment_evidence"
EXPERIMENT_EVIDENCE_THRESHOLD: Final = "canary_experiment_evidence_threshold"
EXPERIMENT_BETTER: Final = "canary_experiment_better"
EXPERIMENT_GUARDRAIL: Final = "canary_experiment_guardrail"
EXPERIMENT_VERDICT: Final = "canary_experiment_verdict"
EXPERIMENT_UNITS: Final = "canary_experiment_units"
EXPERIMENT_VALUE: Final = "canary_experiment_value"
EXPERIMENT_MISMATCH_EVIDENCE: Final = "canary_experiment_mismatch_evidence"
EXPERIMENT_RUNNING: Final = "canary_experiment_running"
POLICY_INFO: Final = "canary_policy_info"
BUILD_INFO: Final = "canary_build_info"
CONFIG_LAST_RELOAD_SUCCESSFUL: Final = "canary_config_last_reload_successful"
CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP_SECONDS: Final = "canary_config_last_reload_success_timestamp_seconds"
WEB_CONNECTIONS: Final = "canary_web_connections"
WEB_CONNECTIONS_LIMIT: Final = "canary_web_connections_limit"
WEB_CONNECTIONS_ENDED_TOTAL: Final = "canary_web_connections_ended_total"

# Receiver
ROLLOUT_INFO: Final = "canary_rollout_info"
ROLLOUT_STATE: Final = "canary_rollout_state"
ROLLOUT_PHASE: Final = "canary_rollout_phase"
ROLLOUT_ELAPSED_SECONDS: Final = "canary_rollout_elapsed_seconds"
ROLLOUT_SINCE_END_SECONDS: Final = "canary_rollout_since_end_seconds"
ROLLOUT_SINCE_PROMOTION_SECONDS: Final = "canary_rollout_since_promotion_seconds"
ROLLOUT_STARTED_TIMESTAMP_SECONDS: Final = "canary_rollout_started_timestamp_seconds"
ROLLOUT_PHASE_STARTED_TIMESTAMP_SECONDS: Final = "canary_rollout_phase_started_timestamp_seconds"
ROLLOUT_PHASE_ELAPSED_SECONDS: Final = "canary_rollout_phase_elapsed_seconds"
ROLLOUT_PHASE_DURATION_SECONDS: Final = "canary_rollout_phase_duration_seconds"
ROLLOUT_GATE: Final = "canary_rollout_gate"
ROLLOUT_ADVANCE: Final = "canary_rollout_advance"
ROLLOUT_WAITING: Final = "canary_rollout_waiting"
ROLLOUT_LIMIT: Final = "canary_rollout_limit"
ROLLOUT_EVENT_TIMESTAMP_SECONDS: Final = "canary_rollout_event_timestamp_seconds"
FINISH_STEP: Final = "canary_finish_step"
FINISH_FROZEN: Final = "canary_finish_frozen"
TRAFFIC_RATIO: Final = "canary_traffic_ratio"
TRAFFIC_TARGET_RATIO: Final = "canary_traffic_target_ratio"
ROLLBACKS_TOTAL: Final = "canary_rollbacks_total"
ACTIONS_TOTAL: Final = "canary_actions_total"
WEBHOOK_ALERTS_TOTAL: Final = "canary_webhook_alerts_total"
CONVERGENCE_SECONDS: Final = "canary_convergence_seconds"
CONVERGING_SECONDS: Final = "canary_converging_seconds"
CONVERGING_SINCE_TIMESTAMP_SECONDS: Final = "canary_converging_since_timestamp_seconds"
ALERTS_SUPPRESSED: Final = "canary_alerts_suppressed"
FREEZE_ACTIVE: Final = "canary_freeze_active"
NOTIFICATIONS_TOTAL: Final = "canary_notifications_total"
WATCHDOG_LAST_SEEN_TIMESTAMP_SECONDS: Final = "canary_watchdog_last_seen_timestamp_seconds"
ROUTER_DRIFT_TOTAL: Final = "canary_router_drift_total"
DRIFT_CHANGE: Final = "canary_drift_relative_change"
DRIFT_CHANGE_LOWER: Final = "canary_drift_relative_change_lower"
DRIFT_CHANGE_UPPER: Final = "canary_drift_relative_change_upper"
DRIFT_BUDGET: Final = "canary_drift_budget_ratio"
DRIFT_RELEASES: Final = "canary_drift_releases"
DRILL_REQUESTED: Final = "canary_drill_requested"
DRILL_AGE_SECONDS: Final = "canary_drill_age_seconds"
DRILL_LAST_SUCCESS_TIMESTAMP_SECONDS: Final = "canary_drill_last_success_timestamp_seconds"

# Limits: what a rule compares with, as values of the label `limit` of ROLLOUT_LIMIT. The unit ends the name.
LIMIT_CRITICAL_ERROR: Final = "critical_error_ratio"
LIMIT_CRITICAL_RESPONSE: Final = "critical_response_seconds"
LIMIT_CRITICAL_MEMORY: Final = "critical_memory_ratio"
LIMIT_CRITICAL_QUERY: Final = "critical_query_seconds"
LIMIT_CRITICAL_CONNECTIONS: Final = "critical_connection_failures"
LIMIT_WARNING_ERROR: Final = "warning_error_ratio"
LIMIT_WARNING_RESPONSE: Final = "warning_response_seconds"
LIMIT_WARNING_QUERY: Final = "warning_query_seconds"
LIMIT_NORMAL_ERROR: Final = "normal_error_ratio"
LIMIT_NORMAL_RESPONSE: Final = "normal_response_seconds"
LIMIT_NORMAL_QUERY: Final = "normal_query_seconds"
LIMIT_NORMAL_CPU: Final = "normal_cpu_ratio"
LIMIT_NORMAL_MEMORY: Final = "normal_memory_ratio"
LIMIT_NORMAL_DISK: Final = "normal_disk_ratio"
LIMIT_STABLE_ERROR_FACTOR: Final = "stable_error_factor"
LIMIT_STABLE_ERROR_DIFFERENCE: Final = "stable_error_difference_ratio"
LIMIT_STABLE_RESPONSE_FACTOR: Final = "stable_response_factor"
LIMIT_STABLE_RESPONSE_DIFFERENCE: Final = "stable_response_difference_seconds"
LIMIT_MINIMUM_REQUESTS: Final = "minimum_requests"
LIMIT_QUANTILE_REQUESTS: Final = "quantile_minimum_requests"
LIMIT_MINIMUM_UNITS: Final = "minimum_units"
LIMIT_CONFIDENCE: Final = "confidence_z"
LIMIT_STALENESS: Final = "staleness_seconds"
LIMIT_MISMATCH: Final = "mismatch_ratio"
LIMIT_MISMATCH_EVIDENCE: Final = "mismatch_evidence_log10"
LIMIT_UNKNOWN_VERSIONS: Final = "unknown_version_ratio"
LIMIT_REPLICA_LAG: Final = "replica_lag_seconds"
LIMIT_CONVERGE: Final = "converge_seconds"
LIMIT_WATCH: Final = "watch_seconds"
LIMIT_REMIND: Final = "remind_seconds"
LIMIT_KPI_TOLERANCE: Final = "tolerance_ratio"
LIMIT_KPI_FLOOR: Final = "floor"
LIMIT_KPI_TARGET: Final = "target"
"""KPI limits also carry `kpi`; floor and target have the unit of the KPI, as its gauge has."""

LABELS: Final[dict[str, tuple[str, ...]]] = {
    KPI_RELATIVE_CHANGE: (ROLLOUT, KPI),
    KPI_RELATIVE_CHANGE_LOWER: (ROLLOUT, KPI),
    KPI_RELATIVE_CHANGE_UPPER: (ROLLOUT, KPI),
    KPI_EVIDENCE: (ROLLOUT, KPI),
    KPI_EVIDENCE_THRESHOLD: (ROLLOUT, KPI),
    KPI_FLOOR_EVIDENCE: (ROLLOUT, KPI),
    KPI_VERDICT: (ROLLOUT, KPI, VERDICT),
    KPI_OVER_DISPERSION: (ROLLOUT, KPI),
    KPI_FINDING: (ROLLOUT, KPI, REASON),
    KPI_UNITS: (ROLLOUT, KPI, ROLE),
    KPI_VALUE: (ROLLOUT, KPI, ROLE),
    KPI_TOLERANCE: (ROLLOUT, KPI),
    KPI_STABLE_BEFORE: (ROLLOUT, KPI),
    KPI_STABLE_NOW: (ROLLOUT, KPI),
    KPI_SEGMENT_CHANGE: (ROLLOUT, KPI, SEGMENT),
    KPI_SEGMENT_EVIDENCE: (ROLLOUT, KPI, SEGMENT),
    KPI_SEGMENT_THRESHOLD: (ROLLOUT, KPI),
    KPI_SEGMENT_PROOF: (ROLLOUT, KPI, SEGMENT),
    KPI_SEGMENT_UNITS: (ROLLOUT, KPI, SEGMENT, ROLE),
    KPI_FROZEN: (ROLLOUT, KPI),
    KPI_JUDGED: (ROLLOUT, KPI),
    KPI_PROOF: (ROLLOUT, KPI, TEST),
    KPI_EXACT_SPENT_RATIO: (ROLLOUT, KPI),
    KPI_EXACT_REPLAYED: (ROLLOUT, KPI),
    TRAFFIC_MISMATCH_EVIDENCE: (ROLLOUT,),
    TRAFFIC_SIDES_APART_RATIO: (ROLLOUT,),
    BLIND: (REASON,),
    POLICY_INFO: (COMPONENT, DIGEST),
    EXPORTER_ERRORS_TOTAL: (ERROR,),
    RECONCILED_ROWS_TOTAL: (EVENT,),
    CORRECTIONS_TOTAL: (EVENT,),
    UNKNOWN_VERSION_RATIO: (EVENT,),
    LOG_REQUESTS_TOTAL: (VERSION, ENDPOINT, STATUS),
    LOG_REQUEST_DURATION_SECONDS: (VERSION, ENDPOINT),
    VERSION_ROWS: (EVENT,),
    REPLICA_ROWS: (ROLLOUT, EVENT),
    REPLICA_FAULTY_ROWS: (ROLLOUT, EVENT, FAULT),
    CONSISTENCY_ROWS: (ROLLOUT, EVENT, FAULT, COLUMN, VERSION),
    CONSISTENCY_FAULTY_ROWS: (ROLLOUT, EVENT, FAULT, COLUMN, VERSION),
    CONSISTENCY_BROKEN: (ROLLOUT, EVENT, FAULT, COLUMN),
    EXPERIMENT_RELATIVE_CHANGE: (EXPERIMENT, VARIANT, KPI),
    EXPERIMENT_RELATIVE_CHANGE_LOWER: (EXPERIMENT, VARIANT, KPI),
    EXPERIMENT_RELATIVE_CHANGE_UPPER: (EXPERIMENT, VARIANT, KPI),
    EXPERIMENT_EVIDENCE: (EXPERIMENT, VARIANT, KPI),
    EXPERIMENT_EVIDENCE_THRESHOLD: (EXPERIMENT, VARIANT, KPI),
    EXPERIMENT_BETTER: (EXPERIMENT, VARIANT, KPI),
    EXPERIMENT_GUARDRAIL: (EXPERIMENT, VARIANT, KPI),
    EXPERIMENT_VERDICT: (EXPERIMENT, VARIANT, KPI, VERDICT),
    EXPERIMENT_UNITS: (EXPERIMENT, VARIANT, KPI, ROLE),
    EXPERIMENT_VALUE: (EXPERIMENT, VARIANT, KPI, ROLE),
    EXPERIMENT_MISMATCH_EVIDENCE: (EXPERIMENT, VARIANT),
    EXPERIMENT_RUNNING: (EXPERIMENT, VARIANT),
    ROLLOUT_INFO: (ROLLOUT, STABLE, CANARY),
    ROLLOUT_STATE: (ROLLOUT, STATE),
    ROLLOUT_PHASE: (ROLLOUT,),
    ROLLOUT_ELAPSED_SECONDS: (ROLLOUT,),
    ROLLOUT_SINCE_END_SECONDS: (ROLLOUT,),
    ROLLOUT_SINCE_PROMOTION_SECONDS: (ROLLOUT,),
    ROLLOUT_STARTED_TIMESTAMP_SECONDS: (ROLLOUT,),
    ROLLOUT_PHASE_STARTED_TIMESTAMP_SECONDS: (ROLLOUT,),
    ROLLOUT_PHASE_ELAPSED_SECONDS: (ROLLOUT,),
    ROLLOUT_PHASE_DURATION_SECONDS: (ROLLOUT,),
    ROLLOUT_GATE: (ROLLOUT, GATE),
    ROLLOUT_ADVANCE: (ROLLOUT, MODE),
    ROLLOUT_WAITING: (ROLLOUT, REASON),
    ROLLOUT_LIMIT: (ROLLOUT, LIMIT, KPI),
    CONVERGING_SECONDS: (ROLLOUT,),
    CONVERGING_SINCE_TIMESTAMP_SECONDS: (ROLLOUT,),
    DRIFT_CHANGE: (KPI,),
    DRIFT_CHANGE_LOWER: (KPI,),
    DRIFT_CHANGE_UPPER: (KPI,),
    DRIFT_BUDGET: (KPI,),
    DRIFT_RELEASES: (KPI,),
    DRILL_REQUESTED: (DRILL_LABEL, STABLE, CANARY, VERSION),
    ROLLOUT_EVENT_TIMESTAMP_SECONDS: (ROLLOUT, EVENT),
    FINISH_STEP: (ROLLOUT,),
    FINISH_FROZEN: (ROLLOUT, CAUSE),
    TRAFFIC_RATIO: (ROLLOUT, ROLE),
    TRAFFIC_TARGET_RATIO: (ROLLOUT, ROLE),
    ROLLBACKS_TOTAL: (CAUSE,),
    ACTIONS_TOTAL: (ACTION, OUTCOME),
    WEBHOOK_ALERTS_TOTAL: (ACTION, OUTCOME),
    ALERTS_SUPPRESSED: (ROLLOUT, ACTION),
    NOTIFICATIONS_TOTAL: (OUTCOME,),
}
"""The labels of exporter's and receiver's own series, besides `service`, which every one of them carries, the
shop's counters and KPIs by version included. A series that is not listed has no further label.

Whatever speaks of a rollout carries its id: Prometheus answers the series of an earlier rollout for minutes when it was
restarted meanwhile, and only the id tells them from those of the present one. Before the first rollout the id is empty.
"""

# Alerts
HIGH_ERROR_RATE: Final = "CanaryHighErrorRate"
VERY_SLOW_RESPONSE: Final = "CanaryVerySlowResponse"
VERY_SLOW_QUERIES: Final = "CanaryVerySlowQueries"
PAYMENT_SUCCESS_LOW: Final = "CanaryPaymentSuccessLow"
DATABASE_CONNECTION_FAILURES: Final = "CanaryDatabaseConnectionFailures"
HIGH_MEMORY: Final = "CanaryHighMemory"
CONVERSION_DEGRADED: Final = "CanaryConversionDegraded"
PAYMENT_SUCCESS_DEGRADED: Final = "CanaryPaymentSuccessDegraded"
KPI_ALERT: Final = "CanaryKpiDegraded"
FAIL_EVERYWHERE: Final = "CanaryPaymentsFailEverywhere"
STABLE_HARMED: Final = "CanaryStableHarmed"
KPI_HELD: Final = "CanaryKpiHeld"
SLOWER: Final = "CanarySlower"
ELEVATED_ERROR_RATE: Final = "CanaryElevatedErrorRate"
SLOW_RESPONSE: Final = "CanarySlowResponse"
SLOW_QUERIES: Final = "CanarySlowQueries"
ERROR_RATE_DEGRADED: Final = "CanaryErrorRateDegraded"
RESPONSE_TIME_DEGRADED: Final = "CanaryResponseTimeDegraded"
OUT_OF_RANGE: Final = "CanaryOutOfRange"
BLIND_ALERT: Final = "CanaryBlind"
TRAFFIC_MISMATCH: Final = "CanaryTrafficMismatch"
ASSIGNMENTS_UNKNOWN: Final = "CanaryAssignmentsUnknown"
LOG_LAGS: Final = "CanaryRequestLogLags"
REPLICA_LAG: Final = "CanaryReplicaLag"
REPLICA_INCOMPLETE: Final = "CanaryReplicaIncomplete"
POLICY_MISMATCH: Final = "CanaryPolicyMismatch"
SCHEMA_INCOMPATIBLE: Final = "CanarySchemaIncompatible"
ROWS_INCONSISTENT: Final = "CanaryRowsInconsistent"
ROLLBACK_NOT_CONVERGED: Final = "CanaryRollbackNotConverged"
ROLLED_BACK: Final = "CanaryRolledBack"
SERVER_UNHEALTHY: Final = "CanaryServerUnhealthy"
RELEASE_UNFINISHED: Final = "CanaryReleaseUnfinished"
SUPPRESSED: Final = "CanaryAlertsSuppressed"
EXPORTER_DOWN: Final = "CanaryExporterDown"
DRIFT: Final = "CanaryDriftBudget"
RECEIVER_DOWN: Final = "CanaryReceiverDown"
DRILL: Final = "CanaryDrill"
DRILL_OVERDUE: Final = "CanaryDrillOverdue"
WATCHDOG: Final = "CanaryWatchdog"
PHASE_COMPLETE: Final = "CanaryPhaseComplete"
EXPERIMENT_HARM: Final = "CanaryExperimentHarm"
EXPERIMENT_WORSE: Final = "CanaryExperimentWorse"
EXPERIMENT_WINNER: Final = "CanaryExperimentWinner"
EXPERIMENT_MISMATCH: Final = "CanaryExperimentMismatch"
EXPERIMENT_BLIND: Final = "CanaryExperimentBlind"

ALERTS: Final = frozenset(
    {
        HIGH_ERROR_RATE, VERY_SLOW_RESPONSE, PAYMENT_SUCCESS_LOW, DATABASE_CONNECTION_FAILURES, HIGH_MEMORY,
        CONVERSION_DEGRADED, PAYMENT_SUCCESS_DEGRADED, KPI_ALERT, FAIL_EVERYWHERE, STABLE_HARMED, KPI_HELD,
        SLOWER,
        ELEVATED_ERROR_RATE, SLOW_RESPONSE, SLOW_QUERIES, VERY_SLOW_QUERIES,
        ERROR_RATE_DEGRADED, RESPONSE_TIME_DEGRADED, OUT_OF_RANGE, BLIND_ALERT, TRAFFIC_MISMATCH,
        ASSIGNMENTS_UNKNOWN, LOG_LAGS, REPLICA_LAG, REPLICA_INCOMPLETE,
        POLICY_MISMATCH, SCHEMA_INCOMPATIBLE, ROWS_INCONSISTENT, ROLLBACK_NOT_CONVERGED, ROLLED_BACK, SERVER_UNHEALTHY,
        RELEASE_UNFINISHED, SUPPRESSED, DRIFT, EXPORTER_DOWN, RECEIVER_DOWN, DRILL,
        DRILL_OVERDUE, WATCHDOG, PHASE_COMPLETE, EXPERIMENT_HARM, EXPERIMENT_WORSE, EXPERIMENT_WINNER,
        EXPERIMENT_MISMATCH, EXPERIMENT_BLIND,
    }
)  # fmt: skip
"""Every alert that may be generated."""

# Dashboards
DASHBOARD_UIDS: Final = {
    "rollout": "kpi-canary-rollout",
    "business": "kpi-canary-business",
    "infrastructure": "kpi-canary-infrastructure",
    "guard": "kpi-canary-guard",
    "experiments": "kpi-canary-experiments",
}
"""Grafana's stable ids of the dashboards, for links from alerts and between dashboards."""

ALERT_PANELS: Final[dict[str, tuple[str, str]]] = {
    HIGH_ERROR_RATE: ("rollout", "Error rate by version"),
    ELEVATED_ERROR_RATE: ("rollout", "Error rate by version"),
    VERY_SLOW_RESPONSE: ("rollout", "Response time, p95, by version"),
    SLOW_RESPONSE: ("rollout", "Response time, p95, by version"),
    ERROR_RATE_DEGRADED: ("rollout", "Error rate by version"),
    RESPONSE_TIME_DEGRADED: ("rollout", "Response time, p95, by version"),
    PAYMENT_SUCCESS_LOW: ("rollout", "Verdict by KPI"),
    PAYMENT_SUCCESS_DEGRADED: ("rollout", "Verdict by KPI"),
    CONVERSION_DEGRADED: ("rollout", "Verdict by KPI"),
    KPI_ALERT: ("rollout", "Verdict by KPI"),
    FAIL_EVERYWHERE: ("rollout", "Behind the verdicts"),
    STABLE_HARMED: ("rollout", "Verdict by KPI"),
    KPI_HELD: ("rollout", "Behind the verdicts"),
    SUPPRESSED: ("guard", "Freezes and silences"),
    SLOWER: ("rollout", "Behind the verdicts"),
    DATABASE_CONNECTION_FAILURES: ("infrastructure", "Failed database connections by version"),
    VERY_SLOW_QUERIES: ("infrastructure", "Database query time, p95, by version"),
    SLOW_QUERIES: ("infrastructure", "Database query time, p95, by version"),
    TRAFFIC_MISMATCH: ("rollout", "Traffic on the canary"),
    POLICY_MISMATCH: ("guard", "Policy in use"),
    ROLLBACK_NOT_CONVERGED: ("rollout", "Traffic on the canary"),
    ASSIGNMENTS_UNKNOWN: ("infrastructure", "Rows without a version"),
    LOG_LAGS: ("infrastructure", "Age of the router's log"),
    REPLICA_LAG: ("infrastructure", "Replication lag"),
    REPLICA_INCOMPLETE: ("infrastructure", "Rows that do not fit together"),
    SCHEMA_INCOMPATIBLE: ("infrastructure", "Schema fits both versions"),
    ROWS_INCONSISTENT: ("infrastructure", "Rows that do not fit together"),
    EXPORTER_DOWN: ("guard", "Freshness"),
    RECEIVER_DOWN: ("guard", "Heartbeat"),
    DRIFT: ("business", "What the last releases add up to"),
    DRILL_OVERDUE: ("guard", "Since the last drill"),
    EXPERIMENT_HARM: ("experiments", "Verdict by treatment and KPI"),
    EXPERIMENT_WORSE: ("experiments", "Verdict by treatment and KPI"),
    EXPERIMENT_WINNER: ("experiments", "Verdict by treatment and KPI"),
    EXPERIMENT_MISMATCH: ("experiments", "Doubt about the split"),
    EXPERIMENT_BLIND: ("guard", "Freshness"),
}
"""The dashboard and the panel that show best what an alert is about; the others lead to a whole dashboard."""


def panel_id(title: str) -> int:
    """Grafana's number of the panel with this title, the same wherever the panel stands."""
    return int(hashlib.md5(title.encode(), usedforsecurity=False).hexdigest()[:6], 16)
