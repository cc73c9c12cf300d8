"""Worlds of the promtool tests as a scrape target: a real Prometheus sees them unfold, one service per world."""

import dataclasses
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import aiohttp
from aiohttp import web

from canary import names
from canary.mixin.limits import limits as published_limits
from canary.policy import Policy
from rules.generate import rule_groups
from rules.promtool import scenarios
from rules.promtool.scenes import Question, Scenario
from rules.promtool.values import constant
from rules.promtool.world import World
from tests.support.documents import protobuf
from tests.support.programs.processes import eventually

SCENE = "scene-0"
"""The service that the worlds were made for; each gets a number of its own."""

PATIENCE_SECONDS = 240.0
"""Some alerts hold for a minute, counted in evaluations, which a busy machine makes late."""

_TIERS = ("critical", "warning", "info", "against_stable")

Sample = tuple[str, dict[str, str], float]


def hasty(policy: Policy) -> Policy:
    """The same policy for one scene, with windows and waiting times of seconds."""
    tiers = {name: dataclasses.replace(getattr(policy.signals, name), hold_for=2) for name in _TIERS}
    signals = dataclasses.replace(
        policy.signals,
        window=6,
        long_window=12,
        scrape_interval=1,
        evaluation_interval=1,
        selector=f'scene="{SCENE}"',
        node_selector=f'scene="{SCENE}"',
        **tiers,
    )
    return dataclasses.replace(policy, service=SCENE, signals=signals)


def limited(policy: Policy, share: float) -> Policy:
    """The same with limits that are reached well before (or after) the series reach those of the policy itself.

    Real scrapes come a few milliseconds early or late, so that no rate is exact.

    Args:
        share: Of each limit; below 1 alerts fire earlier.
    """
    signals = policy.signals
    tiers = {name: _scaled(getattr(signals, name), share) for name in _TIERS}
    minimum = round(signals.minimum_requests * min(1, share))
    return dataclasses.replace(policy, signals=dataclasses.replace(signals, minimum_requests=minimum, **tiers))


def _scaled(tier: Any, share: float) -> Any:
    """A tier with this share of each limit, of use as far as it is above the half that healthy machines use."""
    changes: dict[str, float] = {}
    for field in dataclasses.fields(tier):
        value = getattr(tier, field.name)
        match field.name:
            case "enabled" | "hold_for":
                continue
            case "query_time" if value is None:
                continue
            case "database_connection_failures":
                changes[field.name] = round(value * share)
            case "memory" | "cpu" | "disk":
                changes[field.name] = 0.5 + (value - 0.5) * share
            case "error_rate_factor" | "response_time_factor":
                changes[field.name] = max(1, value * share)
            case _:
                changes[field.name] = value * share
    return dataclasses.replace(tier, **changes)


def unfolding(policy: Policy, limits: Policy) -> list[Scenario]:
    """The worlds of a policy's promtool tests, with all their series, long enough to be seen.

    Args:
        limits: The policy whose limits the receiver publishes in them.
    """
    rules = [rule for group in rule_groups(policy)["alerts"]["groups"] for rule in group["rules"]]
    found = scenarios(policy, rules, complete=True, margin=300)
    for scenario in found:
        _publish(scenario.world, limits)
    return found


def _publish(world: World, policy: Policy) -> None:
    """Let a receiver that publishes limits publish those of this policy."""
    values = {(limit.name, limit.kpi): limit.value for limit in published_limits(policy)}
    for (metric, labels), series in world.series.items():
        if metric == names.ROLLOUT_LIMIT:
            one = dict(labels)
            series[:] = constant(values[one[names.LIMIT], one.get(names.KPI, "")], len(series))


@dataclasses.dataclass(frozen=True)
class _Series:
    """One series as it is served: its name with labels as text, and its values at each step.

    Attributes:
        moment: whether its values are moments, counted from the beginning; *later* is added to them.
    """

    name: str
    labels: dict[str, str]
    text: str
    values: Sequence[float | str | None]
    step: float
    moment: bool
    later: float


def _served(number: int, scenario: Scenario) -> Iterator[_Series]:
    """The series of a world, with the number of its scene as their service."""
    for (metric, named), values in scenario.world.series.items():
        labels = {key: f"scene-{number}" if text == SCENE else text for key, text in named}
        moment = metric.endswith("_timestamp_seconds")
        later = 60 if metric == names.ROLLOUT_EVENT_TIMESTAMP_SECONDS else 0
        text = f"{metric}{{{_text(labels)}}}"
        yield _Series(metric, labels, text, values, scenario.world.step, moment, later)


class SceneTarget:
    """Serves the series of all worlds as one target; time runs as fast as it does.

    Args:
        worlds: The worlds.
        native: The name of a histogram that is served as a native one; everything is then written as protobuf.
    """

    def __init__(self, worlds: Sequence[Scenario], native: str = "") -> None:
        self._native = native
        # The first scrape begins the worlds' time: on a busy machine writing the rules takes longer than a world lasts.
        self._started = 0.0
        # All that stays the same is made once: a scrape may take no longer than its interval of a second.
        self._series = [series for number, scenario in enumerate(worlds) for series in _served(number, scenario)]

    async def metrics(self, _request: web.Request) -> web.Response:
        """All samples of this moment."""
        self._started = self._started or time.time()
        if self._native:
            return self._protobuf([(one.name, one.labels, value) for one, value in self._now()])
        return web.Response(text="".join(f"{one.text} {value!r}\n" for one, value in self._now()))

    def _now(self) -> Iterator[tuple["_Series", float]]:
        passed = time.time() - self._started
        for one in self._series:
            value = one.values[min(int(passed / one.step), len(one.values) - 1)]
            if isinstance(value, float | int):
                yield one, value + (self._started + one.later if one.moment else 0)

    def _protobuf(self, samples: Sequence[Sample]) -> web.Response:
        below: dict[tuple[tuple[str, str], ...], dict[float, float]] = defaultdict(dict)
        plain = []
        for name, labels, value in samples:
            if name == f"{self._native}_bucket":
                key = tuple((label, text) for label, text in labels.items() if label != "le")
                below[key][float(labels["le"])] = value
            else:
                plain.append((name, labels, value))
        histograms = [protobuf.NativeHistogram(dict(key), _observations(counts)) for key, counts in below.items()]
        body = protobuf.exposition(plain, {self._native: histograms} if histograms else {})
        return web.Response(body=body, headers={"Content-Type": protobuf.CONTENT_TYPE})


def _observations(below: dict[float, float]) -> dict[float, int]:
    """Cumulative counts by upper bound as observations that are as large as their bound.

    What is above the last bound is twice as large as it.
    """
    found: dict[float, int] = {}
    before, last = 0, 0.0
    for bound, count in sorted(below.items()):
        value = 2 * last if bound == float("inf") else bound
        if value and round(count) > before:
            found[value] = round(count) - before
        before, last = max(before, round(count)), bound
    return found


def _text(labels: dict[str, str]) -> str:
    return ",".join(f'{key}="{text}"' for key, text in labels.items())


def is_about(labels: dict[str, str], number: int, case: Question) -> bool:
    """Whether an alert with these labels is the one that a case of a world is about."""
    # What Prometheus fills in is known to it alone.
    fixed = {name: text for name, text in case.rule["labels"].items() if "{{" not in text}
    rule = {**fixed, names.SERVICE: f"scene-{number}"}
    same = labels["alertname"] == case.rule["alert"] and labels.get(names.SCOPE) == rule.get(names.SCOPE)
    return same and rule.items() <= labels.items()


async def firing(session: aiohttp.ClientSession, url: str) -> list[dict[str, str]]:
    """The labels of every alert that fires in a Prometheus."""
    async with session.get(f"{url}/api/v1/query", params={"query": 'ALERTS{alertstate="firing"}'}) as response:
        return [one["metric"] for one in (await response.json())["data"]["result"]]


async def eventually_firing(url: str, wanted: Sequence[tuple[int, Question]]) -> None:
    """Wait until every wanted alert has fired, each at any time."""
    missing = dict.fromkeys(range(len(wanted)))
    async with aiohttp.ClientSession() as session:

        async def nothing_is_missing() -> bool:
            found = await firing(session, url)
            for position in list(missing):
                number, case = wanted[position]
                if any(is_about(labels, number, case) for labels in found):
                    del missing[position]
            return not missing

        try:
            await eventually(nothing_is_missing, "all fire", PATIENCE_SECONDS)
        except AssertionError:
            found = [
                f"{wanted[position][1].rule['alert']} {wanted[position][1].rule['labels']}" for position in missing
            ]
            raise AssertionError(f"never fired: {found}") from None
