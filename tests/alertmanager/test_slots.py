"""Release after release with two equal groups of servers: the roles change, and no customer moves for it."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from canary.errors import RefusedError
from canary.policy.routers.slots import Slots
from canary.rollout.kinds import Kind
from canary.rollout.state import State
from canary.routers import Split
from tests.alertmanager.test_release import deploy, prometheus
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.nginx import Nginx
from tests.support.programs.processes import eventually
from tests.support.receiving.receiver import Setting, in_state, order, receiving, router_section, status, until
from tests.support.web.traffic import Customer, Upstream

__all__ = ["prometheus"]  # a fixture

USERS = [f"customer-{number}" for number in range(40)]


@pytest.fixture(params=[HAProxy, Nginx], ids=["haproxy", "nginx"])
async def front(
    request: pytest.FixtureRequest, tmp_path: Path, stable: Upstream, canary: Upstream
) -> AsyncIterator[Any]:
    """A running front with the server `stable` in slot a, and `canary` in slot b."""
    made = request.param(tmp_path / "front", "", "", slots=Slots(a=(stable.address,), b=(canary.address,)))
    with contextlib.ExitStack() as stack:
        stack.callback(made.stop)
        await made.start()
        yield made


def setting_of(folder: Path, front: Any, prometheus: str, stable: Upstream, canary: Upstream) -> Setting:
    """A policy with slots; what stops a process writes down whose it was."""
    section = router_section(front) | {
        "slots": {"a": [stable.address], "b": [canary.address]},
        "probe": {"path": "/", "header": "X-Version"},
    }
    stops = folder / "receiver" / "stops"
    changes = {
        "phases": [{"traffic": "25%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}],
        "receiver": {"prometheus": prometheus},
        "process": {"stop": ["sh", "-c", f"echo {{slot}} >> {stops}"]},
    }
    return Setting(folder / "receiver", [section], changes)


async def served(front: Any) -> list[str | None]:
    """The version that each user gets."""
    answers: list[str | None] = []
    for user in USERS:
        customer = Customer(front.port, user)
        answers.append((await customer.ask()).version)
        customer.close()
    return answers


async def test_releases_alternate_between_the_slots(
    tmp_path: Path, front: Any, prometheus: str, stable: Upstream, canary: Upstream
) -> None:
    """v2 goes to slot b and keeps everybody; v3 goes to slot a, is rolled back, and only slot a's process ends."""
    setting = setting_of(tmp_path, front, prometheus, stable, canary)
    await deploy(stable, "v1.0")
    await deploy(canary, "v2.0")
    async with receiving(setting):
        await order(setting, "start", canary="v2.0", stable="v1.0")
        await until(setting, "a quarter on the canary", lambda now: now["settled"])
        assert set(await served(front)) == {"v1.0", "v2.0"}
        await order(setting, "promote", force=True)
        await until(setting, "everybody on the canary", lambda now: now["settled"])
        with pytest.raises(RefusedError, match="run `canary finish`"):
            await order(setting, "start", canary="v3.0", stable="v2.0")
        await deploy(canary, "v1.9")
        with pytest.raises(RefusedError, match=r"runs v1\.9"):
            await order(setting, "finish")
        await deploy(canary, "v2.0")

        async def taken_up() -> bool:
            return set(await served(front)) == {"v2.0"}

        await eventually(taken_up, "the router has the server again")
        await order(setting, "finish")
        await until(setting, "the roles are recorded", lambda now: now["settled"])
        now = await status(setting)
        assert now["rollout"]["state"] == State.FINISHED
        assert (now["rollout"]["stable_slot"], now["rollout"]["weight_ratio"]) == ("b", 0)
        assert set(await served(front)) == {"v2.0"}

    await _next_release_is_rolled_back(setting, front, stable)
    # A stop is repeated until its step is in the journal.
    assert set(setting.stops.read_text().split()) == {"a"}
    kinds = [entry.kind for entry in await setting.journal()]
    assert kinds.count(Kind.FINISHED) == 1
    assert Kind.FINISHING not in kinds


async def _divided(setting: Setting, front: Any) -> None:
    """v3.0 has a quarter of the users, in slot a: those that the rollout chooses, once the router has its server up."""
    split = Split((await status(setting))["rollout"]["id"], 0.25, stable_slot="b")
    expected = ["v3.0" if front.router.is_canary(user, split) else "v2.0" for user in USERS]

    async def divided() -> bool:
        return await served(front) == expected

    await eventually(divided, "the users of v3.0 are those of its rollout")


async def _next_release_is_rolled_back(setting: Setting, front: Any, stable: Upstream) -> None:
    """Another receiver goes on from the journal, and what is stable is slot b."""
    async with receiving(setting):
        await deploy(stable, "v3.0")
        with pytest.raises(RefusedError, match=r"--stable is v1\.0, but"):
            await order(setting, "start", canary="v3.0", stable="v1.0", again=True)
        await order(setting, "start", canary="v3.0", stable="v2.0")
        await until(setting, "a quarter on the canary", lambda now: now["settled"])
        await _divided(setting, front)
        await order(setting, "rollback", reason="v3.0 is bad")
        await until(setting, "rolled back", in_state("rolled_back"))
        assert set(await served(front)) == {"v2.0"}
        assert (await status(setting))["rollout"]["stable_slot"] == "b"


async def test_a_journal_that_was_lost_does_not_lose_the_stable_slot(
    tmp_path: Path, front: Any, prometheus: str, stable: Upstream, canary: Upstream
) -> None:
    """With everybody on slot b, recorded as the stable one, a receiver without a past begins with it."""
    setting = setting_of(tmp_path, front, prometheus, stable, canary)
    await deploy(stable, "v3.0")
    await deploy(canary, "v2.0")

    await front.router.set_weight(Split("gone", 0.0, testers=False, stable_slot="b"))
    async with receiving(setting):
        await until(setting, "settled", lambda now: now["settled"])
        assert set(await served(front)) == {"v2.0"}
        await order(setting, "start", canary="v3.0", stable="v2.0")
        await until(setting, "a quarter on the canary", lambda now: now["settled"])
        assert (await status(setting))["rollout"]["stable_slot"] == "b"
        await _divided(setting, front)
