"""The shop's own series: requests, response times and connections of both versions, and the canary's machine."""

import re

import promql_parser

from canary.mixin.config import node_selector
from rules.promtool.series import Series
from rules.promtool.values import Values

STABLE, CANARY = "v1.0", "v2.0"
ENDPOINT = "checkout"


class Shop(Series):
    """What the shop, its router and its machines give to Prometheus."""

    def well(self) -> None:
        """Both versions answer plenty of requests quickly and without errors, on a machine with half its load."""
        for share in ("memory", "cpu", "disk"):
            self.use(share, 0.5)
        signals = self.policy.signals
        plenty = 10 * signals.minimum_requests
        for version in (STABLE, CANARY):
            self.requests(plenty, 0, window=signals.window, version=version)
            fast = signals.info.response_time / 2
            self.response_times({fast: plenty}, window=signals.window, version=version)
            if signals.preset == "haproxy":
                self.mean_response_time(fast, version=version)
                self.backend("haproxy_backend_active_servers", 1, version=version)
                self.tries(0, window=signals.window, version=version)
            elif signals.connection_errors:
                self.connection_errors(0, version=version)
            if signals.query_duration:
                quick = signals.info.query_time / 2
                self.query_times({quick: plenty}, window=signals.window, version=version)

    def requests(
        self, total: float, failed: float, *, window: float, version: str = CANARY, endpoint: str = ENDPOINT
    ) -> None:
        """Requests within a window, and how many of them failed with 5xx."""
        signals = self.policy.signals
        if signals.preset == "haproxy":
            self.backend("haproxy_backend_http_requests_total", self.counter(total, window), version=version)
        for good, count in ((True, total - failed), (False, failed)):
            values = self.counter(count, window)
            if signals.preset == "haproxy":
                code = "2xx" if good else "5xx"
                self.backend("haproxy_backend_http_responses_total", values, version=version, code=code)
            else:
                labels = {**self._shop_labels(version, endpoint), signals.status_label: "200" if good else "503"}
                self.put(signals.requests, values, **labels, **matching(self.policy.shop_selector))

    def response_times(
        self, counts: dict[float, float], *, window: float, version: str = CANARY, endpoint: str = ENDPOINT
    ) -> None:
        """How many requests within a window took up to so many seconds (and no less than the one before).

        An infinite time is longer than the histogram's last bucket.
        """
        signals = self.policy.signals
        if signals.preset == "haproxy":
            return
        self._histogram(signals.duration, self._shop_labels(version, endpoint), counts, window)

    def query_times(self, counts: dict[float, float], *, window: float, version: str = CANARY) -> None:
        """The same for the shop's queries to its database."""
        signals = self.policy.signals
        self._histogram(signals.query_duration, {signals.version_label: version}, counts, window)

    def _histogram(self, name: str, labels: dict[str, str], counts: dict[float, float], window: float) -> None:
        if self.policy.signals.histograms == "native":  # promtool can be given none: this says only that there is one
            self.put(name, sum(counts.values()), **labels, **matching(self.policy.shop_selector))
            return
        metric = f"{name}_bucket"
        self.drop(metric, **labels)
        below = 0.0
        for seconds in sorted({*counts, float("inf")}):
            below += counts.get(seconds, 0)
            le = "+Inf" if seconds == float("inf") else f"{seconds:g}"
            self.put(metric, self.counter(below, window), **labels, **matching(self.policy.shop_selector), le=le)

    def mean_response_time(self, seconds: float | Values, *, version: str = CANARY) -> None:
        """HAProxy's own mean of its last requests."""
        if self.policy.signals.preset == "haproxy":
            self.backend("haproxy_backend_response_time_average_seconds", seconds, version=version)

    def tries(self, failed: float, *, window: float, version: str = CANARY) -> None:
        """How many attempts of HAProxy to get an answer failed within a window, in each way that it counts."""
        for way in ("connection_errors", "response_errors", "retry_warnings", "redispatch_warnings"):
            values = self.counter(failed / 4, window)
            self.backend(f"haproxy_backend_{way}_total", values, version=version)

    def backend(self, metric: str, values: float | Values, *, version: str = CANARY, **labels: str) -> None:
        """A series of HAProxy about the backend of a version."""
        signals = self.policy.signals
        backend = signals.canary_backend if version == CANARY else signals.stable_backend
        self.put(metric, values, proxy=backend, **labels, **matching(self.policy.shop_selector))

    def connection_errors(self, failed: float, *, version: str = CANARY) -> None:
        """Failed connections to the database within the short window."""
        signals = self.policy.signals
        labels = {signals.version_label: version} | matching(self.policy.shop_selector)
        self.put(signals.connection_errors, self.counter(failed, signals.window), **labels)

    def _shop_labels(self, version: str, endpoint: str) -> dict[str, str]:
        signals = self.policy.signals
        return {signals.version_label: version, signals.endpoint_label: endpoint}

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
                self.put("process_cpu_seconds_total", self.counter(round(ratio * window, 9), window), **labels)
            return
        labels = {"instance": "node:9100"} | matching(node_selector(self.policy))
        match what:
            case "memory":
                self.put("node_memory_MemAvailable_bytes", free, **labels)
                self.put("node_memory_MemTotal_bytes", total, **labels)
            case "cpu":
                idle = self.counter(round(free / total * window, 9), window)
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
