"""What the follower shows: the shop's requests by version and endpoint, and how it gets on with the log.

Counters restart with the process, as everybody's do; what a restart reads again was in none of them.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from canary import names

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 7.5, 10.0, 15.0, 30.0)
"""Those of Prometheus' libraries, with the policy's usual limits (2 s, 5 s, 10 s) among them, and what is beyond."""
UNKNOWN = "unknown"
"""The version before there was any rollout."""


class LogMetrics:
    """The series of one follower."""

    def __init__(self, registry: CollectorRegistry, service: str, line_age_seconds: Callable[[], float]) -> None:
        self._service = service
        self._requests = Counter(
            names.LOG_REQUESTS_TOTAL,
            "Requests that a server of the shop answered, by the router's log.",
            [names.SERVICE, names.VERSION, names.ENDPOINT, names.STATUS],
            registry=registry,
        )
        self._durations = Histogram(
            names.LOG_REQUEST_DURATION_SECONDS,
            "How long these requests took, as the router measured it.",
            [names.SERVICE, names.VERSION, names.ENDPOINT],
            buckets=_BUCKETS,
            registry=registry,
        )

        def own(name: str, text: str) -> Counter:
            return Counter(name, text, [names.SERVICE], registry=registry)

        lines = own(names.LOG_LINES_TOTAL, "Lines of the router's log that were taken in.")
        garbage = own(names.LOG_GARBAGE_LINES_TOTAL, "Lines among them that are none of the router's.")
        crawlers = own(names.LOG_CRAWLER_REQUESTS_TOTAL, "Requests of known crawlers, which make no visit.")
        dropped = own(names.LOG_DROPPED_LINES_TOTAL, "Lines that came faster than they could be taken in or kept.")
        gaps = own(names.LOG_GAPS_TOTAL, "Log files that were gone before they were read to their end.")
        self.lines, self.garbage, self.crawlers, self.dropped, self.gaps = (
            one.labels(service) for one in (lines, garbage, crawlers, dropped, gaps)
        )
        self._follow_state(registry, line_age_seconds)

    def _follow_state(self, registry: CollectorRegistry, line_age_seconds: Callable[[], float]) -> None:
        store_up = Gauge(
            names.LOG_STORE_UP,
            "Whether the last batch could be kept, and the journal be read.",
            [names.SERVICE],
            registry=registry,
        )
        self.store_up = store_up.labels(self._service)
        age = Gauge(
            names.LOG_LINE_AGE_SECONDS,
            "How long ago the last line was kept, or the log's end last reached: the longer of both.",
            [names.SERVICE],
            registry=registry,
        )
        age.labels(self._service).set_function(line_age_seconds)

    def served(self, version: str | None, endpoint: str, status: int, took_seconds: float | None) -> None:
        """Count a request that a server answered."""
        version = UNKNOWN if version is None else version
        self._requests.labels(self._service, version, endpoint, str(status or 500)).inc()
        if took_seconds is not None:
            self._durations.labels(self._service, version, endpoint).observe(took_seconds)
