"""What one version of the shop publishes about itself."""

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest

# A bound at each limit of the policy (2 s, 5 s, 10 s), so that a quantile near it is not guessed between two others.
_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 2.5, 5, 7.5, 10, 15, 30)


class Metrics:
    """The series of one version, in a registry of their own."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "http_requests_total",
            "Requests answered, by version, endpoint and HTTP status.",
            ["version", "endpoint", "status"],
            registry=registry,
        )
        self._durations = Histogram(
            "http_request_duration_seconds",
            "Time until a request was answered.",
            ["version", "endpoint"],
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self._connection_errors = Counter(
            "database_connection_errors_total",
            "Requests that found the order database out of reach.",
            ["version"],
            registry=registry,
        )
        self._connection_errors.labels(version)
        self._checkouts = Counter(
            "checkouts_total",
            "Checkouts begun, by version and by the variant that the feature flag gave.",
            ["version", "variant"],
            registry=registry,
        )

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._durations.labels(self._version, endpoint).observe(seconds)
        self._requests.labels(self._version, endpoint, str(status)).inc()

    def database_out_of_reach(self) -> None:
        """The order database could not be reached."""
        self._connection_errors.labels(self._version).inc()

    def checkout(self, variant: str) -> None:
        """A customer got to the till."""
        self._checkouts.labels(self._version, variant).inc()

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)
