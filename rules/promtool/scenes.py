"""What is expected of a row's alert at which moment, the same for every alert.

| world | expected |
|---|---|
| beyond | silent a step before its time, then firing |
| at the limit | silent |
| beyond, a scrape is missed | firing, when it has waited anew |
| beyond, without its inputs | silent: missing series are another alert's business |
| beyond, told of an earlier rollout | silent, or firing where its own rollout's series are what is missing |
| low traffic | silent |
| beyond, counters are reset | firing, as if nothing had been |
| the row's own further reasons | firing, or silent |

Rows of one scene share their worlds: with a world of its own for each row and line, promtool took minutes.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from canary.policy import Policy
from canary.prometheus.labels import rollout_series
from canary.prometheus.promql import ALERTS, inputs
from canary.units import parse_duration
from rules.promtool.row import Change, Row, after, nothing, step_for, without
from rules.promtool.table import rows
from rules.promtool.world import EXISTENCE, World

Rule = Mapping[str, Any]
Pair = tuple[Row, Rule]

# Two scrapes after the last change everything has settled; one more, so that the last question is not the last sample.
_MARGIN = 3


@dataclass(frozen=True)
class Question:
    """Whether an alert fires at one moment of one world.

    Attributes:
        kind: what it shows: `fires`, `limit`, `before`, `absent`, `reset`, `missed`, `few`, `also`, `quiet`, `earlier`.
        rule: the alert rule.
        at: seconds after the test's beginning.
        fires: whether it must.
    """

    kind: str
    rule: Rule
    row: Row
    at: float
    fires: bool


@dataclass(frozen=True)
class Scenario:
    """One world and what is asked in it."""

    name: str
    world: World
    questions: list[Question] = field(default_factory=list)


def scenarios(
    policy: Policy, rules: Iterable[Rule], *, complete: bool = False, margin: int = _MARGIN
) -> list[Scenario]:
    """Everything that is asked of these rules' alerts.

    Args:
        complete: worlds have all series, and not only those that the alerts read.
        margin: scrapes after the last question.
    """
    rules = list(rules)
    found: dict[tuple[str, float, str], list[Pair]] = {}
    for row in rows(policy):
        for rule in rules:
            if rule.get("alert") == row.alert and _is_of(rule["labels"], row.match):
                step = step_for(row.window, 0 if row.coarse else hold_of(rule))
                found.setdefault((row.scene, step, row.state), []).append((row, rule))
    return [
        test
        for (name, step, _), pairs in found.items()
        for test in _Scene(policy, name, step, pairs, rules, complete, margin).tests()
    ]


def hold_of(rule: Rule) -> float:
    """Seconds for which a rule's condition must hold."""
    return parse_duration(rule.get("for", "0s"))


def _is_of(labels: Mapping[str, str], match: Mapping[str, str]) -> bool:
    return all(labels.get(key, "") == value for key, value in match.items())


class _Scene:
    """Rows that are tested in the same worlds."""

    def __init__(  # what `scenarios` was asked for, and one of its scenes
        self,
        policy: Policy,
        name: str,
        step: float,
        pairs: list[Pair],
        every: list[Rule],
        complete: bool,
        margin: int,
    ) -> None:
        self._policy, self._name, self._step, self._pairs, self._every = policy, name, step, pairs, every
        self._begin = math.ceil(max(row.window for row, _ in pairs) / step) + 1
        self._count = max(self._when(rule) for _, rule in pairs) + margin + 1
        self._state = pairs[0][0].state
        # Only what the alerts read is written down, so that tests are short; all of it where other alerts count.
        read = inputs([rule for _, rule in pairs], every)
        self._read = None if complete or ALERTS in read else read

    def tests(self) -> Iterator[Scenario]:
        """One scenario per line of the table above."""
        everyone = self._pairs
        beyond = self._each("beyond")
        if self._state == "always":
            yield self._test("beyond", beyond, self._asked("fires", everyone, fires=True))
            return
        yield self._test("beyond", beyond, self._firing("fires", everyone))
        yield self._test("at the limit", self._each("limit"), self._asked("limit", everyone, later=1))
        yield self._missed(beyond)
        if reading := [pair for pair in everyone if pair[0].inputs]:
            absent = after(beyond, without(*{metric for row, _ in reading for metric in row.inputs}))
            yield self._test("absent series", absent, self._asked("absent", reading, later=1))
        if told := [self._question("earlier", *pair, fires=pair[0].missing) for pair in everyone if self._judges(pair)]:
            change = after(beyond, lambda world: world.of_earlier_rollout())
            yield self._test("what was said of an earlier rollout", change, told)
        if counting := [pair for pair in everyone if pair[0].few]:
            yield self._test("low traffic", self._each("few"), self._asked("few", counting, later=1))
            reset = after(beyond, lambda world: world.reset(self._begin - 1))
            yield self._test("a counter reset", reset, self._firing("reset", counting))
        for row, rule in everyone:
            for kind, changes, fires in (("also", row.also, True), ("quiet", row.quiet, False)):
                for name, change in changes.items():
                    asked = [self._question(kind, row, rule, fires=fires)]
                    yield self._test(f"{rule['alert']}: {name}", change, asked)

    def _missed(self, beyond: Change) -> Scenario:
        """The scrape after the first is missed. Who waits long sees it leave the window, and waits anew once more.

        Prometheus 3 leaves the left edge out, so that before the missed scrape is that edge, the window begins with
        it: increase() then extrapolates over half a step only, and what was just proven is not.
        """
        missed = self._begin + 1
        leaving = missed + max(round(row.window / self._step) for row, _ in self._pairs) - 1
        waits = any(row.window and self._when(rule) + 2 >= leaving for row, rule in self._pairs)
        later = leaving + 1 - self._begin if waits else 2
        questions = self._asked("missed", self._pairs, later=later, fires=True)
        return self._test(
            "a missed scrape",
            after(beyond, lambda world: world.miss(missed)),
            questions,
            longer=max(0, later - _MARGIN),
        )

    def _judges(self, pair: Pair) -> bool:
        """Whether the alert reads anything that is said of a rollout, besides that it is there."""
        return bool(inputs([pair[1]], self._every) & rollout_series() - EXISTENCE)

    def _each(self, column: str) -> Change:
        return after(*(getattr(row, column) or nothing for row, _ in self._pairs))

    def _when(self, rule: Rule) -> int:
        """The scrape with which an alert has waited for its time."""
        return self._begin + math.ceil(round(hold_of(rule) / self._step, 6))

    def _question(self, kind: str, row: Row, rule: Rule, *, later: int = 0, fires: bool = False) -> Question:
        return Question(kind, rule, row, (self._when(rule) + later) * self._step, fires)

    def _asked(self, kind: str, pairs: list[Pair], *, later: int = 0, fires: bool = False) -> list[Question]:
        return [self._question(kind, row, rule, later=later, fires=fires) for row, rule in pairs]

    def _firing(self, kind: str, pairs: list[Pair]) -> list[Question]:
        """Silent until it has waited, and then firing."""
        return [
            question
            for row, rule in pairs
            for question in (
                self._question("before", row, rule, later=-1),
                self._question(kind, row, rule, fires=True),
            )
        ]

    def _test(self, name: str, change: Change, questions: list[Question], *, longer: int = 0) -> Scenario:
        world = World(self._policy, step=self._step, begin=self._begin, count=self._count + longer)
        if self._state not in ("", "always", "phase"):
            world.state(self._state)
        change(world)
        if self._read is not None:
            world.keep(self._read)
        return Scenario(f"{self._name}: {name}", world, questions)
