"""What breaks around the receiver while it works: disk, routers, the team's chat, the canary's process."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa

from alertmanager.receiver.receiver import Receiver
from canary import names
from canary.errors import JournalError
from canary.process.manager import ProcessState
from canary.rollout.commands.records import Record
from canary.rollout.kinds import Kind
from canary.routers.base import Split
from canary.timing.clock import SystemClock
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.nginx import Nginx
from tests.support.programs.processes import eventually
from tests.support.receiving.receiver import (
    Setting,
    Team,
    alert,
    in_state,
    order,
    payload,
    post,
    receiving,
    router_section,
    status,
    until,
)


async def running(setting: Setting) -> str:
    """Start a rollout and wait until its share is in force; gives its id."""
    await order(setting, "start", canary="v2.0", stable="v1.0")
    await until(setting, "the first share", lambda now: now["settled"])
    return str((await status(setting))["rollout"]["id"])


async def metric(setting: Setting, name: str) -> list[str]:
    """The samples of one metric, as text."""
    async with aiohttp.ClientSession() as session, session.get(f"{setting.url}/metrics") as answer:
        return [line for line in (await answer.text()).splitlines() if line.startswith(name)]


class FullDisk:
    """Makes SQLite find no space for the journal, as on a full disk, and gives the space back."""

    def __init__(self, receiver: Receiver) -> None:
        self._guard = receiver.store
        self._engine = receiver.store._reader.journal._engine
        self._pages = 0

    async def fill(self) -> None:
        """Let the journal grow no more."""
        async with self._engine.connect() as connection:
            self._pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
        sa.event.listen(self._engine.sync_engine, "connect", self._limit)
        await self._engine.dispose()
        rollout = self._guard.rollout
        assert rollout is not None
        for size in (3000, 300, 1):
            with pytest.raises(JournalError, match="full"):
                await self._write(rollout.id, size)

    async def _write(self, rollout: str, size: int) -> None:
        for number in range(200):
            key = f"{size}-{number}"
            await self._guard.propose(None, Record(rollout=rollout, actor="test", key=key, reason="x" * size))

    async def free(self) -> None:
        """Let it grow again."""
        sa.event.remove(self._engine.sync_engine, "connect", self._limit)
        await self._engine.dispose()

    def _limit(self, connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count={self._pages}")


async def test_a_full_disk_does_not_stop_a_rollback(
    tmp_path: Path, haproxy: HAProxy, told: dict[str, Any], team: Team
) -> None:
    """Without space for the journal: traffic first, people told, 503 so that it is sent again; later it is written."""
    changes = {"notify": told, "rollback": {"converge": "300ms"}}
    setting = Setting(tmp_path / "receiver", [router_section(haproxy)], changes)
    async with receiving(setting) as receiver:
        rollout = await running(setting)
        disk = FullDisk(receiver)
        await disk.fill()

        answered = await post(setting, payload(alert("CanaryHighErrorRate", "rollback", rollout)))
        again = await post(setting, payload(alert("CanaryHighErrorRate", "rollback", rollout)))
        await eventually(lambda: _share(haproxy, 0), "nobody on the canary")
        await eventually(lambda: len(team.messages) > 1, "people told")
        written = [entry.kind for entry in await setting.journal()]
        await disk.free()
        await until(setting, "rolled back", in_state("rolled_back"))
        await until(setting, "told", lambda now: "notify" in now["rollout"]["steps"])

    assert (answered, again) == (503, 503)
    assert Kind.ROLLBACK not in written
    assert [entry.kind for entry in await setting.journal()].count(Kind.ROLLBACK) == 1
    assert sum("is NOT complete" in message["title"] for message in team.messages) == 1


async def test_what_was_closed_stays_closed_when_nothing_else_remembers_it(
    tmp_path: Path, haproxy: HAProxy, told: dict[str, Any]
) -> None:
    """A rollback that a full disk did not take, and a receiver that comes back without its files: HAProxy knows."""
    setting = Setting(tmp_path / "receiver", [router_section(haproxy)], {"notify": told})
    async with receiving(setting) as receiver:
        rollout = await running(setting)
        await FullDisk(receiver).fill()
        await post(setting, payload(alert("CanaryHighErrorRate", "rollback", rollout)))
        await eventually(lambda: _share(haproxy, 0), "nobody on the canary")
    lost = [path for path in setting.folder.rglob("*") if path.suffix in (".lowered", ".routers")]
    for path in lost:
        path.unlink()

    async with receiving(setting):
        await until(setting, "held", in_state("holding"))
        now = await status(setting)

    assert {path.suffix for path in lost} == {".lowered", ".routers"}
    assert now["rollout"]["cause"] == "by_hand"
    assert await _share(haproxy, 0)
    assert Kind.ROLLBACK not in [entry.kind for entry in await setting.journal()]


async def test_an_unreachable_router_does_not_keep_the_canary_alive(
    setting: Setting, haproxy: HAProxy, team: Team
) -> None:
    """When HAProxy is gone in mid-rollback, the process is stopped at once, and the share is set when it is back."""
    async with receiving(setting):
        rollout = await running(setting)
        haproxy.stop()
        await post(setting, payload(alert("CanaryHighErrorRate", "rollback", rollout)))

        await eventually(lambda: setting.stopped() > 0, "the canary's process stopped")
        now = await status(setting)
        assert now["rollout"]["state"] == "rolling_back"
        assert "cannot be reached" in now["routers"][0]["error"]
        assert await metric(setting, names.CONVERGING_SINCE_TIMESTAMP_SECONDS)

        await haproxy.start()
        await until(setting, "rolled back", in_state("rolled_back"))
        assert await _share(haproxy, 0)
        assert not await metric(setting, names.CONVERGING_SINCE_TIMESTAMP_SECONDS)


async def test_people_hear_when_a_rollback_does_not_get_through(
    tmp_path: Path, haproxy: HAProxy, told: dict[str, Any], team: Team
) -> None:
    """When the routers do not follow within `rollback.converge`, the message says what is missing and why."""
    changes = {"notify": told, "rollback": {"converge": "500ms"}}
    setting = Setting(tmp_path / "receiver", [router_section(haproxy)], changes)
    async with receiving(setting):
        rollout = await running(setting)
        haproxy.stop()
        await post(setting, payload(alert("CanaryHighErrorRate", "rollback", rollout)))
        await eventually(lambda: "is NOT complete" in team.messages[-1]["title"], "people told")

        assert "NOT COMPLETE: traffic" in team.messages[-1]["message"]
        assert "cannot be reached" in team.messages[-1]["message"]
        await haproxy.start()
        await until(setting, "rolled back", in_state("rolled_back"))


async def test_one_router_of_two_being_gone_does_not_spare_the_other(
    tmp_path: Path, haproxy: HAProxy, nginx: Nginx, told: dict[str, Any]
) -> None:
    """The router that can be reached is closed at once; the rollback is over only when both are."""
    setting = Setting(tmp_path / "receiver", [router_section(haproxy), router_section(nginx)], {"notify": told})
    async with receiving(setting):
        rollout = await running(setting)
        assert (await nginx.router.read()).weight_ratio == 0.05
        haproxy.stop()
        await post(setting, payload(alert("CanaryHighErrorRate", "rollback", rollout)))

        await eventually(lambda: _share(nginx, 0), "nginx closed")
        assert (await status(setting))["rollout"]["state"] == "rolling_back"
        await haproxy.start()
        await until(setting, "rolled back", in_state("rolled_back"))


async def test_a_change_behind_our_back_is_repaired_and_counted(setting: Setting, haproxy: HAProxy) -> None:
    """A share that somebody else has set is brought back, and the drift counted."""
    async with receiving(setting):
        rollout = await running(setting)
        await haproxy.router.set_weight(Split(rollout, 0.5))

        await eventually(lambda: _share(haproxy, 0.05), "5 % again")
        (drift,) = await metric(setting, names.ROUTER_DRIFT_TOTAL)
        assert drift.endswith(" 1.0")


async def test_haproxy_restarted_in_mid_rollback(setting: Setting, haproxy: HAProxy) -> None:
    """A restart of HAProxy while a rollback runs does not bring the canary back."""
    async with receiving(setting):
        rollout = await running(setting)
        posting = asyncio.create_task(post(setting, payload(alert("CanaryHighErrorRate", "rollback", rollout))))
        await haproxy.restart()
        assert await posting == 202
        await until(setting, "rolled back", in_state("rolled_back"))
        await haproxy.restart()

        assert await _share(haproxy, 0)


async def test_a_chat_that_is_down_delays_nothing_but_the_message(setting: Setting, team: Team) -> None:
    """While the team's chat refuses, the rollback is completed; the message arrives when the chat is back, once."""
    async with receiving(setting):
        rollout = await running(setting)
        await until(setting, "started told", lambda now: not now["untold"])
        team.refusing = True
        await post(setting, payload(alert("CanaryHighErrorRate", "rollback", rollout)))
        await until(setting, "rolled back", in_state("rolled_back"))
        await eventually(lambda: _refused(setting), "an attempt refused")
        assert (await status(setting))["untold"] == 1
        team.refusing = False
        await until(setting, "told", lambda now: "notify" in now["rollout"]["steps"])

    assert sum("was rolled back" in message["title"] for message in team.messages) == 1


async def test_a_process_that_does_not_stop_is_tried_again(tmp_path: Path, haproxy: HAProxy) -> None:
    """The traffic leaves although the process cannot be stopped; that is repeated until a person gives up."""
    broken = {"kind": "command", "stop": ["false"], "drain": "0s"}
    setting = Setting(tmp_path / "receiver", [router_section(haproxy)], {"process": broken})
    async with receiving(setting):
        rollout = await running(setting)
        await post(setting, payload(alert("CanaryHighErrorRate", "rollback", rollout)))
        await eventually(lambda: _share(haproxy, 0), "nobody on the canary")
        await until(setting, "the fault told", lambda now: "process" in now["errors"])
        assert (await status(setting))["rollout"]["state"] == "rolling_back"

        await order(setting, "rollback", reason="stopped by hand", give_up=True)
        await until(setting, "given up", in_state("failed"))


class DrainingClock(SystemClock):
    """The machine's clock, but a drain lasts until the test ends it; nothing else sleeps that long uninterrupted."""

    def __init__(self) -> None:
        super().__init__()
        self.draining = asyncio.Event()
        self.drained = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Let *seconds* pass, or the drain."""
        if _DRAIN_SECONDS - 50 < seconds <= _DRAIN_SECONDS:
            self.draining.set()
            await self.drained.wait()
        else:
            await super().sleep(seconds)


_DRAIN_SECONDS = 2000.0


async def test_an_old_rollback_does_not_stop_the_next_canary(
    tmp_path: Path, haproxy: HAProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Router down, rollback, given up during the drain, router back, next rollout: its canary is not stopped."""
    done = tmp_path / "done"
    process = {
        "kind": "command",
        "start": ["sh", "-c", f"echo started >> {done}"],
        "stop": ["sh", "-c", f"echo stopped >> {done}"],
        "drain": f"{_DRAIN_SECONDS:g}s",
    }
    setting = Setting(tmp_path / "receiver", [router_section(haproxy)], {"process": process})
    clock = DrainingClock()
    async with receiving(setting, clock) as receiver:
        asked = asyncio.Event()
        stop_process = receiver.effects.stop_process

        async def watched(rollout_id: str) -> ProcessState:
            try:
                return await stop_process(rollout_id)
            finally:
                asked.set()

        monkeypatch.setattr(receiver.effects, "stop_process", watched)
        rollout = await running(setting)
        haproxy.stop()
        await post(setting, payload(alert("CanaryHighErrorRate", "rollback", rollout)))
        await clock.draining.wait()
        await order(setting, "rollback", reason="by hand", give_up=True)
        await haproxy.start()
        await order(setting, "start", canary="v2.2", stable="v1.0")
        await until(setting, "the next 5 %", lambda now: now["settled"])
        clock.drained.set()
        await asked.wait()

        assert done.read_text().split() == ["started", "started"]
        now = await status(setting)
        assert (now["rollout"]["canary"], now["rollout"]["state"]) == ("v2.2", "phase")
        assert now["errors"] == {}
        assert await _share(haproxy, 0.05)


async def test_a_rollback_is_told_although_the_next_rollout_has_begun(setting: Setting, team: Team) -> None:
    """The chat was down while the rollback was completed; the next rollout does not make the receiver forget it."""
    async with receiving(setting):
        rollout = await running(setting)
        team.refusing = True
        await post(setting, payload(alert("CanaryHighErrorRate", "rollback", rollout)))
        await until(setting, "rolled back", in_state("rolled_back"))
        await order(setting, "start", canary="v2.2", stable="v1.0")
        await eventually(lambda: _refused(setting), "an attempt refused")
        team.refusing = False
        await until(setting, "all told", lambda now: not now["untold"] and now["rollout"]["canary"] == "v2.2", 60)
        await eventually(lambda: len({message["title"] for message in team.messages}) >= 3, "three messages")
        assert (await status(setting))["expired"] == 0

    titles = [message["title"] for message in team.messages]
    assert titles.count("shop: canary v2.0 was rolled back (CanaryHighErrorRate)") == 1
    assert titles.count("shop: canary v2.2 starts with 5% of the customers") == 1


async def _refused(setting: Setting) -> bool:
    return any('outcome="failed"' in line for line in await metric(setting, names.NOTIFICATIONS_TOTAL))


async def _share(front: HAProxy | Nginx, ratio: float) -> bool:
    return (await front.router.read()).weight_ratio == ratio
