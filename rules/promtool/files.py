"""promtool test files for a policy's own rules: for every alert, when it fires, when it just does not, and why."""

import math
from collections.abc import Callable, Iterable, Iterator

from canary.policy import Policy
from canary.prometheus.labels import rollout_series
from canary.prometheus.promql import ALERTS, inputs
from canary.units import format_duration, parse_duration
from rules.promtool import against_stable, experiments, guard, health, kpis, phases, ranges, technical
from rules.promtool.case import Case, Rule, Trial
from rules.promtool.guard import without
from rules.promtool.recipe import Change, Recipe, after, nothing, step_for
from rules.promtool.render import render
from rules.promtool.world import EXISTENCE, World

# Two scrapes after the last change everything has settled.
_MARGIN = 3


def tests(policy: Policy, rules: Iterable[Rule]) -> list[Trial]:
    """Everything that is tested of these alert rules; recipes of one scene share their worlds."""
    rules = list(rules)
    alerts = [rule for rule in rules if "alert" in rule]
    found: dict[tuple[str, float, str], list[tuple[Recipe, Rule]]] = {}
    for recipe in recipes(policy):
        for rule in alerts:
            if _fits(recipe, rule):
                step = step_for(recipe.window, 0 if recipe.coarse else hold_of(rule))
                found.setdefault((recipe.scene, step, recipe.state), []).append((recipe, rule))
    return [
        test for (scene, step, _), pairs in found.items() for test in _Scene(policy, scene, step, pairs, rules).tests()
    ]


def _read_by(alerts: list[Rule], every: list[Rule]) -> set[str] | None:
    """The series that alerts need to be tested, so that tests are short; None when they look at other alerts too."""
    found = inputs(alerts, every)
    return None if ALERTS in found else found


def recipes(policy: Policy) -> Iterator[Recipe]:
    """All recipes for a policy."""
    signals = policy.signals
    native = signals.preset == "application" and signals.histograms == "native"
    for module in (technical, against_stable, kpis, guard, ranges, experiments, health, phases):
        yield from (recipe for recipe in module.recipes(policy) if not (native and recipe.histogram))


def hold_of(rule: Rule) -> float:
    """Seconds for which a rule's condition must hold."""
    return parse_duration(rule.get("for", "0s"))


def _fits(recipe: Recipe, rule: Rule) -> bool:
    labels = rule["labels"]
    return rule["alert"] == recipe.alert and all(labels.get(key, "") == value for key, value in recipe.match.items())


def _earlier(world: World) -> None:
    world.of_earlier_rollout()


def _any(_recipe: Recipe) -> bool:
    return True


class _Scene:
    """Recipes that are tested in the same worlds."""

    def __init__(
        self, policy: Policy, name: str, step: float, pairs: list[tuple[Recipe, Rule]], every: list[Rule]
    ) -> None:
        self._policy = policy
        self._name = name
        self._step = step
        self._pairs = pairs
        self._every = every
        self._read = _read_by([rule for _, rule in pairs], every)
        window = max(recipe.window for recipe, _ in pairs)
        self._begin = math.ceil(window / step) + 1
        self._always = pairs[0][0].state == "always"

    def tests(self) -> Iterator[Trial]:
        yield self._test("beyond", self._everyone("beyond"), self._firing("fires"))
        if self._always:
            return
        yield self._test("at the limit", self._everyone("limit"), self._silent("limit"))
        yield self._test("a missed scrape", after(self._everyone("beyond"), self._miss), self._after_miss())
        inputs = {metric for recipe, _ in self._pairs for metric in recipe.inputs}
        if inputs:
            yield self._test(
                "absent series",
                after(self._everyone("beyond"), without(*inputs)),
                self._silent("absent", having=lambda recipe: bool(recipe.inputs)),
            )
        if told := list(self._of_earlier()):
            yield self._test("what was said of an earlier rollout", after(self._everyone("beyond"), _earlier), told)
        if any(recipe.few for recipe, _ in self._pairs):
            yield self._test("low traffic", self._everyone("few"), self._silent("few", lambda recipe: bool(recipe.few)))
            yield self._test(
                "a counter reset",
                after(self._everyone("beyond"), lambda world: world.reset(self._begin - 1)),
                self._firing("reset", lambda recipe: bool(recipe.few)),
            )
        yield from self._single()

    def _of_earlier(self) -> Iterator[Case]:
        """Whatever an earlier rollout left behind makes no alert about this one fire, and answers for nothing."""
        for recipe, rule in self._pairs:
            if inputs([rule], self._every) & rollout_series() - EXISTENCE:
                yield self._case("earlier", recipe, rule, self._when(rule), fires=recipe.missing)

    def _single(self) -> Iterator[Trial]:
        for recipe, rule in self._pairs:
            for kind, changes, fires in (("also", recipe.also, True), ("quiet", recipe.quiet, False)):
                for name, change in changes.items():
                    case = self._case(kind, recipe, rule, self._when(rule), fires=fires)
                    yield self._test(f"{rule['alert']}: {name}", change, [case])

    def _everyone(self, what: str) -> Change:
        return after(*(getattr(recipe, what) or nothing for recipe, _ in self._pairs))

    def _miss(self, world: World) -> None:
        world.miss(self._begin + 1)

    def _when(self, rule: Rule) -> int:
        return self._begin + math.ceil(round(hold_of(rule) / self._step, 6))

    def _case(self, kind: str, recipe: Recipe, rule: Rule, index: int, *, fires: bool) -> Case:
        return Case(kind, rule, recipe, index * self._step, fires)

    def _firing(self, kind: str, having: Callable[[Recipe], bool] = _any) -> list[Case]:
        cases = []
        for recipe, rule in self._pairs:
            if not having(recipe):
                continue
            when = self._when(rule)
            if not self._always:
                cases.append(self._case("before", recipe, rule, when - 1, fires=False))
            cases.append(self._case(kind, recipe, rule, when, fires=True))
        return cases

    def _silent(self, kind: str, having: Callable[[Recipe], bool] = _any) -> list[Case]:
        return [
            self._case(kind, recipe, rule, self._when(rule) + 1, fires=False)
            for recipe, rule in self._pairs
            if having(recipe)
        ]

    def _after_miss(self) -> list[Case]:
        """A scrape is missed just after the beginning; then everything that waits, waits anew."""
        return [self._case("missed", recipe, rule, self._when(rule) + 2, fires=True) for recipe, rule in self._pairs]

    def _test(self, name: str, change: Change, cases: list[Case]) -> Trial:
        longest = max(self._when(rule) for _, rule in self._pairs)
        world = World(self._policy, step=self._step, begin=self._begin, count=longest + _MARGIN + 1)
        if self._pairs[0][0].state not in ("", "always", "phase"):
            world.state(self._pairs[0][0].state)
        change(world)
        if self._read is not None:
            world.keep(self._read)
        return Trial(f"{self._name}: {name}", world, cases)


def test_files(policy: Policy, rules: Iterable[Rule], rule_files: list[str]) -> dict[str, str]:
    """promtool's test files by name; all tests of one file are evaluated at the same interval."""
    by_step: dict[float, list[Trial]] = {}
    for test in tests(policy, rules):
        by_step.setdefault(test.world.step, []).append(test)
    return {
        f"every-{format_duration(step)}.rules.test.yml": render(found, rule_files, step)
        for step, found in sorted(by_step.items())
    }
