"""A Prometheus in memory: a store of samples with real staleness, alerts with `for`, and the API that is asked.

What is modelled is what decisions hang on: a series that a target no longer shows ends at its next scrape, unless
Prometheus was restarted in between; then it is answered for five minutes more. Rules are functions of the store, given
by whoever uses it. `tests/simulation` runs it side by side with the real program.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from canary import names
from canary.testing.clock import EPOCH
from canary.testing.http import Answer, Parameters
from canary.timing.times import to_text

LOOKBACK_SECONDS = 300.0
"""How long a series without a newer sample is answered: Prometheus' `--query.lookback-delta`."""

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A metric's name and its labels, sorted."""

_FIRED = re.compile(r'rollout="([^"]*)"\}\[(\d+)s\]')


def key(name: str, labels: Mapping[str, str]) -> Key:
    """The identity of a series."""
    return name, tuple(sorted(labels.items()))


@dataclass(frozen=True)
class Series:
    """The newest sample of a series, by the time of Prometheus."""

    labels: Mapping[str, str]
    value: float
    at: float


@dataclass(frozen=True)
class Rule:
    """An alerting rule.

    Attributes:
        labels: what it adds.
        found: the label sets for which its expression has a value.
        hold_seconds: its `for`.
    """

    name: str
    labels: Mapping[str, str]
    found: Callable[["MemoryPrometheus"], Iterable[Mapping[str, str]]]
    hold_seconds: float = 0.0


@dataclass
class Active:
    """An alert that is pending or fires.

    Attributes:
        since: when its expression began to have a value.
    """

    labels: Mapping[str, str]
    since: float
    firing: bool = False


class MemoryPrometheus:
    """Scrapes, evaluates and answers when it is told to.

    Args:
        time: gives Prometheus' own clock, in seconds.
        rules: in the order in which they are evaluated; each sees what those before it have just found.
    """

    def __init__(self, time: Callable[[], float], rules: Iterable[Rule] = ()) -> None:
        self.rules = list(rules)
        self.active: dict[Key, Active] = {}
        self.last_fired: dict[Key, float] = {}
        self._time = time
        self._samples: dict[str, dict[Key, Series]] = {}
        self._shown: dict[str, set[Key]] = {}

    # What it takes in.

    def scrape(self, target: str, samples: Iterable[tuple[str, Mapping[str, str], float]] | None) -> None:
        """Take what a target shows; None when it cannot be scraped: then all its series end."""
        now, shown = self._time(), set()
        for name, labels, value in samples or ():
            own = {**labels, "instance": target}
            identity = key(name, own)
            shown.add(identity)
            self._samples.setdefault(name, {})[identity] = Series(own, value, now)
        for gone in self._shown.get(target, set()) - shown:
            self._samples[gone[0]].pop(gone, None)
        self._shown[target] = shown

    def restart(self) -> None:
        """Forget what each target has shown and since when alerts are pending; the samples stay.

        Prometheus restores the `for` of alerts from `ALERTS_FOR_STATE`; those that were firing are pending again for a
        moment at least. Here they restart, which is the worse of the two.
        """
        self._shown.clear()
        self.active.clear()

    def evaluate(self) -> None:
        """Evaluate all rules once."""
        now, found_now = self._time(), set()
        for rule in self.rules:
            for found in rule.found(self):
                labels = {**found, **rule.labels, "alertname": rule.name}
                identity = key(rule.name, labels)
                found_now.add(identity)
                alert = self.active.setdefault(identity, Active(labels, now))
                alert.firing = now - alert.since >= rule.hold_seconds
                if alert.firing:
                    self.last_fired[identity] = now
            # What this rule does not find any more is over before the next rule looks.
            for identity in [one for one in self.active if one[0] == rule.name and one not in found_now]:
                del self.active[identity]

    # What it is asked.

    def series(self, name: str) -> Iterator[Series]:
        """The series of a metric that it would answer now."""
        oldest = self._time() - LOOKBACK_SECONDS
        return (one for one in self._samples.get(name, {}).values() if one.at > oldest)

    def alerts(self, *, firing: bool = False) -> list[Mapping[str, str]]:
        """The labels of what is pending or fires, or of what fires."""
        return [alert.labels for alert in self.active.values() if alert.firing or not firing]

    async def answer(self, path: str, parameters: Parameters) -> Answer:
        """The API, as far as the services ask it."""
        match path.removeprefix("/api/v1/"):
            case "alerts":
                return _success({"alerts": [self._alert(alert) for alert in self.active.values()]})
            case "query":
                return _success({"resultType": "vector", "result": list(self._query(dict(parameters)["query"]))})
            case "query_range":
                return _success({"resultType": "matrix", "result": []})
            case _:
                return Answer(404)

    def _alert(self, alert: Active) -> dict[str, object]:
        return {
            "labels": dict(alert.labels),
            "annotations": {},
            "state": "firing" if alert.firing else "pending",
            "activeAt": to_text(EPOCH + timedelta(seconds=alert.since)),
        }

    def _newest(self, name: str, *source: str) -> Iterator[Series]:
        """Of a metric, what each source's newest scrape has shown."""
        found = list(self.series(name))
        at: dict[tuple[str, ...], float] = {}
        for one in found:
            of = tuple(one.labels.get(label, "") for label in source)
            at[of] = max(at.get(of, 0.0), one.at)
        return (one for one in found if one.at == at[tuple(one.labels.get(label, "") for label in source)])

    def _query(self, expression: str) -> Iterator[dict[str, object]]:
        """The questions that decide: which rollback alerts of a rollout have fired, and which policies are in use."""
        if names.POLICY_INFO in expression:
            for one in self._newest(names.POLICY_INFO, names.COMPONENT, "instance"):
                yield {"metric": dict(one.labels), "value": [self._time(), str(one.value)]}
            return
        asked = _FIRED.search(expression)
        if asked is None:
            return
        now, rollout, seconds = self._time(), asked[1], float(asked[2])
        for (name, labels), at in self.last_fired.items():
            texts = dict(labels)
            about = texts.get("rollout") == rollout and texts.get("action") == "rollback" and now - at <= seconds
            beating = name == "CanaryWatchdog" and now - at <= LOOKBACK_SECONDS
            if about or beating:
                yield {"metric": {**texts, "alertstate": "firing"}, "value": [now, "1"]}


def _success(data: object) -> Answer:
    return Answer(body={"status": "success", "data": data})
