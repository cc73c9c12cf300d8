"""Rows for a canary that is much worse than stable at the same time and endpoint."""

from collections.abc import Iterator, Mapping
from functools import partial

from canary import names
from canary.mixin.limits import confidence_z, quantile_requests
from canary.policy import Policy
from rules.promtool.row import NEAR, Change, Row, after, at_least
from rules.promtool.shop import ENDPOINT, STABLE
from rules.promtool.table.technical import NEARER
from rules.promtool.table.traffic import (
    MARGIN,
    errors_with_bound,
    requests_metric,
    slow,
    sure_level,
    too_young,
    wilson_lower,
)
from rules.promtool.world import ROLLOUT_LABELS, World

# What the 95th percentile of an endpoint surely is not below; see canary.mixin.limits.quantile_requests.
_ENDPOINT_LEVEL = 0.9

_ELSEWHERE = "search"


def rows(policy: Policy) -> Iterator[Row]:
    """Errors and response times, of a whole version and of one endpoint."""
    if policy.signals.against_stable.enabled:
        for endpoint in (False, True) if policy.signals.preset != "haproxy" else (False,):
            comparison = _Comparison(policy, endpoint=endpoint)
            yield comparison.errors()
            yield comparison.slowness()


def wilson_upper(errors: float, total: float, z: float) -> float:
    """Wilson's upper bound of an error ratio."""
    return 1 - wilson_lower(total - errors, total, z)


class _Comparison:
    """Many requests to stable, some to the canary, within the long window.

    What stable does decides which of the two limits holds, the factor or the difference; so each is approached from a
    stable for which it is the larger one.
    """

    def __init__(self, policy: Policy, *, endpoint: bool) -> None:
        signals = policy.signals
        self._limits, self._minimum, self._window = (
            signals.against_stable,
            signals.minimum_requests,
            signals.long_window,
        )
        self._haproxy, self._endpoint = signals.preset == "haproxy", endpoint
        self._z, self._known = confidence_z(policy), quantile_requests(policy)
        self._too_young = too_young(policy)
        self._some, self._many = 20.0 * self._minimum, 200.0 * self._minimum
        self._where = " at an endpoint" if endpoint else ""
        dynamic = ROLLOUT_LABELS | ({"endpoint": ENDPOINT} if endpoint else {})
        match, inputs = {names.SCOPE: "endpoint" if endpoint else ""}, (requests_metric(signals),)
        self._row = partial(Row, match=match, dynamic=dynamic, window=self._window, inputs=inputs)

    def errors(self) -> Row:
        minimum, some, many, near, proven = (
            self._minimum,
            self._some,
            self._many,
            self._error_ratio,
            self._proven_errors,
        )
        factor, difference = self._limits.error_rate_factor, self._limits.error_rate_difference
        often = min(0.1, 2 * difference / (factor - 1) or 0.01) if factor > 1 else 0.01
        few, enough = (self._failing(number, number, many) for number in (minimum - 1, at_least(minimum)))
        also = {
            "as much more": near(0, 1 + NEAR),
            "just proven": proven(many, 1 + NEAR),
            "just enough requests": enough,
            "just enough requests to stable": proven(at_least(minimum), 1 + NEARER),
        }
        quiet = {
            "not as much more": near(0, 1 - NEAR),
            "not proven": proven(many, 1 - NEAR),
            "not proven by just enough requests to stable": proven(at_least(minimum), 1 - NEARER),
            "few requests to stable": self._failing(some, some, minimum - 1),
        } | ({"stable fails there as often": self._failing_there} if self._endpoint else {})
        scene, beyond, limit = f"against stable, errors{self._where}", near(often, 1 + NEAR), near(often, 1 - NEAR)
        quiet["the window reaches behind the rollout's start"] = after(self._too_young, beyond)
        return self._row(scene, names.ERROR_RATE_DEGRADED, beyond, limit, few, also=also, quiet=quiet)

    def _error_ratio(self, stable: float, share: float) -> Change:
        """The canary's error ratio is this *share* of the limit that stable's sets, and so many requests prove it."""
        limit = max(self._limits.error_rate_factor * stable, stable + self._limits.error_rate_difference)
        total, z = self._many, self._z
        while limit and wilson_lower(limit * total * 0.9, total, z) <= wilson_upper(stable * total, total, z):
            total *= 2
        return self._failing(total, share * limit * total, total, stable * total)

    def _proven_errors(self, stable: float, share: float) -> Change:
        """The canary's lower bound is this *share* of the upper one of *stable* requests without any error."""
        bound = share * wilson_upper(0, stable, self._z)
        return self._failing(self._some, errors_with_bound(bound, self._some, self._z), stable)

    def _failing(self, canary: float, failed: float, stable: float, failed_stable: float = 0) -> Change:
        """Requests to both versions, and how many of them end in errors."""

        def change(world: World) -> None:
            world.requests(canary, failed, window=self._window)
            world.requests(stable, failed_stable, window=self._window, version=STABLE)

        return change

    def _failing_there(self, world: World) -> None:
        """Half of the requests to one endpoint fail, whoever answers; stable answers many others well."""
        self._failing(self._some, self._some / 2, self._some, self._some / 2)(world)
        world.requests(self._many, 0, window=self._window, version=STABLE, endpoint=_ELSEWHERE)

    def slowness(self) -> Row:
        some, many, known, stable, too_slow = self._some, self._many, self._known, self._stable, self._slow
        enough = known if self._endpoint or self._haproxy else self._minimum
        factor, difference = self._limits.response_time_factor, self._limits.response_time_difference
        long = 4 * difference / (factor - 1) or 1.0 if factor > 1 else 1.0
        short = difference / (2 * factor) or 1.0
        near = self._response_time
        also = {
            "as much longer": near(short, 1),
            "just enough requests": after(stable(long, many), too_slow(long, at_least(enough))),
            "just enough requests to stable": after(stable(long, at_least(known)), too_slow(long, some)),
        }
        quiet = {
            "not as much longer": near(short, -1),
            "few requests to stable": after(stable(long, known - 1), too_slow(long, some)),
        }
        if not self._haproxy:  # which knows a mean only, and nothing is proven of it
            also["just proven"], quiet["not proven"] = self._proven_time(long, 1), self._proven_time(long, -1)
        if self._endpoint:
            quiet["stable is as slow there"] = self._slow_there
        quiet["the window reaches behind the rollout's start"] = after(self._too_young, near(long, 1))
        scene, few = (
            f"against stable, response times{self._where}",
            after(stable(long, many), too_slow(long, enough - 1)),
        )
        row = partial(self._row, also=also, quiet=quiet, histogram=True)
        return row(scene, names.RESPONSE_TIME_DEGRADED, near(long, 1), near(long, -1), few)

    def _limit(self, seconds: float) -> float:
        """What the canary must exceed when stable takes so long."""
        return max(self._limits.response_time_factor * seconds, seconds + self._limits.response_time_difference)

    def _stable(self, seconds: float, total: float, endpoint: str = ENDPOINT) -> Change:
        """Nineteen of twenty requests to stable take up to so many seconds, the others twice as long."""

        def change(world: World) -> None:
            counts = {seconds: total * 0.95, 2 * seconds: total * 0.05}
            world.requests(total, 0, window=self._window, version=STABLE, endpoint=endpoint)
            world.response_times(counts, window=self._window, version=STABLE, endpoint=endpoint)
            world.mean_response_time(seconds, version=STABLE)

        return change

    def _response_time(self, seconds: float, side: int) -> Change:
        """Stable takes so many seconds, the canary just longer (1) or shorter (-1) than it may; half are quick."""
        limit, share = self._limit(seconds), 0.95 - side * MARGIN

        def change(world: World) -> None:
            self._canary(world, {seconds / 2: 0.5, seconds: 0.0, limit: share - 0.5, 2 * limit: 1 - share})
            world.mean_response_time(limit * (1 + side * NEAR))

        return after(self._stable(seconds, self._many), change)

    def _proven_time(self, seconds: float, side: int) -> Change:
        """The canary takes far longer than it may, which is just proven (1), or just not (-1)."""
        share = (_ENDPOINT_LEVEL if self._endpoint else sure_level(self._some, self._z)) - side * MARGIN
        shares = {seconds / 2: 0.5, seconds: share - 0.5, 20 * self._limit(seconds): 1 - share}
        return after(self._stable(seconds, self._many), lambda world: self._canary(world, shares))

    def _canary(self, world: World, shares: Mapping[float, float]) -> None:
        world.requests(self._some, 0, window=self._window)
        world.response_times({time: share * self._some for time, share in shares.items()}, window=self._window)

    def _slow(self, seconds: float, total: float) -> Change:
        """Most of so many requests to the canary take far longer than the limit that stable's *seconds* set."""
        return slow(4 * self._limit(seconds), total, 0.2, self._window)

    def _slow_there(self, world: World) -> None:
        """One endpoint is slow, whoever answers; stable answers many other requests quickly."""
        self._slow(1.0, self._some)(world)
        self._stable(8 * self._limit(1.0), self._some)(world)
        self._stable(1.0, self._many, _ELSEWHERE)(world)
