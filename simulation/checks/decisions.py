"""What may be written: each entry of the journal, looked at when it is appended."""

from canary import names
from canary.rollout.entries import (
    Advanced,
    Entry,
    FinishReturned,
    Held,
    Promoted,
    Resumed,
    RollbackDecided,
    RolledBack,
)
from canary.rollout.kinds import Cause
from canary.rollout.state import Rollout
from canary.testing.loop import MACHINE, Machine
from simulation.checks.promises import IN_FLIGHT_SECONDS, RATE, Promises, just_woken, moment
from simulation.network import SLOW_SECONDS

# How old Alertmanager's word may be: `receiver.repeat`, what repetitions may come late, and the clock's rate.
_KEY_SECONDS = 20.0 + 15.0 + 3.0
# How old Prometheus' word may be: five seconds, until the entry has arrived in a slow journal.
_ANSWER_SECONDS = 5.0 + 5.0 + 4.0
# A hold ends after three looks, five seconds apart, that show nothing wrong.
_CLEAR_SECONDS = 8.0


class Decisions(Promises):
    """What may be written: each entry of the journal, looked at when it is appended."""

    def written(self, entry: Entry, before: Rollout | None) -> None:
        """An entry has been appended to what was *before*."""
        machine = MACHINE.get()
        if machine is None or just_woken(machine):
            self._heard_nothing(entry, machine)
            return
        self._seen(entry, before)
        match entry:
            case Advanced() | Promoted() if entry.actor == "alertmanager":
                self._confirmed(entry, before, machine)
            case RollbackDecided() if _ends_countdown(entry):
                self._counted_down(entry)
            case RollbackDecided() if entry.actor in ("alertmanager", "prometheus", "receiver"):
                self._justified(entry, entry.cause, machine, then_seconds=self.policy.receiver.watchdog.then)
            case Held() if entry.actor in ("alertmanager", "prometheus", "receiver"):
                self._justified(entry, entry.cause, machine, then_seconds=0.0)
            case Resumed() if entry.actor == "receiver":
                self._beating(entry, before, machine)
            case Resumed() if entry.actor == "prometheus":
                self._cleared(entry, before)
            case Advanced() | Promoted() if entry.request in self.truth.typed:
                self._evaluated(entry)
            case RolledBack():
                self._complete(entry)
            case _:
                pass

    def _heard_nothing(self, entry: Entry, machine: Machine | None) -> None:
        """What a receiver decides when it wakes was due before it was stopped, or is no silence."""
        watchdog = self.policy.receiver.watchdog
        if machine is None or not isinstance(entry, RollbackDecided | Held) or entry.cause != Cause.WATCHDOG:
            return
        then_seconds = watchdog.then if isinstance(entry, RollbackDecided) else 0.0
        stopped_at = moment() if machine.paused_at is None else machine.paused_at
        # What came meanwhile was not heard yet.
        silence = max(0.0, stopped_at - self.truth.heard.get(machine.name, float("-inf")))
        if silence < (watchdog.timeout + then_seconds) * RATE - IN_FLIGHT_SECONDS:
            self.fail(
                "what a stopped receiver did not hear is no silence",
                f"{entry.label}: {silence:.1f}s without a heartbeat when it was stopped",
            )

    def acted(self, entry: RollbackDecided, machine: Machine) -> None:
        """A receiver acts upon a decision that the journal has not taken."""
        if just_woken(machine):
            return
        # That somebody has ended the countdown at another receiver is not known while the journal takes nothing.
        if _ends_countdown(entry) and entry.rollout in self.truth.counting:
            self._counted_down(entry)
        if entry.cause == Cause.WATCHDOG:
            self._justified(entry, entry.cause, machine, then_seconds=self.policy.receiver.watchdog.then)

    def _seen(self, entry: Entry, before: Rollout | None) -> None:
        saw = self.truth.typed.get(entry.request)
        if saw is None:
            return
        rollout, _, decision = saw.partition("/")
        # Where everybody was well before is always a way back, whatever step was taken meanwhile.
        retreats = isinstance(entry, Held | RollbackDecided | FinishReturned)
        now = ("none", 0) if before is None else (before.id, before.decision)
        same = rollout == now[0] and (retreats or int(decision) == now[1])
        if not same:
            self.fail(
                "a command is about what its author saw",
                f"{entry.label} by {entry.actor}, who saw {saw}, came upon {now[0]}/{now[1]}",
            )

    def _confirmed(self, entry: Entry, before: Rollout | None, machine: Machine) -> None:
        promise = "the weight rises only with both confirmations, and in its time"
        if before is None:
            self.fail(promise, f"{entry.label} without a rollout")
            return
        about, now = (before.id, before.phase), moment()
        heard = self.truth.confirmed.get((machine.name, *about))
        shown = self.truth.complete_at.get(about)
        lasted = now - self.truth.phase_since.get(about, now)
        what = f"phase {before.phase + 1} of {before.id} ended"
        if heard is None or now - heard > _KEY_SECONDS:
            self.fail(promise, f"{what}, and {machine.name} had no word of Alertmanager")
        elif shown is None or now - shown > _ANSWER_SECONDS:
            self.fail(promise, f"{what}, and Prometheus did not show it complete")
        elif lasted < before.duration_seconds * RATE - SLOW_SECONDS:  # it begins when it is decided
            self.fail(promise, f"{what} after {lasted:.1f}s")

    def _justified(self, entry: Entry, cause: str, machine: Machine, *, then_seconds: float) -> None:
        now = moment()
        if cause == Cause.WATCHDOG:
            if entry.rollout in self.truth.acted:
                return  # looked at when it was acted upon, before the journal could take it
            silence = now - self.truth.heard.get(machine.name, float("-inf"))
            limit = (self.policy.receiver.watchdog.timeout + then_seconds) * RATE
            if silence < limit:
                self.fail("only silence is silence", f"{entry.label} after {silence:.1f}s without a heartbeat")
        elif cause == Cause.BY_HAND:
            # A receiver that lowered without the journal looks like a person to the others.
            if not self.truth.lowered_by_hand and entry.rollout not in self.truth.acted:
                self.fail("by hand means by hand", f"{entry.rollout} is held, and nobody has touched a router")
        elif cause not in (Cause.MAX_DURATION, Cause.SERVERS):
            about = (cause, entry.rollout)
            if about not in self.truth.fired and about not in self.truth.forged:
                self.fail(
                    "facts of one rollout never decide another",
                    f"{entry.label} of {entry.rollout} for {cause}, which never fired for it",
                )

    def _counted_down(self, entry: Entry) -> None:
        if entry.rollout in self.truth.acted:
            return  # looked at when it was acted upon, before the journal could take it
        began = self.truth.counting.get(entry.rollout, moment())
        lasted = moment() - began
        if lasted < self.policy.rollback.countdown * RATE - 0.5:
            self.fail(
                "a countdown leaves people their time", f"{entry.rollout} is rolled back {lasted:.1f}s after it began"
            )

    def _beating(self, entry: Entry, before: Rollout | None, machine: Machine) -> None:
        if before is not None and before.cause == Cause.SERVERS:
            return
        silence = moment() - self.truth.heard.get(machine.name, float("-inf"))
        if silence > self.policy.receiver.watchdog.timeout / RATE + IN_FLIGHT_SECONDS:
            self.fail("only a heartbeat ends a hold for its absence", f"{entry.label} after {silence:.1f}s")

    def _cleared(self, entry: Entry, before: Rollout | None) -> None:
        self._evaluated(entry)
        cause = "" if before is None else before.cause
        fired = self.truth.fired.get((cause, entry.rollout), float("-inf"))
        # Whoever silences a hold by its action says that it does not count.
        if any(moment() - until < _CLEAR_SECONDS for _, until in self.truth.silenced["hold"]):
            return
        if moment() - fired < _CLEAR_SECONDS and (cause, entry.rollout) not in self.truth.forged:
            self.fail(
                "a hold ends when its cause is gone",
                f"{entry.rollout} goes on, {cause} fired {moment() - fired:.1f}s ago",
            )

    def _evaluated(self, entry: Entry) -> None:
        beat = moment() - self.truth.fired.get((names.WATCHDOG, ""), float("-inf"))
        if beat > _ANSWER_SECONDS:
            self.fail(
                "an empty answer says nothing",
                f"{entry.label} of {entry.rollout}, {beat:.1f}s after the rules were evaluated",
            )

    def _complete(self, entry: Entry) -> None:
        customers = [router.name for router in self.routers if router.split.weight_ratio > 0 and router.claims is None]
        if customers and self.healthy_since is not None and moment() - self.healthy_since > IN_FLIGHT_SECONDS:
            self.fail(
                "a rollback is complete when it is",
                f"{entry.rollout} is called complete, {', '.join(customers)} not at 0%",
            )


def _ends_countdown(entry: RollbackDecided) -> bool:
    return entry.actor == "receiver" and entry.cause != Cause.WATCHDOG
