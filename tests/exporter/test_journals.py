"""What the exporter knows of rollout and experiments from their journal."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from canary.logs import Log
from canary.policy.database.section import Assignments, Event
from canary.policy.experiments import Experiment, Variant
from canary.policy.model import Policy, State
from canary.policy.release import Upstreams
from canary.policy.routers.sections import HaproxyRouter
from canary.rollout import experiments
from canary.rollout.journal.journal import Journal
from canary.rollout.kinds import Kind
from exporter.journals import Journals
from exporter.refresher import Refresher
from tests.support.clock import FakeClock
from tests.support.databases.exporting import policy_for, refresher_on
from tests.support.databases.shopdata import ShopData
from tests.support.receiving.entries import entry, started


def with_journal(policy: Policy, folder: Path) -> Policy:
    """The policy with its journal in a folder."""
    return replace(policy, state=State(url=f"sqlite:///{folder}/state.db"))


def known(refresher: Refresher) -> tuple[str | None, bool]:
    """The rollout that the judge is told, and whether the journal is at fault."""
    return refresher.rollout.id if refresher.rollout is not None else None, refresher.journal_fault


async def test_the_newest_rollout_is_followed(lite: ShopData, clock: FakeClock, tmp_path: Path) -> None:
    """A rollout that begins, and one that follows it, are known at the next look."""
    policy = with_journal(policy_for(lite.url), tmp_path)
    followed = Journals(policy, Log("exporter"))
    seen = []
    async with Journal.open(policy) as journal, refresher_on(policy, clock) as refresher, followed as journals:
        for entries in ([], [started("r1", clock.now())], [started("r2", clock.now() + timedelta(hours=1))]):
            for one in entries:
                await journal.append(one)
            await journals.follow(refresher)
            seen.append(known(refresher))

    assert seen == [(None, False), ("r1", False), ("r2", False)]


async def test_while_the_journal_is_away_the_last_known_stays(
    lite: ShopData, clock: FakeClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A journal that is away is a fault that is said once; the rollout stays the one known, until it is back."""
    folder = tmp_path / "state"
    policy = with_journal(policy_for(lite.url), folder)
    async with refresher_on(policy, clock) as refresher, Journals(policy, Log("exporter")) as journals:
        await journals.follow(refresher)
        never = known(refresher)
        folder.mkdir()
        async with Journal.open(policy) as journal:
            await journal.append(started("r1", clock.now()))
        await journals.follow(refresher)
        there = known(refresher)
        folder.rename(tmp_path / "moved")
        caplog.clear()
        await journals.follow(refresher)
        await journals.follow(refresher)
        away, said = known(refresher), caplog.messages
        (tmp_path / "moved").rename(folder)
        await journals.follow(refresher)
        back = known(refresher)

    assert (never, there, away, back) == ((None, True), ("r1", False), ("r1", True), ("r1", False))
    assert said.count("the journal cannot be read") == 1


async def test_experiments_are_followed_in_their_own_chain(lite: ShopData, clock: FakeClock, tmp_path: Path) -> None:
    """An experiment that has begun is known with its weights, and is no rollout."""
    arms = {"control": Variant(weight=60, version="v1.0"), "treatment": Variant(weight=40, version="v2.0")}
    experiment = Experiment(variants=arms, metrics=("conversion_rate",), guardrails=("conversion_rate",))
    policy = replace(with_journal(policy_for(lite.url), tmp_path), experiments={"checkout": experiment})
    async with Journal.open(policy, experiments.CHAIN) as journal:
        for one in experiments.due(policy, {}, at=clock.now(), actor="canary"):
            await journal.append(one)
    async with refresher_on(policy, clock) as refresher, Journals(policy, Log("exporter")) as journals:
        await journals.follow(refresher)

    (weights,) = refresher.experiments.trials["checkout"].weights
    assert weights.share("treatment", "control") == pytest.approx(0.4)
    assert known(refresher) == (None, False)


async def test_the_journal_tells_of_every_rollout(lite: ShopData, clock: FakeClock, tmp_path: Path) -> None:
    """Rollouts of the past count too, and one that begins is known at the next look."""
    visits = Event(table="visits", version=None, unit="id")
    policy = policy_for(lite.url, assignments=Assignments(from_="router"), events={"visits": visits})
    router = HaproxyRouter(kind="haproxy", upstreams=Upstreams(stable=("127.0.0.1:1",), canary=("127.0.0.1:2",)))
    policy = replace(with_journal(policy, tmp_path), router=(router,))
    long_ago, now = clock.now() - timedelta(days=3), clock.now()
    promoted = entry("r0", Kind.PROMOTED, long_ago + timedelta(hours=1), "ann", seq=2)
    async with Journal.open(policy) as journal, refresher_on(policy, clock) as refresher:
        assert refresher.routed is not None
        versions = []
        async with Journals(policy, Log("exporter")) as journals:
            for written in (started("r0", long_ago, stable="v0.9", canary="v1.0"), promoted, started("r1", now)):
                await journal.append(written)
                await journals.follow(refresher)
                versions.append(refresher.routed.version(None, now.timestamp() - 1))
        before = refresher.routed.version(None, long_ago.timestamp() - 1)

    assert (before, versions[1:]) == ("v0.9", ["v1.0", "v1.0"])
