"""What HAProxy's preset sees: averages that fade with the requests, and tries that failed."""

import math

from rules.promtool.row import NEAR, Change
from rules.promtool.world import World

# So many requests let an average fade to a factor of e: HAProxy's TIME_STATS_SAMPLES.
_FADING_REQUESTS = 512

# An HAProxy that has answered so many has an average of them, and none of its first ones.
_LONG_UP_REQUESTS = 100_000.0


def fading(limit: float, total: float, window: float) -> tuple[dict[str, Change], dict[str, Change]]:
    """Means of a window that HAProxy's average does not show: further reasons to fire, and not to."""
    above, below = limit * (1 + NEAR), limit * (1 - NEAR)
    fires = {
        "slow only lately": _faded(0, above, total, window),
        "slow only lately, after just so many requests": _faded(0, above, total, window, _FADING_REQUESTS),
        "HAProxy is just up": _just_up(limit, total, window),
    }
    silent = {
        "not as slow lately": _faded(0, below, total, window),
        "an earlier canary was slow": _faded(10 * limit, limit / 10, total, window),
        "not seen by a young HAProxy": _faded(0, above, total, window, _FADING_REQUESTS - 1),
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


def tried(total: float, failed: float, window: float) -> Change:
    """HAProxy has had *total* requests within *window*, and failed so often to get an answer to one."""

    def change(world: World) -> None:
        world.requests(total, 0, window=window)
        world.tries(failed, window=window)

    return change
