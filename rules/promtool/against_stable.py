"""Recipes for a canary that is much worse than stable at the same time and endpoint."""

from collections.abc import Iterator, Mapping

from canary import names
from canary.policy import Policy
from rules.config import mixin_config
from rules.promtool.recipe import Change, Recipe, after
from rules.promtool.shop import ENDPOINT, STABLE
from rules.promtool.technical import NEAR, NEARER, errors_with_bound, requests_metric, slow, sure_level, wilson_lower
from rules.promtool.world import ROLLOUT_LABELS, World

# How far a share of a sample is from a quantile's level, so that the quantile is just beyond the share's value.
_MARGIN = 0.0005

# What stands for an endpoint's 95th percentile; see rules.config.endpoint_requests.
_ENDPOINT_LEVEL = 0.9

_ELSEWHERE = "search"


def recipes(policy: Policy) -> Iterator[Recipe]:
    """Recipes for errors and response times, of a whole version and of one endpoint."""
    if policy.signals.against_stable.enabled:
        for endpoint in (False, True) if policy.signals.preset == "application" else (False,):
            yield _Errors(policy, endpoint=endpoint).recipe()
            yield _Slowness(policy, endpoint=endpoint).recipe()


def wilson_upper(errors: float, total: float, z: float) -> float:
    """Wilson's upper bound of an error ratio."""
    return 1 - wilson_lower(total - errors, total, z)


class _Comparison:
    """Many requests to stable, some to the canary, within the long window."""

    def __init__(self, policy: Policy, *, endpoint: bool) -> None:
        self._policy = policy
        self._limits = policy.signals.against_stable
        self._minimum = policy.signals.minimum_requests
        self._window = policy.signals.long_window
        self._endpoint = endpoint
        confidence = mixin_config(policy)["confidence"]
        self._z, self._endpoint_requests = float(confidence["z"]), int(confidence["endpointRequests"])
        self._few, self._many = 20.0 * self._minimum, 200.0 * self._minimum

    @property
    def _match(self) -> Mapping[str, str]:
        return {names.SCOPE: "endpoint" if self._endpoint else ""}

    @property
    def _dynamic(self) -> Mapping[str, str]:
        return ROLLOUT_LABELS | ({"endpoint": ENDPOINT} if self._endpoint else {})

    def _scene(self, what: str) -> str:
        return f"against stable, {what}{' at an endpoint' if self._endpoint else ''}"


class _Errors(_Comparison):
    """Error rates: stable's rate decides whether the factor or the difference is the limit."""

    def recipe(self) -> Recipe:
        minimum, many = self._minimum, self._many
        factor, difference = self._limits.error_rate_factor, self._limits.error_rate_difference
        often = many * (min(0.1, 2 * difference / (factor - 1) or 0.01) if factor > 1 else 0.01)
        also = {
            "as much more": self._beyond(0, many, 1 + NEARER),
            "just enough requests": self._all_fail(minimum, many),
        }
        quiet = {
            "not as much more": self._beyond(0, many, 1 - NEARER),
            "few requests to stable": self._all_fail(self._few, minimum - 1),
        }
        if self._limit(0, minimum) < wilson_lower(self._few, self._few, self._z):
            also["just enough requests to stable"] = self._beyond(0, minimum, 1 + NEARER)
            quiet["not beyond what just enough requests to stable prove"] = self._beyond(0, minimum, 1 - NEARER)
        if self._endpoint:
            quiet["stable fails there as often"] = self._as_bad
        return Recipe(
            scene=self._scene("errors"),
            alert=names.ERROR_RATE_DEGRADED,
            match=self._match,
            dynamic=self._dynamic,
            window=self._window,
            beyond=self._beyond(often, many, 1 + NEARER),
            limit=self._beyond(often, many, 1 - NEARER),
            few=self._all_fail(minimum - 1, many),
            also=also,
            quiet=quiet,
            inputs=(requests_metric(self._policy),),
        )

    def _limit(self, errors: float, total: float) -> float:
        """What the canary's lower bound must exceed when so many requests to stable end in errors."""
        upper = wilson_upper(errors, total, self._z)
        return max(self._limits.error_rate_factor * upper, upper + self._limits.error_rate_difference)

    def _beyond(self, errors: float, total: float, share: float) -> Change:
        """The canary's lower bound is this *share* of the limit that so many errors of *total* of stable set."""

        def change(world: World) -> None:
            bound = share * self._limit(errors, total)
            failed = errors_with_bound(bound, self._few, self._z)
            world.requests(self._few, failed, window=self._window)
            world.requests(total, errors, window=self._window, version=STABLE)

        return change

    def _all_fail(self, canary: float, stable: float) -> Change:
        """All of so many requests to the canary fail, and none of those to stable."""

        def change(world: World) -> None:
            world.requests(canary, canary, window=self._window)
            world.requests(stable, 0, window=self._window, version=STABLE)

        return change

    def _as_bad(self, world: World) -> None:
        """Half of the requests to one endpoint fail, whoever answers; stable answers many others well."""
        world.requests(self._few, self._few / 2, window=self._window)
        world.requests(self._few, self._few / 2, window=self._window, version=STABLE)
        world.requests(self._many, 0, window=self._window, version=STABLE, endpoint=_ELSEWHERE)


class _Slowness(_Comparison):
    """Response times: how long stable takes decides whether the factor or the difference is the limit."""

    def recipe(self) -> Recipe:
        enough = self._endpoint_requests if self._endpoint else self._minimum
        factor, difference = self._limits.response_time_factor, self._limits.response_time_difference
        long = 4 * difference / (factor - 1) or 1.0 if factor > 1 else 1.0
        short = difference / (2 * factor) or 1.0
        quiet = {
            "not as much longer": self._near(short, -1),
            "few requests to stable": after(self._stable(long, self._minimum - 1), self._slow(long, self._few)),
        }
        if self._endpoint:
            quiet["stable is as slow there"] = self._as_bad
        return Recipe(
            scene=self._scene("response times"),
            alert=names.RESPONSE_TIME_DEGRADED,
            match=self._match,
            dynamic=self._dynamic,
            window=self._window,
            beyond=self._near(long, 1),
            limit=self._near(long, -1),
            few=after(self._stable(long, self._many), self._slow(long, enough - 1)),
            also={
                "as much longer": self._near(short, 1),
                "just enough requests": after(self._stable(long, self._many), self._slow(long, enough)),
                "just enough requests to stable": after(self._stable(long, self._minimum), self._slow(long, self._few)),
            },
            quiet=quiet,
            inputs=(requests_metric(self._policy),),
            histogram=True,
        )

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

    def _near(self, seconds: float, side: int) -> Change:
        """Stable takes so many seconds, the canary just longer (1) or shorter (-1) than it may."""
        level = _ENDPOINT_LEVEL if self._endpoint else sure_level(self._few, self._z)
        limit = self._limit(seconds)

        def change(world: World) -> None:
            slow(limit, self._few, level - side * _MARGIN, self._window)(world)
            world.mean_response_time(limit * (1 + side * NEAR))

        return after(self._stable(seconds, self._many), change)

    def _slow(self, seconds: float, total: float) -> Change:
        """Most of so many requests to the canary take far longer than the limit that stable's *seconds* set."""
        return slow(4 * self._limit(seconds), total, 0.2, self._window)

    def _as_bad(self, world: World) -> None:
        """One endpoint is slow, whoever answers; stable answers many other requests quickly."""
        self._slow(1.0, self._few)(world)
        self._stable(8 * self._limit(1.0), self._few)(world)
        self._stable(1.0, self._many, _ELSEWHERE)(world)
