"""The policy's experiments judged: every treatment against its control, by the same judge as a rollout.

An arm is described to the judge as a rollout: the control is its stable, the treatment its canary, the assignment's
weights its traffic. So there is one mathematics, tested once. All treatments of an experiment share its alpha, because
each of them is one more chance to be wrong.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from canary.policy.experiments import Experiment
from canary.policy.kpis import Conversion, Kpi, Success
from canary.policy.model import Policy
from canary.rollout.experiments import Trial
from canary.rollout.state import Rollout, State, Weight
from exporter.evidence.judge import RolloutEvidence
from exporter.judge.joins import JoinedRows
from exporter.judge.parameters import only_read
from exporter.judge.rollout import JudgedRollout
from exporter.judge.values import role_values
from exporter.ledger.rows import Codes, EventRows

_BUCKET_SECONDS = 60
"""Experiments last for days, so that finer buckets would tell no more."""


@dataclass(frozen=True)
class Arm:
    """One treatment of one experiment, and what is known of it.

    Attributes:
        values: by KPI, the plain value of each role (`canary` is the treatment) since the experiment began.
        better: KPIs in which the treatment is proven better than the control.
        guardrails: KPIs whose proven harm stops the experiment.
        running: whether users are still assigned.
    """

    experiment: str
    variant: str
    control: str
    evidence: RolloutEvidence
    values: Mapping[str, Mapping[str, float]]
    tolerances: Mapping[str, float]
    better: frozenset[str]
    guardrails: frozenset[str]
    running: bool


class JudgedExperiments:
    """Judges all experiments of a policy again and again.

    Attributes:
        trials: when each began and with which weights, from the journal.
        read: the events whose tables are there, or None for all: customers come in with no others.
        rollout: the newest rollout; where it releases the versions that tell an experiment's variants, its share is
            the treatment's.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.trials: Mapping[str, Trial] = {}
        self.read: frozenset[str] | None = None
        self.rollout: Rollout | None = None
        self._judgements: dict[tuple[str, str], JudgedRollout] = {}
        self._released: dict[tuple[str, str], Rollout] = {}

    @property
    def since(self) -> float | None:
        """Rows are needed from here on, seconds since the epoch; None when nothing is judged."""
        starts = [self.trials[name].started_at.timestamp() for name in self._judged() if name in self.trials]
        return min(starts, default=None)

    def look(
        self, tables: Mapping[str, EventRows], versions: Codes, as_of: float, blind: Mapping[str, str]
    ) -> tuple[Arm, ...]:
        """Every treatment's evidence at *as_of*; that of a stopped experiment is as it was when it was stopped."""
        by_version = JoinedRows(self._policy.database.events, tables)
        by_variant = JoinedRows(
            self._policy.database.events,
            {name: replace(table, version=table.variant) for name, table in tables.items()},
        )
        arms: list[Arm] = []
        for name, experiment in self._judged().items():
            trial = self.trials.get(name)
            if trial is None:
                continue
            joined = by_version if told_by_version(experiment) else by_variant
            treatments = (variant for variant in experiment.variants if variant != experiment.control)
            arms += [self._arm(trial, experiment, variant, joined, versions, as_of, blind) for variant in treatments]
        return tuple(arms)

    def forget(self) -> None:
        """Restart: the next look judges all rows of every treatment."""
        self._judgements.clear()

    def _judged(self) -> dict[str, Experiment]:
        return {
            name: experiment
            for name, experiment in self._policy.experiments.items()
            if experiment.metrics or experiment.guardrails
        }

    def _arm(
        self,
        trial: Trial,
        experiment: Experiment,
        variant: str,
        joined: JoinedRows,
        versions: Codes,
        as_of: float,
        blind: Mapping[str, str],
    ) -> Arm:
        policy = arm_policy(only_read(self._policy, self.read), experiment)
        by_version, rollout = told_by_version(experiment), self.rollout
        pair = _told(experiment, experiment.control), _told(experiment, variant)
        if by_version and rollout is not None and (rollout.stable, rollout.canary) == pair:
            self._released[pair] = rollout
        # Releases of other versions move these customers, so that nobody knows which share is right.
        share_known = not by_version or rollout is None or pair in self._released
        followed = self._released.get(pair) if by_version else None
        compared = _as_rollout(trial, pair, variant, experiment, followed, share_known=share_known)
        key = (trial.name, variant)
        judgement = self._judgements.get(key)
        if judgement is None or judgement.rollout != compared.id:
            judgement = JudgedRollout.of(policy, compared, by_variant=not by_version, share_known=share_known)
            self._judgements[key] = judgement
        if trial.stopped_at is not None:
            as_of = min(as_of, trial.stopped_at.timestamp())
        evidence = judgement.look(joined, versions, compared, as_of, blind)
        if not share_known:
            evidence = replace(evidence, mismatch=None)
        return Arm(
            experiment=trial.name,
            variant=variant,
            control=experiment.control,
            evidence=evidence,
            values=role_values(policy.kpis, joined, versions, compared, judgement.currencies),
            tolerances={name: kpi.tolerance for name, kpi in policy.kpis.items()},
            better=frozenset(_better(policy.kpis, evidence)),
            guardrails=frozenset(experiment.guardrails),
            running=trial.running,
        )


def told_by_version(experiment: Experiment) -> bool:
    """Whether a row's version says which variant its customer had, rather than a column of its own."""
    return any(variant.version is not None for variant in experiment.variants.values())


def arm_policy(policy: Policy, experiment: Experiment) -> Policy:
    """The policy by which one treatment is judged: the experiment's KPIs share the alpha of all its treatments."""
    names = [name for name in policy.kpis if name in {*experiment.metrics, *experiment.guardrails}]
    alpha = policy.evidence.alpha / (len(experiment.variants) - 1)
    return replace(
        policy,
        kpis={name: replace(policy.kpis[name], action="rollback", judge="evidence", floor=None) for name in names},
        evidence=replace(
            policy.evidence, alpha=alpha, bucket=_BUCKET_SECONDS, slower="none", warmup=0.0, stable_harm="none"
        ),
    )


def _told(experiment: Experiment, variant: str) -> str:
    """By which word a row says that its customer had this variant."""
    version = experiment.variants[variant].version
    return version if told_by_version(experiment) and version is not None else variant


def _as_rollout(
    trial: Trial,
    pair: tuple[str, str],
    variant: str,
    experiment: Experiment,
    rollout: Rollout | None,
    *,
    share_known: bool,
) -> Rollout:
    """The comparison of a treatment with its control, in the judge's words.

    Args:
        pair: control and treatment, as rows tell them.
        rollout: the newest that has released them, whose share stays in force when it is over; None without.
    """
    stable, canary = pair
    weights = tuple(Weight(one.since, one.share(variant, experiment.control)) for one in trial.weights)
    followed = "" if share_known else "unknown share"
    if rollout is not None:
        weights = (Weight(trial.started_at, 0.0), *rollout.weights)
        followed = rollout.id
    return Rollout(
        id=f"{trial.name}/{variant}/{trial.started_at.isoformat()}/{followed}",
        stable=stable,
        canary=canary,
        traffic=(weights[-1].ratio, 1.0),
        durations_seconds=(0.0, 0.0),
        state=State.PHASE,
        started_at=trial.started_at,
        phase=0,
        phase_started_at=trial.started_at,
        weights=weights,
    )


def _better(kpis: Mapping[str, Kpi], evidence: RolloutEvidence) -> Iterator[str]:
    for name, found in evidence.kpis.items():
        kpi = kpis[name]
        higher = isinstance(kpi, Conversion | Success) or kpi.better == "higher"
        if found.blind_reason is None and (found.lower > 0 if higher else found.upper < 0):
            yield name
