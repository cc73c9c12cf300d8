"""By which policy exporter and rules go: asked of Prometheus, shown, and held against a start."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from alertmanager.receiver.decide.policywatch import PolicyWatch
from canary import names
from canary.errors import RefusedError, RemoteError
from canary.policy.model import Evidence, Policy
from canary.policy.pinning.digest import digest
from canary.prometheus import Prometheus, Sample
from canary.rollout.commands.commands import Start
from canary.rollout.folding import fold
from canary.rollout.plan.plans import Plans, plan_of
from canary.rollout.store.store import RolloutStore
from canary.testing.clock import VirtualClock

FILE = Policy(service="shop")
OTHER = replace(FILE, evidence=Evidence(minimum_units=7))


class Told(Prometheus):
    """Answers with these digests, by component; None does not answer."""

    def __init__(self, digests: dict[str, str] | None) -> None:
        self.digests = digests

    async def query(self, expression: str) -> list[Sample]:
        """What is published."""
        assert f'{names.POLICY_INFO}{{service="shop",' in expression
        if self.digests is None:
            raise RemoteError("is away")
        return [Sample({names.COMPONENT: name, names.DIGEST: one}, 1.0) for name, one in self.digests.items()]


def watch(digests: dict[str, str] | None) -> PolicyWatch:
    """A watch over these."""
    return PolicyWatch(Plans(FILE), _Silent(), None, Told(digests), VirtualClock("boot"))  # type: ignore[arg-type]


class _Silent(RolloutStore):
    """Nobody writes."""

    def __init__(self) -> None:
        """Without a journal."""

    def listen(self, listener: object) -> None:
        """Nobody is notified."""


@pytest.mark.parametrize(
    "digests", [None, {}, {"exporter": digest(FILE), "rules": digest(FILE)}, {"receiver": digest(OTHER)}]
)
async def test_nothing_is_refused_for_what_is_not_known(digests: dict[str, str] | None) -> None:
    """Prometheus is away, nobody publishes, all agree, or it has not seen this receiver's last reload."""
    await watch(digests).require_one()


async def test_a_start_that_others_would_judge_differently_is_refused() -> None:
    """Each that goes by another policy is named, with what to do about it."""
    with pytest.raises(RefusedError) as refused:
        await watch({"exporter": digest(OTHER), "rules": digest(OTHER), "receiver": digest(OTHER)}).require_one()

    assert f"the exporter goes by policy {digest(OTHER)}, expected {digest(FILE)}" in str(refused.value)
    assert "the rules in Prometheus go by policy" in str(refused.value)
    assert "run `canary generate` and reload Prometheus" in str(refused.value)
    assert "the receiver goes" not in str(refused.value)


async def test_a_running_rollouts_own_policy_is_what_counts() -> None:
    """The file has changed since: who goes by the file differs from the rollout."""
    start = Start(rollout="r1", stable="v1", canary="v2", actor="ann", **plan_of(OTHER, "normal"))
    rollout = fold([start.entry(None, datetime(2026, 1, 31, tzinfo=UTC))])["r1"]
    found = watch({"exporter": digest(OTHER), "rules": digest(FILE)})

    await found.ask()

    assert [one.component for one in found.differing(rollout)] == ["rules"]
    assert [one.component for one in found.differing(None)] == ["exporter"]
