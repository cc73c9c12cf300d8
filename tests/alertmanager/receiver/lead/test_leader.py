"""One leader on a machine: whoever holds the lock next to the journal."""

import asyncio
import logging
from pathlib import Path

import pytest

from alertmanager.receiver.lead.leader import FileLeader, Leader, leader_of
from alertmanager.receiver.lead.postgres import PostgresLeader
from canary.policy.model import Policy, State
from canary.testing.clock import VirtualClock
from tests.support.clock import FakeClock, in_virtual_time


async def test_one_of_two_leads_and_the_other_follows_it(tmp_path: Path) -> None:
    """The second cannot have the lock until the first has given it back."""
    first, second = (FileLeader(tmp_path / "lock", FakeClock()) for _ in range(2))
    first.leading = first.try_lock()
    second.leading = second.try_lock()
    assert await first.may_act()
    assert not await second.may_act()

    await first.close()
    assert not await first.may_act()
    assert second.try_lock()
    await second.close()


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_lock_whose_file_is_gone_is_no_lock(tmp_path: Path, replaced: bool) -> None:
    """Somebody has tidied up: whoever locks the new file leads, and the one that had the old file does not."""
    first, second = (FileLeader(tmp_path / "lock", FakeClock()) for _ in range(2))
    first.leading = first.try_lock()
    (tmp_path / "lock").unlink()
    if replaced:
        second.leading = second.try_lock()

    assert not await first.may_act()
    assert await second.may_act() == replaced
    assert first.try_lock() != replaced
    await first.close()
    await second.close()


async def test_a_receiver_of_the_version_before_and_one_of_today_do_not_both_lead(tmp_path: Path) -> None:
    """Today's lock has the service's name; that of 0.1 is shared by today's receivers, and by nobody of 0.1."""
    before = FileLeader(tmp_path / "db.lock", FakeClock())
    shop, books = (FileLeader(tmp_path / f"db.{name}.lock", FakeClock(), tmp_path / "db.lock") for name in ("a", "b"))

    assert before.try_lock()
    assert not shop.try_lock()
    await before.close()
    assert [shop.try_lock(), books.try_lock(), before.try_lock()] == [True, True, False]
    await shop.close()
    assert not before.try_lock()
    await books.close()
    assert before.try_lock()
    await before.close()


async def test_a_link_in_the_locks_place_is_not_followed(tmp_path: Path) -> None:
    """Nothing is created where somebody else points."""
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic links"):
        FileLeader(tmp_path / "lock", FakeClock()).try_lock()
    assert not (tmp_path / "elsewhere").exists()


async def test_a_lock_that_was_tried_for_in_vain_keeps_nobody_out(tmp_path: Path) -> None:
    """What stood in its way is removed, and the same receiver leads."""
    former = tmp_path / "db.lock"
    former.symlink_to(tmp_path / "elsewhere")
    leader = FileLeader(tmp_path / "db.shop.lock", FakeClock(), former)
    with pytest.raises(OSError, match="symbolic links"):
        leader.try_lock()
    former.unlink()

    assert leader.try_lock()
    await leader.close()


async def test_a_journal_in_memory_needs_no_lock() -> None:
    """Nobody else can be there."""
    leader = FileLeader(None, FakeClock())

    assert await leader.may_act()
    await leader.close()


async def test_the_lock_stands_where_the_journal_is(tmp_path: Path) -> None:
    """A SQLite file has it next to itself, PostgreSQL inside, memory none."""

    clock = FakeClock()

    async def of(url: str) -> Leader:
        leader = leader_of(Policy(service="shop", base=str(tmp_path), state=State(url=url)), clock)
        await leader.close()
        return leader

    for url in ("sqlite:///state.db", "sqlite://"):
        leader = await of(url)
        assert isinstance(leader, FileLeader)
        assert leader._clock is clock
    leader = await of("postgresql://localhost/shop")
    assert isinstance(leader, PostgresLeader)
    assert (leader._service, leader._clock) == ("shop", clock)


@in_virtual_time
async def test_whoever_waits_leads_within_a_second(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It goes on trying; who leads keeps the lock, and it is logged once which one it is."""
    caplog.set_level(logging.INFO)
    first, second = (FileLeader(tmp_path / "lock", VirtualClock("boot")) for _ in range(2))
    running = []
    for leader in (first, second):
        running.append(asyncio.ensure_future(leader.run()))
        await asyncio.sleep(10)
    assert first.leading is True
    assert second.leading is False
    running[0].cancel()
    await first.close()
    assert first.leading is False
    await asyncio.sleep(1)
    assert await second.may_act()

    told = [(record.name, record.getMessage(), vars(record)["canary_fields"]) for record in caplog.records]
    assert told == [("canary.leader", "leading", {"lock": tmp_path / "lock"})] * 2
    running[1].cancel()
    await second.close()


@in_virtual_time
async def test_a_lock_that_was_tidied_up_is_taken_anew_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """For a second nobody leads; an administrator reads why."""
    leader = FileLeader(tmp_path / "lock", VirtualClock("boot"))
    running = asyncio.ensure_future(leader.run())
    await asyncio.sleep(0.5)
    (tmp_path / "lock").unlink()
    assert not await leader.may_act()
    (record,) = (record for record in caplog.records if record.levelname == "ERROR")
    assert vars(record)["canary_fields"] == {"lock": tmp_path / "lock"}
    assert record.getMessage() == "no longer leading, the lock's file was removed or replaced"

    await asyncio.sleep(1)
    assert await leader.may_act()
    running.cancel()
    await leader.close()


@in_virtual_time
async def test_who_needs_no_lock_leads_for_ever() -> None:
    """A journal in memory is nobody else's, also when the receiver ends."""
    leader = FileLeader(None, VirtualClock("boot"))
    running = asyncio.ensure_future(leader.run())
    await asyncio.sleep(10)
    assert not running.done()
    await leader.close()
    assert await leader.may_act()
    running.cancel()


def modes(folder: Path) -> dict[str, int]:
    """Which files are there, and who may read and write them."""
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("url", "files"),
    [
        ("sqlite:///state.db", {"state.db.lock", "state.db.shop.lock"}),
        ("sqlite://", set()),
        ("sqlite:///:memory:", set()),
    ],
)
async def test_which_files_are_locked(tmp_path: Path, url: str, files: set[str]) -> None:
    """The service's own next to the journal, and that of version 0.1; for the receiver's user alone."""
    leader = leader_of(Policy(service="shop", base=str(tmp_path), state=State(url=url)), FakeClock())
    assert isinstance(leader, FileLeader)
    assert leader.leading == (not files)
    if files:
        assert leader.try_lock()
    assert modes(tmp_path) == dict.fromkeys(files, 0o600)
    await leader.close()
