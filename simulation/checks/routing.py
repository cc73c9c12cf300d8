"""Where the traffic may go: each change of a router, and once a second whether the world follows."""

from canary.policy.routers.slots import Slot, other
from canary.process.manager import ProcessState
from canary.rollout.state import UNFINISHED, Rollout, State
from canary.routers.base import Split
from canary.testing.loop import MACHINE
from canary.testing.routers import MemoryRouter
from simulation.checks.promises import IN_FLIGHT_SECONDS, Promises, just_woken, moment
from simulation.stories.slots import seen_from
from simulation.truth import wanted_of

# From the moment when a receiver hears of a rollback until the routers have it, a hanging journal notwithstanding: a
# quarter of a second of patience, and the way to the router. The look comes once a second.
_LOWERED_SECONDS = 4.0
# From the end of the last fault until everything is as the journal wants it: a leader is found, a look is taken.
_HEALS_SECONDS = 40.0


# A look a second at the time, after a statement or two that PostgreSQL does not answer, and the way to the routers.
_UNWATCHED_SECONDS = 15.0


class Routing(Promises):
    """Where the traffic may go: each change of a router, and once a second whether the world follows."""

    def routed(self, router: MemoryRouter, before: Split) -> None:
        """A receiver has changed a router; None of them may have put customers onto a canary on its own."""
        machine = MACHINE.get()
        if machine is None:
            return
        # With slots the same number is another division of traffic once the roles have changed.
        # Which they are, an older journal does not know of a rollout that began since.
        known = router.split.rollout in self.truth.rollouts or router.split.rollout != before.rollout
        stable = self.truth.stable_slot if known else router.split.stable_slot
        before, now = (seen_from(split, stable) for split in (before, router.split))
        if now.weight_ratio < before.weight_ratio and not just_woken(machine):
            self._returned(router, before, now)
        if now.weight_ratio == 0:
            return
        if now.rollout == before.rollout and now.weight_ratio <= before.weight_ratio:
            return
        if just_woken(machine):
            return
        moved = f"from {before.weight_ratio:.0%} to {now.weight_ratio:.0%} of {now.rollout}"
        what = f"{machine.name} set {router.name} {moved}"
        if (now.rollout, now.weight_ratio) not in self.truth.wanted_within(IN_FLIGHT_SECONDS):
            self.fail("nobody raises what the journal does not want", what)
        elif not self.lock.lately(machine, IN_FLIGHT_SECONDS):
            self.fail("at most one receiver raises", f"{what}, and did not lead")
        elif now.weight_ratio > self.obeyed.get(router.name, 1.0):
            self.fail("whoever lowers is obeyed", f"{what}, which somebody had lowered")
        elif now.rollout in self.truth.acted:
            self.fail("nothing lowered is raised by a restart", what)

    def _returned(self, router: MemoryRouter, before: Split, now: Split) -> None:
        """A receiver has moved customers to the stable servers: do these run what the customers are to have?"""
        rollout = self.truth.rollouts.get(before.rollout)
        if rollout is None and self.truth.stable_slot is not None:
            rollout = self.truth.newest  # a router with slots that has forgotten everything has sent them there
        if rollout is None or rollout is not self.truth.newest or self.restored:
            return  # an older journal does not know what was deployed since
        # Whoever rolls back without the journal does not know of a finish since; the old version is still there.
        finishing = rollout.state in (State.FINISHING, State.FINISHED) and rollout.id not in self.truth.acted
        version = rollout.canary if finishing else rollout.stable
        if self.fleet.stable != version:
            self.fail(
                "traffic never moves to servers of another version than the one that it is to get",
                f"{router.name} has {now.weight_ratio:.0%} of {rollout.id}, which is {rollout.state.value}; "
                f"the stable servers run {self.fleet.stable}",
            )

    def stopping(self, slot: Slot) -> None:
        """A receiver tells the canary's process to stop; without slots, that of slot b."""
        machine, rollout = MACHINE.get(), self.truth.newest
        if machine is None or rollout is None or just_woken(machine):
            return
        if slot == self.truth.stable_slot:
            self.fail("no process of a stable server is stopped", f"{machine.name} stops slot {slot}'s in {rollout.id}")
        if rollout.running or (rollout.state in UNFINISHED and not rollout.leaving):
            self.fail(
                "no process of a new canary is stopped by an old rollout", f"{machine.name} stops it in {rollout.id}"
            )

    def look(self) -> None:
        """Once a second: does the world follow, and is what is bad gone?"""
        self._lowered()
        self._watched()
        if self.healthy_since is None or moment() - self.healthy_since < _HEALS_SECONDS:
            return
        wanted, since = wanted_of(self.truth.newest), moment() - _HEALS_SECONDS
        if len(self.truth.wanted_within(moment() - since)) > 1:
            return
        for router in self.routers:
            has = seen_from(router.split, self.truth.stable_slot).weight_ratio
            follows = has == wanted[1] and (has == 0 or router.split.rollout == wanted[0])
            if not follows:
                self.fail(
                    "the routers follow the journal",
                    f"{router.name} has {has:.0%} of {router.split.rollout}, {wanted[1]:.0%} of {wanted[0]} is wanted",
                )

    def _watched(self) -> None:
        """Nobody stays on a canary that nobody watches, whether or not somebody leads; a dry run only says so."""
        blind = set() if self.policy.rollback.dry_run else self.blind()
        self.blind_since = {one: self.blind_since.get(one, moment()) for one in blind}
        for (host, rollout), since in self.blind_since.items():
            if moment() - since < _UNWATCHED_SECONDS or self.rough_since > since or rollout in self.truth.overridden:
                continue
            if any(router.split.rollout == rollout and router.split.weight_ratio > 0 for router in self.routers):
                self.fail(
                    "nobody stays on a canary that nobody watches",
                    f"{host} has had to roll {rollout} back for {moment() - since:.1f}s",
                )

    def _lowered(self) -> None:
        """Nothing that can hang stands between a rollback that was asked for and the routers."""
        now, rollback = moment(), self.policy.rollback
        for (host, rollout), since in list(self.truth.asked.items()):
            if now - since < _LOWERED_SECONDS:
                continue
            del self.truth.asked[host, rollout]
            known = self.truth.rollouts.get(rollout)
            may = rollback.automatic and not rollback.dry_run and not rollback.countdown
            if not may or known is None or self.rough_since > since or rollout in self.truth.overridden:
                continue
            for router in self.routers:
                if (
                    router.split.rollout == rollout
                    and router.split.weight_ratio > 0
                    and known.state is not State.PROMOTED
                ):
                    self.fail(
                        "traffic first",
                        f"{router.name} has customers {now - since:.1f}s after {host} was asked to roll back {rollout}",
                    )

    def ended(self, rollout: Rollout | None, wrong: str, *, undisturbed: bool) -> None:
        """The last rollout is over: as it should be?"""
        if rollout is None:
            self.fail("a rollout can be started", "none was")
            return
        process = self.processes[other(rollout.stable_slot or "a")]
        bad = bool(wrong) and not self.policy.rollback.dry_run
        if bad and rollout.state is State.PROMOTED and rollout.id not in self.truth.overridden:
            self.fail("a harmful canary is gone in time", f"{rollout.id} is {rollout.state.value}")
        elif not wrong and undisturbed and rollout.state is not State.PROMOTED:
            self.fail(
                "a healthy canary in a healthy world is promoted in time",
                f"{rollout.id} is {rollout.state.value}: {rollout.reason}",
            )
        elif rollout.state is State.ROLLED_BACK and process.now is not ProcessState.STOPPED:
            self.fail("a rollback stops the canary's process", f"it is {process.now.value}")
