"""What only HAProxy's own series say: averages that fade with the requests, and tries that failed."""

import math
from collections.abc import Mapping

from canary.policy import Policy
from rules.promtool.recipe import Change, Recipe
from rules.promtool.world import World

_NEAR = 0.003

# So many requests let an average fade to a factor of e.
_FADING_REQUESTS = 512

_LONG_UP_REQUESTS = 100_000.0


def fading(limit: float, total: float, window: float) -> tuple[dict[str, Change], dict[str, Change]]:
    """Means of a window that HAProxy's average does not show: further reasons to fire, and not to."""
    fires = {
        "slow only lately": _faded(0, limit * (1 + _NEAR), total, window),
        "slow only lately, after just so many requests": _faded(
            0, limit * (1 + _NEAR), total, window, _FADING_REQUESTS
        ),
        "HAProxy is just up": _just_up(limit, total, window),
    }
    silent = {
        "not as slow lately": _faded(0, limit * (1 - _NEAR), total, window),
        "an earlier canary was slow": _faded(10 * limit, limit / 10, total, window),
        "not seen by a young HAProxy": _faded(0, limit * (1 + _NEAR), total, window, _FADING_REQUESTS - 1),
    }
    return fires, silent


def _faded(before: float, lately: float, total: float, window: float, seen: float = _LONG_UP_REQUESTS) -> Change:
    """HAProxy's requests took *before* seconds, and *lately* since the first scrape, a window before the rollout.

    Args:
        seen: how many requests it has had before the window when the rollout begins.
    """

    def change(world: World) -> None:
        world.requests(total, 0, window=window)
        counted = [float(value or 0) for value in world.counter(total, window)]
        first = seen - counted[world.begin - max(1, round(window / world.step))]
        world.backend("haproxy_backend_http_requests_total", [first + value for value in counted])
        fading = (math.exp(-value / _FADING_REQUESTS) for value in counted)
        world.mean_response_time([lately + (before - lately) * share for share in fading])

    return change


def _just_up(seconds: float, total: float, window: float) -> Change:
    """HAProxy has given no average until shortly before the rollout."""

    def change(world: World) -> None:
        world.requests(total, 0, window=window)
        missing = world.begin - 1
        world.mean_response_time([*[None] * missing, *[seconds] * (world.count - missing)])

    return change


def tries(policy: Policy, alert: str, limit: float, match: Mapping[str, str]) -> Recipe:
    """A limit of HAProxy's failed tries per request over the long window."""
    window, minimum = policy.signals.long_window, policy.signals.minimum_requests

    def tried(requests: float, failed: float) -> Change:
        def change(world: World) -> None:
            world.requests(requests, 0, window=window)
            world.tries(failed, window=window)

        return change

    total = 20.0 * minimum
    return Recipe(
        scene=f"tries, {alert}",
        alert=alert,
        match=match,
        window=window,
        beyond=tried(total, total * limit * (1 + _NEAR)),
        limit=tried(total, total * limit),
        few=tried(minimum - 1, minimum - 1),
        also={"just enough requests": tried(minimum, minimum)},
        inputs=("haproxy_backend_http_responses_total",),
    )
