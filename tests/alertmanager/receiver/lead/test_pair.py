"""Two receivers on one PostgreSQL: one acts, the other takes over, and a paused one cannot come back and act."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from canary.errors import JournalError
from tests.support.databases.postgres import Postgres
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.processes import eventually
from tests.support.receiving.receiver import (
    ReceiverProgram,
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


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A server of this test's own, which it may stop."""
    with Postgres() as server:
        yield server


@pytest.fixture
def pair(tmp_path: Path, haproxy: HAProxy, told: dict[str, Any], postgres: Postgres) -> tuple[Setting, Setting]:
    """Two receivers' settings that share journal and router."""
    changes = {"notify": told, "state": {"url": postgres.new_database()}, "phases": _LONG}
    first, second = (Setting(tmp_path / name, [router_section(haproxy)], changes) for name in ("one", "two"))
    return first, second


_LONG = [{"traffic": "5%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}]


async def leads(setting: Setting) -> bool:
    """Whether a receiver says that it leads."""
    return bool((await status(setting))["leading"])


async def begun(first: ReceiverProgram, second: ReceiverProgram, one: Setting) -> None:
    """The first leads, the second stands by, and a rollout has 5 %."""
    await first.start()
    await eventually(lambda: leads(one), "the first leads")
    await second.start()
    await order(one, "start", canary="v2.0", stable="v1.0")
    await until(one, "5 %", lambda now: now["settled"])


async def test_a_killed_leader_is_followed_by_the_other(pair: tuple[Setting, Setting], haproxy: HAProxy) -> None:
    """When the leader is killed, the other one takes over and carries out a rollback."""
    one, two = pair
    first, second = ReceiverProgram(one), ReceiverProgram(two)
    with first.program, second.program:
        await begun(first, second, one)
        rollout = (await status(one))["rollout"]["id"]
        await until(two, "the second sees the router follow", lambda now: now["settled"] and not now["leading"])

        first.program.stop(signal.SIGKILL)
        assert await post(two, payload(alert("CanaryHighErrorRate", "rollback", rollout))) == 202
        await until(two, "rolled back", in_state("rolled_back"))

    assert (await haproxy.router.read()).weight_ratio == 0
    assert one.stopped() + two.stopped() == 1


async def test_a_paused_leader_wakes_up_powerless(pair: tuple[Setting, Setting], haproxy: HAProxy, team: Team) -> None:
    """A leader that was stopped by SIGSTOP finds, once it runs again, that it leads no more, and moves no traffic."""
    one, two = pair
    first, second = ReceiverProgram(one), ReceiverProgram(two)
    with first.program, second.program:
        await begun(first, second, one)

        first.program.send_signal(signal.SIGSTOP)
        await eventually(lambda: leads(two), "the second leads")

        async def taken() -> bool:
            try:
                await order(two, "rollback", reason="somebody complained")
            except JournalError:  # the first was stopped in the middle of an entry; its transaction ends in seconds
                return False
            return True

        await eventually(taken, "the rollback is taken")
        await until(two, "rolled back", in_state("rolled_back"))
        first.program.send_signal(signal.SIGCONT)

        await until(one, "the first has caught up", in_state("rolled_back"))
        assert not await leads(one)
        assert (await haproxy.router.read()).weight_ratio == 0
        await until(two, "everybody told", lambda now: "notify" in now["rollout"]["steps"])
    assert sum("was rolled back" in message["title"] for message in team.messages) == 1


async def test_both_told_at_once_do_it_once(pair: tuple[Setting, Setting], team: Team) -> None:
    """The same notification at both receivers becomes one rollback, one stop, one message."""
    one, two = pair
    async with receiving(one), receiving(two):
        await eventually(lambda: leads(one), "one leads")
        await order(one, "start", canary="v2.0", stable="v1.0")
        await until(two, "the second knows", in_state("phase"))
        rollout = (await status(one))["rollout"]["id"]

        for _ in range(5):
            for setting in (one, two):
                assert await post(setting, payload(alert("CanaryHighErrorRate", "rollback", rollout))) == 202
        for setting in (one, two):
            await until(setting, "told", lambda now: "notify" in now["rollout"]["steps"])

    kinds = [entry.kind.value for entry in await one.journal()]
    assert kinds.count("rollback") == kinds.count("rolled_back") == 1
    assert one.stopped() + two.stopped() == 1
    assert sum("was rolled back" in message["title"] for message in team.messages) == 1


@pytest.mark.parametrize("hears", ["leader", "standby"])
async def test_zero_is_in_force_while_postgres_hangs(
    pair: tuple[Setting, Setting], haproxy: HAProxy, postgres: Postgres, hears: str
) -> None:
    """The database answers no more, and the customers leave all the same; afterwards nobody puts them back.

    What is asserted is an order of events: the router has nobody on the canary before the database goes on.
    """
    async with receiving(pair[0]) as one, receiving(pair[1]) as two:
        await eventually(lambda: leads(pair[0]), "the first leads")
        await order(pair[0], "start", canary="v2.0", stable="v1.0")
        for setting in pair:
            await until(setting, "5 %", lambda now: bool(now["rollout"] and now["settled"]))
        rollout = (await status(pair[0]))["rollout"]["id"]
        setting = pair[0] if hears == "leader" else pair[1]

        async def nobody() -> bool:
            return (await haproxy.router.read()).weight_ratio == 0

        postgres.pause()
        try:
            webhook = asyncio.create_task(post(setting, payload(alert("CanaryHighErrorRate", "rollback", rollout))))
            await eventually(nobody, "nobody is on the canary while the database hangs")
        finally:
            postgres.go_on()
        await webhook

        for setting in pair:
            await until(setting, "rolled back", in_state("rolled_back"), 60)
        assert await nobody()
        rollouts = [receiver.store.rollout for receiver in (one, two)]
        weights = {weight.ratio for known in rollouts if known is not None for weight in known.weights}
        assert weights == {0.05, 0.0}


async def test_rolls_back_while_postgres_is_down(
    pair: tuple[Setting, Setting], haproxy: HAProxy, postgres: Postgres
) -> None:
    """Without its journal the receiver rolls back first, says 503, and writes it down when the journal is back."""
    one, _ = pair
    async with receiving(one):
        await eventually(lambda: leads(one), "it leads")
        await order(one, "start", canary="v2.0", stable="v1.0")
        await until(one, "5 %", lambda now: now["settled"])
        rollout = (await status(one))["rollout"]["id"]

        postgres.stop()
        answered = await post(one, payload(alert("CanaryHighErrorRate", "rollback", rollout)))
        await eventually(lambda: _closed(haproxy), "nobody on the canary")
        postgres.start()
        await until(one, "rolled back", in_state("rolled_back"))

    assert answered == 503
    assert [entry.kind.value for entry in await one.journal()].count("rollback") == 1


async def test_a_receiver_starts_while_postgres_is_down(pair: tuple[Setting, Setting], postgres: Postgres) -> None:
    """It answers at once, and leads as soon as its journal is there."""
    one, _ = pair
    postgres.stop()
    async with receiving(one):
        assert not await leads(one)
        postgres.start()
        await eventually(lambda: leads(one), "it leads")
        await order(one, "start", canary="v2.0", stable="v1.0")
        await until(one, "5 %", lambda now: now["settled"])


async def _closed(haproxy: HAProxy) -> bool:
    return (await haproxy.router.read()).weight_ratio == 0
