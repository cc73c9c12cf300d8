"""The shop: customers who are where the routers send them, and the exporter that judges by what they do.

The judge itself is not simulated: what decisions need of it is a verdict about one rollout, published under its id,
some time after the customers have met what is wrong.
"""

from collections.abc import Iterator, Mapping, Sequence

from canary import names
from canary.testing.routers import MemoryRouter
from simulation.stories.story import SERVICE
from simulation.truth import Truth

Sample = tuple[str, Mapping[str, str], float]

# How long customers must have been on a bad canary before it shows.
_SHOWS_SECONDS = 6.0
# How long errors are seen after the last customer has left: the window of the rate.
_WINDOW_SECONDS = 10.0

ERRORS = "shop_error_ratio"


class Shop:
    """Where the customers are.

    Attributes:
        step_seconds: how often `pass_time` is called.
    """

    step_seconds = 1.0

    def __init__(self, truth: Truth, routers: Sequence[MemoryRouter]) -> None:
        self._truth = truth
        self._routers = routers
        self._seen: dict[str, float] = {}
        self._now = 0.0

    def pass_time(self, now: float) -> None:
        """Count who is where."""
        self._now = now
        for rollout in {router.split.rollout for router in self._routers if router.split.weight_ratio > 0}:
            known = self._truth.rollouts.get(rollout)
            if known is not None:
                self._truth.exposed[rollout] += self.step_seconds
                self._seen[known.canary] = now

    def technical(self) -> Iterator[Sample]:
        """Error ratios by version, of versions that had requests lately."""
        for version, at in self._seen.items():
            if self._now - at <= _WINDOW_SECONDS:
                yield ERRORS, {names.VERSION: version}, 0.3 if self._truth.wrong.get(version) == "errors" else 0.0

    def judged(self) -> Iterator[Sample]:
        """The exporter's page: the verdict about the rollout that runs."""
        yield names.DATABASE_UP, {names.SERVICE: SERVICE}, 1.0
        rollout = self._truth.newest
        if rollout is None or not rollout.running:
            return
        seen = self._truth.exposed[rollout.id] > _SHOWS_SECONDS
        bad = self._truth.wrong.get(rollout.canary) == "kpi"
        verdict = ("fail" if bad else "pass") if seen else "hold"
        for one in names.VERDICTS:
            about = {names.SERVICE: SERVICE, names.ROLLOUT: rollout.id, names.VERDICT: one}
            yield names.KPI_VERDICT, {**about, names.KPI: "conversion_rate"}, float(one == verdict)
