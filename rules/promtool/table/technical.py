"""Rows for errors, response times, database connections and memory: the critical and the warning tier."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from canary import names
from canary.mixin.limits import confidence_z, ladder, quantile_requests
from canary.policy import Policy
from canary.units import format_duration
from rules.promtool.row import NEAR, Change, Row, after, at_least, receiver
from rules.promtool.shop import ENDPOINT
from rules.promtool.table.traffic import (
    BEHIND,
    aged,
    errors_with_bound,
    failing,
    queried,
    queried_row,
    queries_inputs,
    requests_metric,
    share_row,
    slow,
    slow_row,
    sure_slow_row,
    tries_rows,
)
from rules.promtool.world import ROLLOUT_LABELS

# Wilson's bound is known exactly, and its smallest term moves it by little.
NEARER = 0.0003


def rows(policy: Policy) -> Iterator[Row]:
    """The absolute limits while the rollout runs and while it is watched, and what people are notified of."""
    if policy.signals.critical.enabled:
        for state, match in (("phase", ""), ("promoted", "promoted")):
            yield from _critical(policy, state, {names.STATE: match})
    if policy.signals.warning.enabled:
        yield from _warning(policy)


def _critical(policy: Policy, state: str, match: Mapping[str, str]) -> Iterator[Row]:
    signals = policy.signals
    shorter = 0.0
    for window in ladder(signals):
        # So few that the window before it alone never has enough.
        plenty = max(1.0, 0.6 * window / shorter) if shorter else 10
        if state == "phase" or window >= signals.window:
            yield from _within(policy, state, match, window, round(plenty * signals.minimum_requests))
        shorter = window
    row = partial(Row, f"critical limits, rollout in {state}", match=match, state=state)
    if signals.preset != "haproxy" and signals.connection_errors:
        failures = signals.critical.database_connection_failures
        old = aged(signals.window)
        beyond, limit, few = (
            after(old, _connections(number)) for number in (at_least(failures), failures * 0.99, max(0, failures - 1))
        )
        alert = names.DATABASE_CONNECTION_FAILURES
        # Shorter windows hold fewer of the failures than the limit.
        quiet = {BEHIND: after(beyond, aged(signals.window * (1 - NEAR)))}
        first = ladder(signals)[0]
        many = failures * signals.window / first * (1 + NEAR)
        also = {"as many within the shortest window": after(aged(first), _connections(many))}
        counted = (signals.connection_errors,)
        yield row(alert, beyond, limit, few, window=signals.window, inputs=counted, also=also, quiet=quiet)
    yield from _queries(policy, state, match)
    if not signals.process_selector or signals.memory_limit is not None:
        ratio, watch = signals.critical.memory, policy.rollback.watch
        full, limit = _memory(ratio + NEAR * (1 - ratio)), _memory(ratio)
        also, quiet = {}, {"the rollout is over": after(full, lambda world: world.state("failed"))}
        if state == "promoted":
            also = {"the last moment of the watch": after(full, _ended(watch))}
            quiet = {
                "the watch is over": after(full, _ended((1 + NEAR) * watch)),
                "the rollout still runs": after(full, lambda world: world.state("phase")),
            }
        inputs = ("node_memory_MemAvailable_bytes", "process_resident_memory_bytes")
        yield row(names.HIGH_MEMORY, full, limit, also=also, quiet=quiet, inputs=inputs)


def _within(  # a window, and in which state it is looked at
    policy: Policy, state: str, match: Mapping[str, str], window: float, total: float
) -> Iterator[Row]:
    """Errors and response times within one window, in a rollout that is just old enough for it."""
    critical, minimum, z = policy.signals.critical, policy.signals.minimum_requests, confidence_z(policy)
    scene = f"critical limits, window of {format_duration(window)}, rollout in {state}"
    given: Callable[[Change], Change] = partial(after, aged(window))
    of_window: dict[str, Any] = {"match": match, "state": state, "coarse": window >= policy.signals.long_window}

    def younger(change: Change) -> dict[str, Change]:
        return {BEHIND: after(aged(window * (1 - NEAR)), change)}

    beyond, limit = (
        given(failing(total, errors_with_bound(critical.error_rate * (1 + side * NEARER), total, z), window))
        for side in (1, -1)
    )
    few, enough = (given(failing(number, number, window)) for number in (minimum - 1, at_least(minimum)))
    of_errors = {"also": {"just enough requests": enough}, "quiet": younger(failing(total, total, window))}
    inputs = (requests_metric(policy.signals),)
    yield Row(scene, names.HIGH_ERROR_RATE, beyond, limit, few, window=window, inputs=inputs, **of_window | of_errors)
    if window < policy.signals.window:
        return  # response times follow from the same windows, and each row takes promtool its time
    seconds, scene = critical.response_time, f"{scene}, slow"
    if window < policy.signals.long_window and policy.signals.preset != "haproxy":
        # A quantile of few requests is coarse; with many the windows before this one have enough as well.
        total, too_young = (
            10 * minimum,
            after(aged(ladder(policy.signals)[0] * (1 - NEAR)), slow(seconds, total, 0.2, window)),
        )
        of_window["quiet"] = {"no window has begun with the rollout": too_young}
        all_slow = after(aged(ladder(policy.signals)[0]), slow(seconds, total, 0.2, window))
        of_window["firing"] = {"only the shortest window has begun with the rollout": all_slow}
    else:
        of_window["quiet"] = younger(slow(seconds, total, 0.2, window))
    yield sure_slow_row(policy, seconds, total, window, scene, names.VERY_SLOW_RESPONSE, given=given, **of_window)


def _queries(policy: Policy, state: str, match: Mapping[str, str]) -> Iterator[Row]:
    """The canary's queries take so long that it is proven, within each of two windows."""
    signals, needed = policy.signals, quantile_requests(policy)
    limit, shorter = signals.critical.query_time, 0.0
    if not signals.query_duration or limit is None:
        return
    # The long window is shown where it may roll back; each row takes promtool its time.
    for window in sorted({signals.window, signals.long_window} if state == "phase" else {signals.window}):
        # The first shares its worlds with what has nothing to do with it.
        of_window = f"window of {format_duration(window)}, slow queries, " if shorter else ""
        # So few that the window before it alone never has enough.
        plenty = round(needed * (max(1.0, 0.6 * window / shorter) if shorter else 10))
        at, old = partial(queried, limit, window=window), aged(window)
        few, enough = (after(old, at(0.899, number)) for number in (needed - 1, at_least(needed)))
        yield Row(
            f"critical limits, {of_window}rollout in {state}",
            names.VERY_SLOW_QUERIES,
            after(old, at(0.899, plenty)),
            after(old, at(0.901, plenty)),
            few,
            match=match,
            state=state,
            window=window,
            coarse=window >= signals.long_window,
            histogram=True,
            inputs=queries_inputs(signals),
            also={"just enough requests": enough},
            quiet={BEHIND: after(aged(window * (1 - NEAR)), at(0.899, plenty))},
        )
        shorter = window


def _connections(failed: float) -> Change:
    return lambda world: world.connection_errors(failed)


def _memory(ratio: float) -> Change:
    return lambda world: world.use("memory", ratio)


def _ended(seconds: float) -> Change:
    """The rollout was promoted so long ago."""
    return receiver(names.ROLLOUT_SINCE_PROMOTION_SECONDS, seconds)


def _warning(policy: Policy) -> Iterator[Row]:
    warning, alert = policy.signals.warning, names.ELEVATED_ERROR_RATE
    yield share_row(policy, warning.error_rate, "warnings", alert, match={names.SCOPE: ""})
    if policy.signals.preset != "haproxy":
        match, dynamic = {names.SCOPE: "endpoint"}, ROLLOUT_LABELS | {"endpoint": ENDPOINT}
        yield share_row(policy, warning.error_rate, "warnings", alert, match=match, dynamic=dynamic)
    yield from tries_rows(policy, warning.error_rate, alert, names.SCOPE)
    yield slow_row(policy, warning.response_time, "warnings, slow", names.SLOW_RESPONSE)
    if policy.signals.query_duration:
        yield queried_row(policy, warning.query_time, "warnings, queries", names.SLOW_QUERIES)
