"""What rows about requests are made of: so many to the canary, so many failed or slow, and how much that proves."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from canary import names
from canary.mixin.limits import confidence_z
from canary.policy import Policy
from canary.policy.signals import Signals
from rules.promtool.row import NEAR, Change, Row, after, at_least, at_most, receiver
from rules.promtool.table import haproxy
from rules.promtool.world import World

# Far more requests than the least that an alert asks for: so a share of them is near a limit by NEAR, not by a request.
_PLENTY = 20.0

BEHIND = "the window reaches behind the rollout's start"

MARGIN = 0.0005
"""How far a share of a sample is from a quantile's level, so that the quantile is just beyond the share's value."""


def requests_metric(signals: Signals) -> str:
    """The counter of the shop's requests."""
    return "haproxy_backend_http_responses_total" if signals.preset == "haproxy" else signals.requests


def durations_metric(signals: Signals) -> str:
    """The series of the shop's response times."""
    if signals.preset == "haproxy":
        return "haproxy_backend_response_time_average_seconds"
    return signals.duration if signals.histograms == "native" else f"{signals.duration}_bucket"


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


def queried_row(  # what tells one tier from the others
    policy: Policy, limit: float, scene: str, alert: str, match: Mapping[str, str] = MappingProxyType({}), **more: Any
) -> Row:
    """The 95th percentile of the canary's queries over the long window lies just beyond the limit, or just within."""
    signals = policy.signals
    window, minimum = signals.long_window, signals.minimum_requests
    at = partial(queried, limit, window=window)
    beyond, within = (at(0.95 + side * 0.001, 10 * minimum) for side in (-1, 1))
    few, enough = (at(0.949, number) for number in (minimum - 1, at_least(minimum)))
    return Row(
        scene, alert, beyond, within, few, match=match, window=window, histogram=True, inputs=queries_inputs(signals),
        also={"just enough requests": enough}, quiet={BEHIND: after(too_young(policy), beyond)}, **more,
    )  # fmt: skip


def queried(limit: float, quick: float, requests: float, window: float) -> Change:
    """Of the canary's queries a share *quick* takes up to *limit* seconds, while it answers so many requests."""

    def change(world: World) -> None:
        world.requests(requests, 0, window=window)
        counts = {limit / 2: 1000 * (quick - 0.05), limit: 50, limit * 2: 1000 * (1 - quick)}
        world.query_times(counts, window=window)

    return change


def queries_inputs(signals: Signals) -> tuple[str, ...]:
    """The series of the shop's query times."""
    return (signals.query_duration if signals.histograms == "native" else f"{signals.query_duration}_bucket",)


def _beyond_last_bucket(limit: float, total: float, window: float) -> Change:
    """A fifth of the requests is slower than the histogram's last bucket, which is the limit itself."""

    def change(world: World) -> None:
        world.requests(total, 0, window=window)
        world.response_times({limit / 2: total * 0.8, limit: 0, math.inf: total * 0.2}, window=window)

    return change


def aged(seconds: float) -> Change:
    """The rollout is this old."""
    return receiver(names.ROLLOUT_ELAPSED_SECONDS, seconds)


def too_young(policy: Policy) -> Change:
    """The rollout is too young for the long window, and so the only one that is looked at reaches behind its start."""
    return aged(policy.signals.long_window * (1 - NEAR))


def share_row(  # a row's first columns, of which promises are made here
    policy: Policy,
    limit: float,
    scene: str,
    alert: str,
    count: Callable[[float, float, float], Change] = failing,
    **more: Any,
) -> Row:
    """A limit of the share of requests that fail, over the long window; *count* says in which way they do."""
    minimum, window = policy.signals.minimum_requests, policy.signals.long_window
    total, inputs = _PLENTY * minimum, (requests_metric(policy.signals),)
    beyond, within = (count(total, failed, window) for failed in (total * limit * (1 + NEAR), at_most(total * limit)))
    few, enough = (count(number, number, window) for number in (minimum - 1, at_least(minimum)))
    also = {"just enough requests": enough}
    quiet = {BEHIND: after(too_young(policy), beyond)}
    return Row(scene, alert, beyond, within, few, window=window, also=also, quiet=quiet, inputs=inputs, **more)


def tries_rows(policy: Policy, limit: float, alert: str, label: str) -> Iterator[Row]:
    """The same for HAProxy's failed tries, where there are any."""
    if policy.signals.preset == "haproxy":
        yield share_row(policy, limit, f"tries, {alert}", alert, haproxy.tried, match={label: "tries"})


def slow_row(policy: Policy, limit: float, scene: str, alert: str, **more: Any) -> Row:
    """A limit of the 95th percentile over the long window."""
    total, window = _PLENTY * policy.signals.minimum_requests, policy.signals.long_window
    quiet = {BEHIND: after(too_young(policy), slow(limit, total, 0.2, window))}
    return _slowness(policy, limit, total, window, (0.949, 0.951), scene, alert, quiet=quiet, **more)


def sure_slow_row(  # a row's first columns, and a window
    policy: Policy, limit: float, total: float, window: float, scene: str, alert: str, **more: Any
) -> Row:
    """A limit of what the 95th percentile surely is not below."""
    level = sure_level(total, confidence_z(policy))
    return _slowness(policy, limit, total, window, (level - MARGIN, level + MARGIN), scene, alert, **more)


def _slowness(  # the one shape of all limits of response times
    policy: Policy,
    limit: float,
    total: float,
    window: float,
    quick: tuple[float, float],
    scene: str,
    alert: str,
    *,
    given: Callable[[Change], Change] = after,
    firing: Mapping[str, Change] = MappingProxyType({}),
    quiet: Mapping[str, Change] = MappingProxyType({}),
    **more: Any,
) -> Row:
    """Of the shares of requests that are *quick*, the first is too small for the limit and the second is enough."""
    minimum = policy.signals.minimum_requests
    few, some = (slow(limit, number, 0.2, window) for number in (minimum - 1, at_least(minimum)))
    also, silent = {"slower than the last bucket": _beyond_last_bucket(limit, total, window)}, dict[str, Change]()
    if policy.signals.preset == "haproxy":
        also, silent = haproxy.fading(limit, total, window)
    also["just enough requests"] = some
    beyond, within = (slow(limit, total, quick[0], window), slow(limit, total, quick[1], window, slower=False))
    more |= {"also": {**{name: given(change) for name, change in also.items()}, **firing}}
    more |= {"window": window, "histogram": True}
    more |= {"quiet": {**{name: given(change) for name, change in silent.items()}, **quiet}}
    inputs = (requests_metric(policy.signals),)
    return Row(scene, alert, given(beyond), given(within), given(few), inputs=inputs, **more)
