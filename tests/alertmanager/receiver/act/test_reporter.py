"""The report that is written by itself."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from alertmanager.receiver.act.reporter import Reporter
from canary.policy import Policy, load_policy
from canary.rollout.commands.commands import Promote, RollBack, Start
from canary.rollout.commands.records import CompleteRollback, Record, TakeNote
from canary.rollout.journal.journal import Journal
from canary.rollout.kinds import WATCH_CLOSED, Step
from canary.rollout.store.store import RolloutStore
from tests.support.clock import FakeClock
from tests.support.programs.ports import free_port
from tests.support.programs.prometheus import Prometheus
from tests.support.receiving.acting import MemoryLead, make_effects


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


async def begin(store: RolloutStore, policy: Policy, rollout: str = "r1") -> None:
    """A rollout begins."""
    phases = policy.phases
    start = Start(
        rollout=rollout, stable="v1", canary="v2", actor="ada",
        traffic=tuple(phase.traffic for phase in phases), durations_seconds=tuple(phase.duration for phase in phases),
    )  # fmt: skip
    await store.propose(None, start)
    await store.clock.sleep(60)


async def roll_back(store: RolloutStore, policy: Policy, rollout: str = "r1") -> None:
    """A rollout that has begun and was rolled back."""
    await begin(store, policy, rollout)
    rollback = await store.propose(None, RollBack(actor="ada", reason="bad"))
    await store.propose(None, CompleteRollback(rollout=rollout, decision=rollback.seq))


def made(policy: Policy) -> list[str]:
    """The files in the folder of reports."""
    return sorted(path.name for path in (Path(policy.base) / "reports").glob("*"))


def reporter_of(policy: Policy, store: RolloutStore, http: aiohttp.ClientSession, *, leading: bool = True) -> Reporter:
    """The reporter of a receiver."""
    lead = MemoryLead(leading=leading)
    return Reporter(policy, store, make_effects(store, lead, folder=Path(policy.base)), http, store.clock)


async def test_a_rollout_that_ended_gets_its_report_once(policy: Policy, store: RolloutStore) -> None:
    """After the last samples have settled all three files are there; what is there is never written again."""
    async with aiohttp.ClientSession() as http:
        reporter = reporter_of(policy, store, http)
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
    port = int(policy.receiver.prometheus_server.query_url.rsplit(":", 1)[1])
    async with aiohttp.ClientSession() as http:
        reporter = reporter_of(policy, store, http)
        await roll_back(store, policy)
        await store.clock.sleep(60)
        wait = await reporter.step()
        none_yet = made(policy)
        with Prometheus(port=port):
            await reporter.step()
        text = (Path(policy.base) / "reports" / "r1.md").read_text(encoding="utf-8")

    assert wait == 30
    assert none_yet == []
    assert "is unreachable" not in text


async def test_a_folder_that_cannot_be_written_is_tried_again(policy: Policy, store: RolloutStore) -> None:
    """A file in the folder's place is no end of the receiver."""
    (Path(policy.base) / "reports").write_text("in the way", encoding="utf-8")
    async with aiohttp.ClientSession() as http:
        reporter = reporter_of(policy, store, http)
        await roll_back(store, policy)
        await store.clock.sleep(20 * 60)

        assert await reporter.step() == 30


async def test_a_report_is_written_although_the_next_rollout_has_begun(policy: Policy, store: RolloutStore) -> None:
    """Who starts the next one within seconds still gets the report of the last, from another receiver too."""
    async with aiohttp.ClientSession() as http:
        await roll_back(store, policy)
        await begin(store, policy, "r2")
        await store.clock.sleep(20 * 60)
        await reporter_of(policy, store, http).step()

    assert made(policy) == ["r1.html", "r1.json", "r1.md"]
    assert Step.REPORT in store.rollouts["r1"].steps
    assert Step.REPORT not in store.rollouts["r2"].steps


async def test_a_folder_that_was_cleared_is_not_filled_again(policy: Policy, store: RolloutStore) -> None:
    """What the journal knows to be written stays deleted, after a restart too."""
    async with aiohttp.ClientSession() as http:
        await roll_back(store, policy)
        await store.clock.sleep(20 * 60)
        await reporter_of(policy, store, http).step()
        for path in (Path(policy.base) / "reports").iterdir():
            path.unlink()
        await reporter_of(policy, store, http).step()

    assert made(policy) == []


async def test_files_of_an_older_version_count_as_written(policy: Policy, store: RolloutStore) -> None:
    """It left no mark in the journal: the mark is made up for, the files are left as they are."""
    folder = Path(policy.base) / "reports"
    folder.mkdir()
    for suffix in ("html", "md", "json"):
        (folder / f"r1.{suffix}").write_text("theirs", encoding="utf-8")
    async with aiohttp.ClientSession() as http:
        await roll_back(store, policy)
        await reporter_of(policy, store, http).step()

    assert {path.read_text(encoding="utf-8") for path in folder.iterdir()} == {"theirs"}
    assert Step.REPORT in store.rollouts["r1"].steps


async def test_one_report_that_fails_does_not_hinder_another(policy: Policy, store: RolloutStore) -> None:
    """A folder in the place of one file keeps that report from being written, and no other."""
    in_the_way = Path(policy.base) / "reports" / "r1.html"
    async with aiohttp.ClientSession() as http:
        await roll_back(store, policy)
        await roll_back(store, policy, "r2")
        await store.clock.sleep(20 * 60)
        in_the_way.mkdir(parents=True)
        wait = await reporter_of(policy, store, http).step()

    assert wait == 30
    assert [name for name in made(policy) if name.startswith("r2")] == ["r2.html", "r2.json", "r2.md"]
    assert Step.REPORT not in store.rollouts["r1"].steps


async def test_what_prometheus_has_forgotten_gets_no_report(policy: Policy, store: RolloutStore) -> None:
    """A journal full of old rollouts that nobody has reports of does not make hundreds of empty ones."""
    async with aiohttp.ClientSession() as http:
        await roll_back(store, policy)
        await store.clock.sleep(16 * 24 * 3600)
        await reporter_of(policy, store, http).step()

    assert made(policy) == []


async def test_a_standby_writes_no_report(policy: Policy, store: RolloutStore) -> None:
    """Reports are the leader's."""
    async with aiohttp.ClientSession() as http:
        await roll_back(store, policy)
        await store.clock.sleep(20 * 60)
        await reporter_of(policy, store, http, leading=False).step()

    assert made(policy) == []


async def test_who_takes_over_looks_soon(policy: Policy, store: RolloutStore) -> None:
    """A receiver that stands by looks again within half a minute whether a report is missing, and it leads by then."""
    async with aiohttp.ClientSession() as http:
        await roll_back(store, policy)
        await store.clock.sleep(60)

        assert await reporter_of(policy, store, http, leading=False).step() == 30


async def test_the_end_of_the_watch_renews_it_once(policy: Policy, store: RolloutStore) -> None:
    """What was seen and recorded in the two days after a promotion is in the report; later it stays as it is."""
    page = Path(policy.base) / "reports" / "r1.md"
    async with aiohttp.ClientSession() as http:
        await begin(store, policy)
        await store.propose(None, Promote(actor="ada"))
        await store.clock.sleep(20 * 60)
        reporter = reporter_of(policy, store, http)
        await reporter.step()
        at_the_end = page.read_text(encoding="utf-8")
        await store.propose(None, TakeNote(rollout="r1", actor="ada", reason="a slow search"))
        await store.propose(
            None, Record(rollout="r1", actor="receiver", key=WATCH_CLOSED, reason="no limit was broken")
        )
        await reporter.step()
        renewed = page.read_text(encoding="utf-8")
        page.write_text("mine", encoding="utf-8")
        await reporter.step()

    assert "a slow search" not in at_the_end
    assert "a slow search" in renewed
    assert "no limit was broken" in renewed
    assert page.read_text(encoding="utf-8") == "mine"
