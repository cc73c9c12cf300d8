"""The report that is written by itself."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from alertmanager.leader import FileLeader
from alertmanager.reporter import Reporter
from canary.commands import CompleteRollback, RollBack, Start
from canary.journal import Journal
from canary.policy import Policy, load_policy
from canary.store import RolloutStore
from tests.support.clock import FakeClock
from tests.support.ports import free_port
from tests.support.prometheus import Prometheus


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    """A policy whose Prometheus is down until a test starts one on its port."""
    path = tmp_path / "canary.yaml"
    path.write_text(f"service: shop\nreceiver: {{prometheus: 'http://127.0.0.1:{free_port()}'}}\n", encoding="utf-8")
    return load_policy(path)


@pytest.fixture
async def store(policy: Policy) -> AsyncIterator[RolloutStore]:
    """A store with an empty journal and a clock that stands still."""
    async with Journal.open(policy) as journal:
        yield RolloutStore(journal, FakeClock())


async def roll_back(store: RolloutStore, policy: Policy) -> None:
    """A rollout that has begun and was rolled back."""

    phases = policy.phases
    start = Start(
        rollout="r1", stable="v1", canary="v2", actor="ada",
        traffic=tuple(phase.traffic for phase in phases), durations_seconds=tuple(phase.duration for phase in phases),
    )  # fmt: skip
    await store.propose(None, start)
    await store.clock.sleep(60)
    rollback = await store.propose(None, RollBack(actor="ada", reason="bad"))
    await store.propose(None, CompleteRollback(rollout="r1", decision=rollback.seq))


def made(policy: Policy) -> list[str]:
    """The files in the folder of reports."""
    return sorted(path.name for path in (Path(policy.base) / "reports").glob("*"))


async def test_a_rollout_that_ended_gets_its_report_once(policy: Policy, store: RolloutStore) -> None:
    """After the last samples have settled all three files are there; what is there is never written again."""
    async with aiohttp.ClientSession() as http:
        reporter = Reporter(policy, store, FileLeader(None, store.clock), http, store.clock)
        before = await reporter.step()
        await roll_back(store, policy)
        wait = await reporter.step()
        none_yet = made(policy)
        await store.clock.sleep(20 * 60)
        await reporter.step()
        files = made(policy)
        page = Path(policy.base) / "reports" / "r1.html"
        page.write_text("mine\n", encoding="utf-8")
        await reporter.step()

    assert before > 60
    assert 0 < wait <= 10
    assert none_yet == []
    assert files == ["r1.html", "r1.json", "r1.md"]
    assert page.read_text(encoding="utf-8") == "mine\n"


async def test_a_prometheus_that_is_down_is_waited_for(policy: Policy, store: RolloutStore) -> None:
    """For a while nothing is written, and when Prometheus is back the report is complete."""
    port = int(policy.receiver.prometheus.rsplit(":", 1)[1])
    async with aiohttp.ClientSession() as http:
        reporter = Reporter(policy, store, FileLeader(None, store.clock), http, store.clock)
        await roll_back(store, policy)
        await store.clock.sleep(60)
        wait = await reporter.step()
        none_yet = made(policy)
        with Prometheus(port=port):
            await reporter.step()
        text = (Path(policy.base) / "reports" / "r1.md").read_text(encoding="utf-8")

    assert wait == 30
    assert none_yet == []
    assert "could not be asked" not in text


async def test_a_folder_that_cannot_be_written_is_tried_again(policy: Policy, store: RolloutStore) -> None:
    """A file in the folder's place is no end of the receiver."""
    (Path(policy.base) / "reports").write_text("in the way", encoding="utf-8")
    async with aiohttp.ClientSession() as http:
        reporter = Reporter(policy, store, FileLeader(None, store.clock), http, store.clock)
        await roll_back(store, policy)
        await store.clock.sleep(20 * 60)

        assert await reporter.step() == 30
