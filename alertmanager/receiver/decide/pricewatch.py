"""What a minute of going on costs, kept for people while a rollout runs.

Nothing is decided by it. A person who must choose between going on and going back wants the choice in money, and wants
it next to the state: so the receiver asks Prometheus now and then, and status, page and messages say what it found.
What was not found lately is not said.
"""

from collections.abc import Sequence
from datetime import timedelta

from alertmanager.receiver.wakeup import WakeUp
from canary import names
from canary.errors import RemoteError
from canary.report.review.asking import Asked, Asking
from canary.report.review.money import Compared, Money, money, revenue_kpis
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout
from canary.rollout.store.store import RolloutStore
from canary.timing.clock import Clock

# The bands change with every order, the choice that they inform does not.
_INTERVAL_SECONDS = 15.0
# Increases need some scrapes; a price of the first seconds would be one of nobody.
_EARLIEST = timedelta(seconds=30)


class PriceWatch:
    """Asks for the price of the newest rollout while it runs."""

    def __init__(self, plans: Plans, store: RolloutStore, prometheus: Asked, clock: Clock) -> None:
        self._plans = plans
        self._store = store
        self._prometheus = prometheus
        self._clock = clock
        self._wake_up = WakeUp(clock)
        self._found: tuple[str, Sequence[Money]] = ("", ())

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.step()
            await self._wake_up.wait(_INTERVAL_SECONDS)

    def of(self, rollout: Rollout | None) -> Sequence[Money]:
        """By currency, the price of this very rollout; empty where it is not known, or the rollout is over."""
        about, found = self._found
        return found if rollout is not None and rollout.running and rollout.id == about else ()

    async def step(self) -> None:
        """Ask once."""
        rollout = self._store.rollout
        self._found = ("", ())
        if rollout is None or not rollout.running or self._clock.now() - rollout.started_at < _EARLIEST:
            return
        try:
            self._found = (rollout.id, await self._ask(rollout))
        except RemoteError:
            return  # the alert poller says that Prometheus does not answer

    async def _ask(self, rollout: Rollout) -> Sequence[Money]:
        policy = self._plans.of(rollout)
        kpis = revenue_kpis(policy)
        if kpis is None:
            return ()
        asking = Asking(self._prometheus, rollout.started_at, self._clock.now())
        told = f'{names.SERVICE}="{policy.service}",{names.ROLLOUT}="{rollout.id}",{names.KPI}=~"{"|".join(kpis)}"'
        ends = [
            {
                labels.get(names.KPI, ""): value
                for labels, value in await asking.at_the_end(f"max by ({names.KPI}) ({metric}{{{told}}})")
            }
            for metric in (names.KPI_RELATIVE_CHANGE, names.KPI_RELATIVE_CHANGE_LOWER, names.KPI_RELATIVE_CHANGE_UPPER)
        ]
        changes = {kpi: Compared(*(end[kpi] for end in ends)) for kpi in kpis if all(kpi in end for end in ends)}
        return await money(policy, rollout, asking, changes, rollout.weight)
