"""A rollout runs by the policy that it began with, whatever the file says by now."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from canary.errors import RefusedError
from canary.policy.kpis import DEFAULT_KPIS
from canary.policy.model import Policy
from canary.policy.pinning.digest import digest
from canary.policy.release import Phase, Receiver, Rollback
from canary.rollout.commands.commands import Start
from canary.rollout.folding import fold
from canary.rollout.plan.plans import Plans, plan_of
from canary.rollout.state import Rollout
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
FILE = Policy(
    service="shop",
    kpis=dict(DEFAULT_KPIS),
    phases=(Phase(traffic=0.05, duration=60, max_duration=300), Phase(traffic=1, duration=60)),
    plans={"hotfix": (Phase(traffic=0.5, duration=5, gate="manual"), Phase(traffic=1, duration=5))},
)
LATER = replace(
    FILE,
    phases=(Phase(traffic=0.01, duration=1), Phase(traffic=0.05, duration=1, gate="manual"), FILE.phases[1]),
    plans={},
    rollback=Rollback(dry_run=True),
    receiver=Receiver(poll=1.0),
)


def begun(policy: Policy, plan: str = "normal", **changes: Any) -> Rollout:
    """A rollout that begins by a plan of the policy."""
    command = Start(rollout="r1", stable="v1", canary="v2", actor="ann", **plan_of(policy, plan))
    return replace(fold([command.entry(None, NOON)])["r1"], **changes)


def test_nothing_is_looked_up_in_a_newer_file() -> None:
    """A phase or gate that is inserted later, another limit, a plan that is gone: the rollout has its own."""
    normal, hotfix = begun(FILE), begun(FILE, "hotfix")
    plans = Plans(LATER)

    assert plans.of(normal).phases == FILE.phases
    assert plans.phase(normal).max_duration == 300
    assert plans.of(normal).rollback == FILE.rollback
    assert plans.of(hotfix).phases == FILE.plans["hotfix"]
    assert plans.phase(hotfix).gate == "manual"
    assert plans.of(normal).receiver.poll == 1.0


def test_the_digest_is_of_what_is_in_use() -> None:
    """While it runs, that of the policy that the rollout began with, whichever plan; afterwards that of the file."""
    plans = Plans(LATER)

    assert plans.digest(begun(FILE)) == plans.digest(begun(FILE, "hotfix")) == digest(FILE)
    assert plans.digest(None) == digest(LATER)
    assert begun(FILE).digest == digest(FILE)


def test_a_journal_of_an_older_version_is_still_read() -> None:
    """Without a pinned policy phases keep their shares and durations; an unknown gate is a person."""
    rollout = fold([started("r1", NOON, traffic=(0.05, 0.3, 1.0), durations_seconds=(7, 8, 9))])["r1"]

    first, unknown, last = Plans(FILE).of(rollout).phases

    assert first == replace(FILE.phases[0], duration=7)
    assert unknown == Phase(traffic=0.3, duration=8, gate="manual")
    assert last == replace(FILE.phases[1], duration=9)


def test_what_another_version_wrote_is_no_reason_to_stop() -> None:
    """A pinned policy with keys that are not known leaves the file's limits and the rollout's own phases."""
    rollout = begun(FILE)
    strange = replace(rollout, pinned={**(rollout.pinned or {}), "rollback": {"by_moonlight": True}})

    assert [phase.traffic for phase in Plans(FILE).of(strange).phases] == [0.05, 1.0]


def test_a_plan_that_is_not_there_is_refused_by_name() -> None:
    """With the nearest one that is."""
    with pytest.raises(RefusedError, match=r"no plan 'hotfixx'.*did you mean 'hotfix'"):
        plan_of(FILE, "hotfixx")
