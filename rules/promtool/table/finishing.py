"""Rows for a release that is being finished: servers, one by one, and what people have forgotten."""

import math
from collections.abc import Iterator, Mapping
from functools import partial

from canary import names
from canary.policy import Policy
from rules.promtool.row import NEAR, Change, Row, about, at_least, at_most, receiver
from rules.promtool.shop import CANARY, ENDPOINT, matching
from rules.promtool.table.traffic import MARGIN, durations_metric
from rules.promtool.world import ROLLOUT, ROLLOUT_LABELS, World

_SERVER = "10.0.1.10:5000"
# So many times the least number of requests, that the row is about their errors and times, and not about their number.
_PLENTY = 20.0
_FINISHING = {**ROLLOUT_LABELS, names.SERVER: _SERVER}


def rows(policy: Policy) -> Iterator[Row]:
    """Errors and response times of one server, and a finish that does not begin, or does not go on."""
    yield from _servers(policy)
    remind, metric = policy.finish.remind, names.ROLLOUT_SINCE_END_SECONDS
    of_rollout, alert = {names.ROLLOUT: ROLLOUT}, names.RELEASE_UNFINISHED
    scene, match = "a promoted release", {names.REASON: "promoted"}
    far = remind * (1 + NEAR)
    quiet = {"it is being finished": lambda world: (world.receiver(metric, far), world.state("finishing"))[-1]}
    more = {"match": match, "dynamic": of_rollout, "state": "promoted", "quiet": quiet}
    yield about(scene, alert, receiver, metric, far, remind, **more)
    yield Row(
        "a finish that is frozen",
        alert,
        _frozen(1, "servers"),
        _frozen(0, ""),
        match={names.REASON: "frozen"},
        dynamic={**of_rollout, names.CAUSE: "servers"},
        inputs=(names.FINISH_FROZEN,),
        state="finishing",
        quiet={"a person has frozen it": _frozen(1, "manual")},
    )


def _frozen(value: float, cause: str) -> Change:
    return receiver(names.FINISH_FROZEN, value, cause=cause)


def _servers(policy: Policy) -> Iterator[Row]:
    signals = policy.signals
    window, minimum = signals.window, signals.minimum_requests
    enough = at_least(minimum)
    total, errors, slow = _PLENTY * minimum, signals.warning.error_rate, signals.warning.response_time
    row = partial(Row, window=window, state="finishing", dynamic=_FINISHING)
    counted = "haproxy_server_http_responses_total" if signals.preset == "haproxy" else signals.requests
    yield row(
        "a server with errors",
        names.SERVER_UNHEALTHY,
        partial(_requests, total=total, failed=total * errors * (1 + NEAR)),
        partial(_requests, total=total, failed=at_most(total * errors)),
        partial(_requests, total=minimum - 1, failed=minimum - 1),
        match={names.SCOPE: "errors"},
        inputs=(counted,),
        also={"just enough requests": partial(_requests, total=enough, failed=enough)},
    )
    fast, some = (0.949, 0.951), partial(_slow, total=total, failed=0.0)
    yield row(
        "a slow server",
        names.SERVER_UNHEALTHY,
        partial(some, limit=slow, quick=fast[0]),
        partial(some, limit=slow * (1 - MARGIN) if signals.preset == "haproxy" else slow, quick=fast[1]),
        partial(_slow, limit=slow, quick=0.2, total=minimum - 1, failed=0.0),
        match={names.SCOPE: "response_time"},
        inputs=(counted, _durations(policy)),
        also={
            "just enough requests": partial(_slow, limit=slow, quick=0.2, total=enough, failed=0.0),
            "slower than the last bucket": partial(_slow, limit=slow, quick=0.8, total=total, failed=0.0, last=slow),
        },
        histogram=True,
    )


def _durations(policy: Policy) -> str:
    haproxy = policy.signals.preset == "haproxy"
    return "haproxy_server_response_time_average_seconds" if haproxy else durations_metric(policy.signals)


def _requests(world: World, *, total: float, failed: float) -> None:
    """Requests of one server within the short window, and how many of them failed."""
    signals = world.policy.signals
    for good, count in ((True, total - failed), (False, failed)):
        values = world.counter(count, signals.window)
        if signals.preset == "haproxy":
            labels = {**_backend(world), "code": "2xx" if good else "5xx"}
            world.put("haproxy_server_http_responses_total", values, **labels)
        else:
            labels = {**_instance(world), signals.status_label: "200" if good else "503"}
            world.put(signals.requests, values, **labels)


def _slow(  # what `_requests` takes, and times
    world: World, *, limit: float, quick: float, total: float, failed: float, last: float = math.inf
) -> None:
    """A share *quick* of one server's requests takes up to *limit* seconds, the others more.

    Args:
        last: the histogram's last bucket.
    """
    _requests(world, total=total, failed=failed)
    signals = world.policy.signals
    if signals.preset == "haproxy":
        world.put("haproxy_server_response_time_average_seconds", limit, **_backend(world))
        return
    below, metric = total * quick, _durations(world.policy)
    for seconds, count in ((limit / 2, below / 2), (limit, below), (limit * 2, total), (math.inf, total)):
        if seconds <= last or seconds == math.inf:
            le = "+Inf" if seconds == math.inf else f"{seconds:g}"
            world.put(metric, world.counter(count, signals.window), **_instance(world), le=le)


def _instance(world: World) -> Mapping[str, str]:
    signals = world.policy.signals
    own = {signals.version_label: CANARY, signals.endpoint_label: ENDPOINT, "instance": _SERVER}
    return own | matching(signals.selector)


def _backend(world: World) -> Mapping[str, str]:
    signals = world.policy.signals
    return {"proxy": signals.stable_backend, "server": _SERVER} | matching(signals.selector)
