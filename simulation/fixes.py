"""The fixes that the simulator is to find undone: each a text of the product's source, and what stood there before."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Revert:
    """One fix undone.

    Attributes:
        file: in which file of the product.
        text: what the fix is there.
        broken: what stands there without it.
    """

    name: str
    file: str
    text: str
    broken: str


_ACT = "alertmanager/receiver/act"
_DECIDE = "alertmanager/receiver/decide"

FIXES = (
    Revert(
        "a decision and its effect are separated by a wait",
        f"{_ACT}/effects.py",
        "            return await self._permission.run(rollout_id, Step.PROCESS, process.stop, still=still)",
        "            return await process.stop()",
    ),
    Revert(
        "an old rollback stops the process of a new canary",
        f"{_ACT}/effects.py",
        "return rollout.leaving and newest is not None and newest.id == rollout.id",
        "return newest is not None",
    ),
    Revert(
        "the outbox looks at the newest rollout only",
        f"{_ACT}/outbox.py",
        "for rollout in reversed(list(self._store.rollouts.values())):",
        "for rollout in list(self._store.rollouts.values())[-1:]:",
    ),
    Revert(
        "the log of rollbacks looks at the newest rollout only",
        f"{_ACT}/reconciler.py",
        "for one in self._store.rollouts.values() if one.state in _ROLLED",
        "for one in list(self._store.rollouts.values())[-1:] if one.state in _ROLLED",
    ),
    Revert(
        "what the author of a command saw is not compared",
        "canary/rollout/store/store.py",
        "if seen is not None and command.looked:",
        "if seen is not None and command.looked and command.lowers:",
    ),
    Revert(
        "two writers may decide from the same past",
        "canary/rollout/store/writer.py",
        "        written = await self._reader.journal.append(entry, after=self._reader.end)",
        "        written = await self._reader.journal.append(entry)",
    ),
    Revert(
        "a list of alerts without the watchdog is believed",
        "canary/prometheus/service.py",
        "if not any(alert.name == names.WATCHDOG for alert in firing):",
        "if False:",
    ),
    Revert(
        "the phase's time is told by the wall clock",
        f"{_DECIDE}/promotion/phasetimer.py",
        "        measured = rollout.timer.elapsed_seconds(self._clock)",
        "        measured = (self._clock.now() - rollout.phase_started_at).total_seconds()",
    ),
    Revert(
        "what another machine has measured is counted twice",
        f"{_DECIDE}/promotion/phasetimer.py",
        "(sight.rollout, sight.phase, sight.timer) != (rollout.id, rollout.phase, rollout.timer)",
        "(sight.rollout, sight.phase) != (rollout.id, rollout.phase)",
    ),
    Revert(
        "silence is measured by the wall clock",
        f"{_DECIDE}/watchdog.py",
        "        return self._pauses.awake_seconds(self._clock.monotonic() - self._silent_since)",
        "        return self._clock.now().timestamp() - (self.heard_at or self._clock.now()).timestamp()",
    ),
    Revert(
        "what a stopped receiver did not hear is silence",
        f"{_DECIDE}/pauses.py",
        "        return age_seconds - paused",
        "        return age_seconds",
    ),
    Revert(
        "an advance does not ask Prometheus",
        f"{_DECIDE}/promotion/promoter.py",
        "        self.waiting = await self._objection(rollout)\n"
        "        if self.waiting:\n            return self._plans.file.receiver.poll\n        if self._person",
        "        self.waiting = None\n        if self._person",
    ),
    Revert(
        "alerts of another rollout count",
        f"{_DECIDE}/alerts/admission.py",
        "if alert.labels[names.ROLLOUT] != rollout.id:",
        "if False:",
    ),
    Revert(
        "a rollback waits for the journal",
        "canary/rollout/store/writer.py",
        "_PATIENCE_SECONDS = 0.25",
        "_PATIENCE_SECONDS = 1e9",
    ),
    Revert(
        "whoever wants may raise",
        f"{_ACT}/permission.py",
        "        return await self._leader.may_act()",
        "        return True",
    ),
    Revert(
        "a router that was changed is left as it is",
        f"{_ACT}/routercontroller.py",
        "if observation.agrees(wanted) and self._set == wanted:",
        "if self._set == wanted:",
    ),
    Revert(
        "what was lowered without a journal is forgotten with the process",
        "canary/rollout/store/marker.py",
        "        return entries\n\n    def keep(",
        "        return []\n\n    def keep(",
    ),
    Revert(
        "what a router says was closed is not believed",
        f"{_ACT}/splits.py",
        "not finishing and closed_untold(observation, wanted, confirmation, rollout):",
        "False:",
    ),
    Revert(
        "reports are made of the newest rollout only",
        f"{_ACT}/reporter.py",
        "for rollout in self._store.rollouts.values() if",
        "for rollout in list(self._store.rollouts.values())[-1:] if",
    ),
    Revert(
        "what the database refuses is told no simpler",
        "canary/rollout/journal/journal.py",
        "        for form in forms(entry):",
        "        for form in (entry,):",
    ),
    Revert(
        "a journal that cannot be is believed",
        f"{_ACT}/trust.py",
        "        return not self.doubt",
        "        return True",
    ),
    Revert(
        "an older journal is read on",
        "canary/rollout/store/reader.py",
        "if not found or found[0].identity != self._last.identity:",
        "if False:",
    ),
    Revert(
        "things are done about a journal in doubt",
        f"{_ACT}/permission.py",
        "        if self._store.fault:",
        "        if False:",
    ),
    Revert(
        "what a person lowered is raised as drift",
        f"{_ACT}/routercontroller.py",
        "        if moved is not None:",
        "        if False:",
    ),
    Revert(
        "a weight that a router cannot have is held",
        f"{_ACT}/reconciler.py",
        "        weight = 1 - rounded_down(1 - weight, finest) if finishing else rounded_down(weight, finest)\n",
        "",
    ),
    Revert(
        "silence waits for a leader",
        f"{_DECIDE}/deadlines.py",
        "        if self._leader.unknown:",
        "        if False:",
    ),
    Revert(
        "an alert that a person has overruled keeps a hold",
        f"{_DECIDE}/alerts/alertpoller.py",
        "        wrong = [alert for alert in wrong if not self._handler.does_nothing(rollout, alert)]",
        "",
    ),
    Revert(
        "early messages share a key",
        f"{_ACT}/outbox.py",
        "{entry.seq or early_key(entry)}",
        "{entry.seq}",
    ),
    Revert(
        "a hold ends after one look",
        f"{_DECIDE}/alerts/alertpoller.py",
        "_CLEAR_LOOKS = 3",
        "_CLEAR_LOOKS = 1",
    ),
    Revert(
        "slots: the process of the stable slot is stopped",
        f"{_ACT}/effects.py",
        '        return self._slot_processes.get(other(stable or "a"), self._process)',
        '        return self._slot_processes.get(stable or "a", self._process)',
    ),
    Revert(
        "slots: the roles stay as they were at the start",
        f"{_ACT}/splits.py",
        "        stable_slot=rollout.stable_slot,",
        "        stable_slot=rollout.first_stable_slot,",
    ),
    Revert(
        "life: a freeze that a person has begun is not known",
        f"{_DECIDE}/freezes.py",
        "        if self._begun is not None and now < self._begun.until:",
        "        if self._begun is not None and now > self._begun.until:",
    ),
    Revert(
        "life: a rollout begins in a change freeze",
        f"{_DECIDE}/commands.py",
        "        if not request.force:\n            self._freezes.require_none(",
        "        if request.force:\n            self._freezes.require_none(",
    ),
    Revert(
        "life: no silence is obeyed",
        "canary/prometheus/silences.py",
        "        return bool(self.action) and self.covers(alert.labels)",
        "        return False",
    ),
    Revert(
        "life: a silence for people keeps a rollback away",
        "canary/prometheus/silences.py",
        "        return bool(self.action) and self.covers(alert.labels)",
        "        return self.covers(alert.labels)",
    ),
    Revert(
        "watch: a heartbeat that is silenced is missing",
        f"{_DECIDE}/alerts/silences.py",
        "                self._watchdog.excuse()",
        "                pass",
    ),
    Revert(
        "watch: testers are let in to nothing",
        f"{_ACT}/splits.py",
        "        testers_alone=alone,",
        "        testers_alone=False,",
    ),
    Revert(
        "watch: a rollout begins under another policy",
        f"{_DECIDE}/policywatch.py",
        "            if others:",
        "            if False:",
    ),
    Revert(
        "life: a pipeline is told of a promotion before it",
        "canaryctl/cli/rollout/wait.py",
        '    "promoted": frozenset({"promoted", "finishing", "finished"}),',
        '    "promoted": frozenset({"baking", "promoted", "finishing", "finished"}),',
    ),
)
