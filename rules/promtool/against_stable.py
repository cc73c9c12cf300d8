"""Recipes for a canary that is much worse than stable at the same time and endpoint."""

from collections.abc import Iterator, Mapping

from canary import names
from canary.mixin.limits import confidence_z, quantile_requests
from canary.policy import Policy
from rules.promtool.recipe import Change, Recipe, after
from rules.promtool.shop import ENDPOINT, STABLE
from rules.promtool.technical import NEAR, NEARER, errors_with_bound, requests_metric, slow, sure_level, wilson_lower
from rules.promtool.world import ROLLOUT_LABELS, World

# How far a share of a sample is from a quantile's level, so that the quantile is just beyond the share's value.
_MARGIN = 0.0005

# What the 95th percentile of an endpoint surely is not below; see canary.mixin.limits.quantile_requests.
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
        self._z, self._known = confidence_z(policy), quantile_requests(policy)
        self._some, self._many = 20.0 * self._minimum, 200.0 * self._minimum

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
        minimum, some, many = self._minimum, self._some, self._many
        factor, difference = self._limits.error_rate_factor, self._limits.error_rate_difference
        often = min(0.1, 2 * difference / (factor - 1) or 0.01) if factor > 1 else 0.01
        also = {
            "as much more": self._near(0, 1 + NEAR),
            "just proven": self._proven(many, 1 + NEAR),
            "just enough requests": self._failing(minimum, minimum, many),
            "just enough requests to stable": self._proven(minimum, 1 + NEARER),
        }
        quiet = {
            "not as much more": self._near(0, 1 - NEAR),
            "not proven": self._proven(many, 1 - NEAR),
            "not proven by just enough requests to stable": self._proven(minimum, 1 - NEARER),
            "few requests to stable": self._failing(some, some, minimum - 1),
        }
        if self._endpoint:
            quiet["stable fails there as often"] = self._as_bad
        return Recipe(
            scene=self._scene("errors"),
            alert=names.ERROR_RATE_DEGRADED,
            match=self._match,
            dynamic=self._dynamic,
            window=self._window,
            beyond=self._near(often, 1 + NEAR),
            limit=self._near(often, 1 - NEAR),
            few=self._failing(minimum - 1, minimum - 1, many),
            also=also,
            quiet=quiet,
            inputs=(requests_metric(self._policy),),
        )

    def _near(self, ratio: float, share: float) -> Change:
        """The canary's error ratio is this *share* of the limit that stable's sets, and so many requests prove it."""
        limit = max(self._limits.error_rate_factor * ratio, ratio + self._limits.error_rate_difference)
        total = self._many
        while limit and wilson_lower(limit * total * 0.9, total, self._z) <= wilson_upper(
            ratio * total, total, self._z
        ):
            total *= 2
        return self._failing(total, share * limit * total, total, ratio * total)

    def _proven(self, stable: float, share: float) -> Change:
        """The canary's lower bound is this *share* of the upper one of *stable* requests without any error."""
        bound = share * wilson_upper(0, stable, self._z)
        return self._failing(self._some, errors_with_bound(bound, self._some, self._z), stable)

    def _failing(self, canary: float, failed: float, stable: float, failed_stable: float = 0) -> Change:
        """Requests to both versions, and how many of them end in errors."""

        def change(world: World) -> None:
            world.requests(canary, failed, window=self._window)
            world.requests(stable, failed_stable, window=self._window, version=STABLE)

        return change

    def _as_bad(self, world: World) -> None:
        """Half of the requests to one endpoint fail, whoever answers; stable answers many others well."""
        self._failing(self._some, self._some / 2, self._some, self._some / 2)(world)
        world.requests(self._many, 0, window=self._window, version=STABLE, endpoint=_ELSEWHERE)


class _Slowness(_Comparison):
    """Response times: how long stable takes decides whether the factor or the difference is the limit."""

    def recipe(self) -> Recipe:
        haproxy = self._policy.signals.preset == "haproxy"
        enough = self._known if self._endpoint or haproxy else self._minimum
        factor, difference = self._limits.response_time_factor, self._limits.response_time_difference
        long = 4 * difference / (factor - 1) or 1.0 if factor > 1 else 1.0
        short = difference / (2 * factor) or 1.0
        also = {
            "as much longer": self._near(short, 1),
            "just enough requests": after(self._stable(long, self._many), self._slow(long, enough)),
            "just enough requests to stable": after(self._stable(long, self._known), self._slow(long, self._some)),
        }
        quiet = {
            "not as much longer": self._near(short, -1),
            "few requests to stable": after(self._stable(long, self._known - 1), self._slow(long, self._some)),
        }
        if not haproxy:
            also["just proven"], quiet["not proven"] = self._proven(long, 1), self._proven(long, -1)
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
            also=also,
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
        """Stable takes so many seconds, the canary just longer (1) or shorter (-1) than it may; half are quick."""
        limit = self._limit(seconds)
        share = 0.95 - side * _MARGIN

        def change(world: World) -> None:
            counts = {seconds / 2: 0.5, seconds: 0.0, limit: share - 0.5, 2 * limit: 1 - share}
            self._canary(world, counts)
            world.mean_response_time(limit * (1 + side * NEAR))

        return after(self._stable(seconds, self._many), change)

    def _proven(self, seconds: float, side: int) -> Change:
        """The canary takes far longer than it may, which is just proven (1), or just not (-1)."""
        level = _ENDPOINT_LEVEL if self._endpoint else sure_level(self._some, self._z)
        share = level - side * _MARGIN

        def change(world: World) -> None:
            self._canary(world, {seconds / 2: 0.5, seconds: share - 0.5, 20 * self._limit(seconds): 1 - share})

        return after(self._stable(seconds, self._many), change)

    def _canary(self, world: World, shares: Mapping[float, float]) -> None:
        counts = {seconds: share * self._some for seconds, share in shares.items()}
        world.requests(self._some, 0, window=self._window)
        world.response_times(counts, window=self._window)

    def _slow(self, seconds: float, total: float) -> Change:
        """Most of so many requests to the canary take far longer than the limit that stable's *seconds* set."""
        return slow(4 * self._limit(seconds), total, 0.2, self._window)

    def _as_bad(self, world: World) -> None:
        """One endpoint is slow, whoever answers; stable answers many other requests quickly."""
        self._slow(1.0, self._some)(world)
        self._stable(8 * self._limit(1.0), self._some)(world)
        self._stable(1.0, self._many, _ELSEWHERE)(world)
