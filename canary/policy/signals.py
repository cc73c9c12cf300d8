"""The policy's technical signals: where the shop's own series are, and the limits of the three tiers."""

from dataclasses import field
from typing import Annotated, Literal

from canary.policy.values.types import (
    Backend,
    Bytes,
    Factor,
    HostPort,
    LabelName,
    Link,
    MetricName,
    Patience,
    PositivePatience,
    Scrape,
    Selector,
    ShareLimit,
    Threshold,
    lasting,
    section,
)


@section
class Critical:
    """Limits whose breach rolls back at once."""

    enabled: bool = True
    error_rate: ShareLimit = 0.1
    """Share of the canary's requests answered 5xx."""
    response_time: PositivePatience = 10
    """95th percentile of the canary's response time."""
    memory: ShareLimit = 0.95
    """Share of memory in use on the canary's machine."""
    database_connection_failures: Threshold = 5
    """Failed connections of the canary to its database within the window."""
    query_time: PositivePatience | None = None
    """95th percentile of how long the canary's queries to its database take, by `query_duration`; when
    missing, nothing rolls back for them."""
    hold_for: Patience = 10
    """How long the breach must last (`for` of the rule)."""


@section
class Warn:
    """Limits whose breach warns people."""

    enabled: bool = True
    error_rate: ShareLimit = 0.05
    response_time: PositivePatience = 5
    query_time: PositivePatience = 0.5
    """95th percentile of how long the canary's queries to its database take, by `query_duration`."""
    hold_for: Patience = 300


@section
class Info:
    """The normal ranges; leaving one is worth knowing. KPIs have theirs in `target`."""

    enabled: bool = True
    error_rate: ShareLimit = 0.05
    response_time: PositivePatience = 2
    query_time: PositivePatience = 0.1
    """95th percentile of how long the canary's queries to its database take, by `query_duration`."""
    cpu: ShareLimit = 0.8
    memory: ShareLimit = 0.8
    disk: ShareLimit = 0.8
    hold_for: Patience = 300


@section
class AgainstStable:
    """How much worse than stable, at the same time and endpoint, the canary is before people are warned.

    Only what is also proven to be worse counts.
    """

    enabled: bool = True
    error_rate_factor: Factor = 2
    """Share of 5xx: more than so many times stable's, and `error_rate_difference` above it."""
    error_rate_difference: ShareLimit = 0.005
    """Share of 5xx: so much above stable's, and `error_rate_factor` times it."""
    response_time_factor: Factor = 1.5
    """95th percentile: more than so many times stable's, and `response_time_difference` above it."""
    response_time_difference: Patience = 0.1
    """95th percentile: so much above stable's, and `response_time_factor` times it."""
    hold_for: Patience = 300


@section
class AlertOverride:
    """Changes to one generated alert, by its name."""

    enabled: bool = True
    hold_for: Patience | None = None
    severity: Literal["critical", "warning", "info"] | None = None
    action: Literal["rollback", "hold", "none"] | None = None
    dry_run: bool | None = None
    """The receiver does everything but act on this alert."""
    labels: dict[LabelName, str] = field(default_factory=dict)
    annotations: dict[LabelName, str] = field(default_factory=dict)


@section
class Signals:
    """Names of the series and labels that the shop, its router and its machines already have."""

    preset: Literal["application", "haproxy", "log"] = "application"
    """Whose series tell errors and response times: the application's own, HAProxy's built-in exporter by backend, or
    those that `canary assignments` makes of the router's log (`database.log`); `log` names all series and labels by
    itself."""
    selector: Selector = ""
    """Label matchers added to every selector of the shop's series, such as `job="shop"`; when missing, the job of the
    generated scrape configuration, if the policy names its targets."""
    requests: MetricName = "http_requests_total"
    duration: MetricName = "http_request_duration_seconds"
    """A histogram, classic or native, in seconds."""
    histograms: Literal["classic", "native"] = "classic"
    connection_errors: MetricName | Literal[""] = "database_connection_errors_total"
    """Counter of failed connections to the database; empty when the shop has none."""
    query_duration: MetricName | Literal[""] = ""
    """Histogram of how long the shop's queries to the database take, in seconds; empty when the shop has none."""
    version_label: LabelName = "version"
    endpoint_label: LabelName = "endpoint"
    status_label: LabelName = "status"
    canary_backend: Backend = "canary"
    """HAProxy preset: the canary's backend."""
    stable_backend: Backend = "stable"
    """HAProxy preset: stable's backend."""
    node_selector: Selector = ""
    """Label matchers of the canary machine's node exporter series; when missing, those of the router's upstreams."""
    process_selector: Selector = ""
    """Label matchers of the canary's process metrics, when there is no node exporter."""
    memory_limit: Bytes | None = None
    """The canary process' memory limit, of which `memory` is a share when process metrics are watched."""
    exporter_target: HostPort = "127.0.0.1:9877"
    """Address of `canary exporter` for the generated scrape configuration."""
    follower_target: HostPort = "127.0.0.1:9879"
    """Address of `canary assignments` for the generated scrape configuration, where there is a `database.log`."""
    shop_targets: tuple[HostPort, ...] = ()
    """Addresses (`host:port`) of the shop's own /metrics for the generated scrape configuration, job `SERVICE`."""
    haproxy_targets: tuple[HostPort, ...] = ()
    """Addresses of HAProxy's built-in exporter for the generated scrape configuration, job `SERVICE-haproxy`."""
    node_targets: tuple[HostPort, ...] = ()
    """Addresses of node exporters for the generated scrape configuration, job `SERVICE-node`."""
    window: PositivePatience = 60
    """Window over which rates are taken for the critical tier."""
    long_window: Annotated[float, lasting(0.01, 86400)] = 300
    """Window over which rates are taken for the warning and info tiers."""
    minimum_requests: Threshold = 50
    """Requests within the window below which a version's error rate and response time say nothing."""
    scrape_interval: Scrape = 5
    shop_scrape_interval: Scrape | None = None
    """The same of the shop's own series (`shop_targets`, `haproxy_targets`, `node_targets`), where it is another."""
    evaluation_interval: Scrape = 5
    verdict_interval: Scrape = 1
    """How often proofs of harm are scraped, and the alerts evaluated that roll back for them: both by themselves,
    because they are few. `scrape_interval` and longer: no more often than everything else."""
    critical: Critical = Critical()
    warning: Warn = Warn()
    info: Info = Info()
    against_stable: AgainstStable = AgainstStable()
    alerts: dict[str, AlertOverride] = field(default_factory=dict)
    """Switches and overrides by alert name."""
    runbook_url: Link = "https://github.com/kpi-canary/kpi-canary/blob/main/docs/runbooks/"
    """Where the runbook pages are; the alert's name and `.md` are appended."""
    dashboard_url: Link = ""
    """Grafana's address, for links from alerts to the dashboard."""

    @property
    def shop_interval(self) -> float:
        """Seconds between two samples of the shop's own series."""
        return self.scrape_interval if self.shop_scrape_interval is None else self.shop_scrape_interval

    @property
    def fast(self) -> bool:
        """Whether proofs of harm are scraped more often than the rest."""
        return self.verdict_interval < self.scrape_interval

    @property
    def fast_evaluation_interval(self) -> float:
        """Seconds between two looks at proofs of harm."""
        return min(self.verdict_interval, self.evaluation_interval)
