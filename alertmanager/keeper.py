"""Keeping one router at the share that the journal wants: set, read back, repeat, repair."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from alertmanager.bell import Bell
from canary.clock import Clock
from canary.errors import RouterError
from canary.logs import Log
from canary.rollout import Rollout
from canary.routers.base import Observation, Router, Split
from canary.units import format_ratio

_FIRST_BACKOFF_SECONDS = 0.2


def wanted_split(rollout: Rollout | None) -> Split:
    """What a rollout asks of every router; without one, everybody is on stable."""
    if rollout is None:
        return Split("none", 0.0, testers=False)
    return Split(rollout.id, rollout.weight, testers=rollout.running)


class Keeper:
    """Brings one router to the wanted split, and brings it back whenever it is found elsewhere.

    Args:
        wanted: gives the split that is wanted at that moment.
        may_act: whether this receiver may act at that moment; otherwise it only looks.
        on_change: called when the router is confirmed, or known not to follow.
        on_drift: called when it was changed behind our back.
        interval_seconds: how often it is read back while nothing changes.
    """

    def __init__(
        self,
        router: Router,
        *,
        wanted: Callable[[], Split],
        may_act: Callable[[], Awaitable[bool]],
        clock: Clock,
        on_change: Callable[[], None],
        on_drift: Callable[[], None],
        interval_seconds: float,
    ) -> None:
        self.name = router.name
        self.bell = Bell(clock)
        self.error = ""
        self.observation: Observation | None = None
        self.confirmed_at: datetime | None = None
        self._router = router
        self._wanted = wanted
        self._may_act = may_act
        self._clock = clock
        self._on_change = on_change
        self._on_drift = on_drift
        self._interval_seconds = interval_seconds
        self._backoff_seconds = _FIRST_BACKOFF_SECONDS
        self._confirmed: Split | None = None
        self._failed: Split | None = None
        self._set: Split | None = None
        self._log = Log("router")

    def follows(self, split: Split) -> bool:
        """Whether the router was last read with exactly this split in force."""
        return self._confirmed == split

    def tried(self, split: Split) -> bool:
        """Whether the router follows this split, or has failed to."""
        return split in (self._confirmed, self._failed)

    async def run(self) -> None:
        """Keep the router until cancelled."""
        while True:
            await self.bell.wait(await self.step())

    async def step(self) -> float:
        """Look once, and act when needed; gives the seconds after which to look again."""
        wanted = self._wanted()
        try:
            if not await self._may_act():
                await self._watch(wanted)
                return self._interval_seconds
            if wanted == self._confirmed == self._set:
                await self._check(wanted)
            else:
                # Also when the router follows already: what it would have after a restart is set too.
                await self._router.set_weight(wanted)
                self._set = wanted
            await self._observe()
            self._require(wanted)
        except RouterError as error:
            self._fail(wanted, error)
            return self._backoff_seconds
        self._succeed(wanted)
        return self._interval_seconds

    async def _watch(self, wanted: Split) -> None:
        """Another receiver acts: see whether the router follows it."""
        self._set = None
        await self._observe()
        if self.observation is not None and self.observation.agrees(wanted):
            self._succeed(wanted)
        elif self._confirmed is not None:
            self._confirmed = None
            self._on_change()

    async def _check(self, wanted: Split) -> None:
        observation = await self._router.read()
        if not observation.agrees(wanted):
            self._on_drift()
            self._log.warn("changed behind our back", router=self.name, found=observation.detail)
            await self._router.set_weight(wanted)

    async def _observe(self) -> None:
        self.observation = await self._router.read()

    def _require(self, wanted: Split) -> None:
        if self.observation is None or not self.observation.agrees(wanted):
            found = self.observation.detail if self.observation else "nothing"
            raise RouterError(
                f"router {self.name}: expected {format_ratio(wanted.weight_ratio)} in force, found {found}"
            )

    def _fail(self, wanted: Split, error: RouterError) -> None:
        if self.error != str(error):
            self._log.error("router does not follow", exception=error, wanted=wanted.weight_ratio)
        self._backoff_seconds = min(self._backoff_seconds * 2, max(self._interval_seconds, _FIRST_BACKOFF_SECONDS))
        self._confirmed, self._failed, self.error = None, wanted, str(error)
        self._on_change()

    def _succeed(self, wanted: Split) -> None:
        if self._confirmed == wanted:
            return
        self._log.info("router follows", router=self.name, weight=wanted.weight_ratio, rollout=wanted.rollout)
        self._backoff_seconds = _FIRST_BACKOFF_SECONDS
        self._confirmed, self._failed, self.error = wanted, None, ""
        self.confirmed_at = self._clock.now()
        self._on_change()
