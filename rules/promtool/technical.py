"""Recipes for errors, response times, database connections and memory."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from canary import names
from canary.mixin.limits import confidence_z
from canary.policy import Policy
from rules.promtool import haproxy
from rules.promtool.recipe import Change, Recipe, after
from rules.promtool.shop import ENDPOINT
from rules.promtool.world import ROLLOUT_LABELS, World

# How far beyond a limit, or short of it, a test goes.
NEAR = 0.003

# Wilson's bound is known exactly, and its smallest term moves it by little.
NEARER = 0.0003


def recipes(policy: Policy) -> Iterator[Recipe]:
    """Recipes for the critical and the warning tier."""
    if policy.signals.critical.enabled:
        yield from _Critical(policy, "phase", {names.STATE: ""}).recipes()
        yield from _Critical(policy, "promoted", {names.STATE: "promoted"}).recipes()
    if policy.signals.warning.enabled:
        yield from _warning(policy)


def wilson_lower(errors: float, total: float, z: float) -> float:
    """Wilson's lower bound of an error ratio."""
    spread = z * math.sqrt(errors * (total - errors) / total + z * z / 4)
    return (errors + z * z / 2 - spread) / (total + z * z)


def errors_with_bound(bound: float, total: float, z: float) -> float:
    """How many of *total* requests must fail for the lower bound of the error ratio to be *bound*."""
    low, high = 0.0, total
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if wilson_lower(middle, total, z) < bound else (low, middle)
    return high


def sure_level(total: float, z: float) -> float:
    """The quantile of a sample of *total* that bounds the 95th percentile from below."""
    return max(0.5, 0.95 - z * math.sqrt(0.95 * 0.05 / total))


def requests_metric(policy: Policy) -> str:
    """The counter of the shop's requests."""
    return "haproxy_backend_http_responses_total" if policy.signals.preset == "haproxy" else policy.signals.requests


def durations_metric(policy: Policy) -> str:
    """The series of the shop's response times."""
    signals = policy.signals
    if signals.preset == "haproxy":
        return "haproxy_backend_response_time_average_seconds"
    return signals.duration if signals.histograms == "native" else f"{signals.duration}_bucket"


def failing(total: float, failed: float, window: float) -> Change:
    """Of *total* requests within *window* to the canary, *failed* end in an error."""
    return lambda world: world.requests(total, failed, window=window)


def slow(limit: float, total: float, fast: float, window: float, *, slower: bool = True) -> Change:
    """A share *fast* of the canary's requests takes up to *limit* seconds, the others more.

    HAProxy knows a mean only; it is at the limit when the canary is *slower*, and just below it otherwise.
    """

    def change(world: World) -> None:
        world.requests(total, 0, window=window)
        world.mean_response_time(limit if slower else limit * (1 - NEAR))
        quick = total * max(fast - 0.05, 0)
        counts = {limit / 4: quick, limit / 2: 0, limit: total * fast - quick, limit * 2: total * (1 - fast)}
        world.response_times(counts, window=window)

    return change


def slower_than_last_bucket(limit: float, total: float, window: float) -> Change:
    """A fifth of the requests is slower than the histogram's last bucket, which is the limit itself."""

    def change(world: World) -> None:
        world.requests(total, 0, window=window)
        world.response_times({limit / 2: total * 0.8, limit: 0, math.inf: total * 0.2}, window=window)

    return change


def young(world: World) -> None:
    """The rollout is too young for the long window."""
    world.receiver(names.ROLLOUT_ELAPSED_SECONDS, world.policy.signals.long_window * (1 - NEAR))


@dataclass(frozen=True)
class _Critical:
    """The absolute limits, in one state of the rollout."""

    policy: Policy
    state: str
    match: Mapping[str, str]

    def recipes(self) -> Iterator[Recipe]:
        signals = self.policy.signals
        yield self._errors("short", signals.window, 10 * signals.minimum_requests)
        yield self._slowness("short", signals.window, 10 * signals.minimum_requests)
        if signals.long_window > signals.window:
            # So few that the short window alone never has enough.
            total = round(max(1.0, 0.6 * signals.long_window / signals.window) * signals.minimum_requests)
            yield self._errors("long", signals.long_window, total)
            yield self._slowness("long", signals.long_window, total)
        if signals.preset == "application" and signals.connection_errors:
            yield self._connections()
        if not signals.process_selector or signals.memory_limit is not None:
            yield self._memory()

    def _scene(self, span: str) -> str:
        return f"critical limits, {span} window, rollout in {self.state}"

    def _in(self, span: str, change: Change) -> Change:
        return change if span == "long" else after(young, change)

    def _errors(self, span: str, window: float, total: float) -> Recipe:
        limit, minimum, z = (
            self.policy.signals.critical.error_rate,
            self.policy.signals.minimum_requests,
            confidence_z(self.policy),
        )

        def bound(value: float) -> Change:
            return self._in(span, failing(total, errors_with_bound(value, total, z), window))

        too_young = {"the rollout is too young for the long window": after(young, failing(total, total, window))}
        return Recipe(
            scene=self._scene(span),
            alert=names.HIGH_ERROR_RATE,
            match=self.match,
            state=self.state,
            window=window,
            coarse=span == "long",
            beyond=bound(limit * (1 + NEARER)),
            limit=bound(limit * (1 - NEARER)),
            few=self._in(span, failing(minimum - 1, minimum - 1, window)),
            also={"just enough requests": self._in(span, failing(minimum, minimum, window))},
            quiet=too_young if span == "long" else {},
            inputs=(requests_metric(self.policy),),
        )

    def _slowness(self, span: str, window: float, total: float) -> Recipe:
        signals = self.policy.signals
        limit, minimum = signals.critical.response_time, signals.minimum_requests
        level, margin = sure_level(total, confidence_z(self.policy)), 0.0005
        also, quiet = further_slowness(self.policy, limit, total, window)
        also = {name: self._in(span, change) for name, change in also.items()}
        quiet = {name: self._in(span, change) for name, change in quiet.items()}
        also["just enough requests"] = self._in(span, slow(limit, minimum, 0.2, window))
        if span == "long":
            quiet["the rollout is too young for the long window"] = after(young, slow(limit, total, 0.2, window))
        return Recipe(
            scene=self._scene(span) + ", slow",
            alert=names.VERY_SLOW_RESPONSE,
            match=self.match,
            state=self.state,
            window=window,
            coarse=span == "long",
            beyond=self._in(span, slow(limit, total, level - margin, window)),
            limit=self._in(span, slow(limit, total, level + margin, window, slower=False)),
            few=self._in(span, slow(limit, minimum - 1, 0.2, window)),
            also=also,
            quiet=quiet,
            inputs=(requests_metric(self.policy),),
            histogram=True,
        )

    def _connections(self) -> Recipe:
        signals = self.policy.signals
        failures = signals.critical.database_connection_failures
        return Recipe(
            scene=self._scene("short"),
            alert=names.DATABASE_CONNECTION_FAILURES,
            match=self.match,
            state=self.state,
            window=signals.window,
            beyond=lambda world: world.connection_errors(failures),
            limit=lambda world: world.connection_errors(failures * 0.99),
            few=lambda world: world.connection_errors(max(0, failures - 1)),
            inputs=(signals.connection_errors,),
        )

    def _memory(self) -> Recipe:
        limit, promoted = self.policy.signals.critical.memory, self.state == "promoted"
        return Recipe(
            scene=self._scene("short"),
            alert=names.HIGH_MEMORY,
            match=self.match,
            state=self.state,
            beyond=lambda world: world.use("memory", limit + NEAR * (1 - limit)),
            limit=lambda world: world.use("memory", limit),
            also=self._watched(limit) if promoted else {},
            quiet=self._unwatched(limit) if promoted else {"the rollout is over": self._over(limit)},
            inputs=("node_memory_MemAvailable_bytes", "process_resident_memory_bytes"),
        )

    def _watched(self, memory: float) -> Mapping[str, Change]:
        return {"the last moment of the watch": self._promoted(memory, 1)}

    def _unwatched(self, memory: float) -> Mapping[str, Change]:
        return {"the watch is over": self._promoted(memory, 1 + NEAR)}

    def _over(self, memory: float) -> Change:
        """Too much memory is in use, but the rollout has ended."""
        return after(
            lambda world: world.use("memory", memory + NEAR * (1 - memory)), lambda world: world.state("failed")
        )

    def _promoted(self, memory: float, share: float) -> Change:
        """Too much memory is in use when this share of the watch after the promotion is over."""

        def change(world: World) -> None:
            world.use("memory", memory + NEAR * (1 - memory))
            world.receiver(names.ROLLOUT_SINCE_END_SECONDS, share * self.policy.rollback.watch)

        return change


def _warning(policy: Policy) -> Iterator[Recipe]:
    signals = policy.signals
    limit, minimum, window = signals.warning.error_rate, signals.minimum_requests, signals.long_window
    total = 20.0 * minimum
    scopes = [(names.SCOPE, "", ROLLOUT_LABELS)]
    if signals.preset == "application":
        scopes.append((names.SCOPE, "endpoint", ROLLOUT_LABELS | {"endpoint": ENDPOINT}))
    for label, value, dynamic in scopes:
        yield Recipe(
            scene="warnings",
            alert=names.ELEVATED_ERROR_RATE,
            match={label: value},
            dynamic=dynamic,
            window=window,
            beyond=failing(total, total * limit * (1 + NEAR), window),
            limit=failing(total, total * limit, window),
            few=failing(minimum - 1, minimum - 1, window),
            also={"just enough requests": failing(minimum, minimum, window)},
            inputs=(requests_metric(policy),),
        )
    if signals.preset == "haproxy":
        yield haproxy.tries(policy, names.ELEVATED_ERROR_RATE, limit, {names.SCOPE: "tries"})
    yield slow_recipe(policy, names.SLOW_RESPONSE, signals.warning.response_time, "warnings, slow", {})


def further_slowness(
    policy: Policy, limit: float, total: float, window: float
) -> tuple[dict[str, Change], dict[str, Change]]:
    """What else makes a canary too slow, and what does not."""
    if policy.signals.preset == "haproxy":
        return haproxy.fading(limit, total, window)
    return {"slower than the last bucket": slower_than_last_bucket(limit, total, window)}, {}


def slow_recipe(policy: Policy, alert: str, limit: float, scene: str, match: Mapping[str, str]) -> Recipe:
    """A limit of the 95th percentile over the long window."""
    signals = policy.signals
    minimum, window = signals.minimum_requests, signals.long_window
    total = 20.0 * minimum
    also, quiet = further_slowness(policy, limit, total, window)
    return Recipe(
        scene=scene,
        alert=alert,
        match=match,
        window=window,
        beyond=slow(limit, total, 0.949, window),
        limit=slow(limit, total, 0.951, window, slower=False),
        few=slow(limit, minimum - 1, 0.2, window),
        also={**also, "just enough requests": slow(limit, minimum, 0.2, window)},
        quiet=quiet,
        inputs=(requests_metric(policy),),
        histogram=True,
    )
