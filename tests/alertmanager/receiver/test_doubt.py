"""A journal that cannot be what the routers were driven by: nothing is changed but downwards, until a person says."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from alertmanager.receiver.act.trust import doubt_about
from canary.errors import JournalError, RefusedError
from canary.rollout.folding import fold
from canary.routers import Observation, Reading, Split
from canary.routers.bucket import salt_of
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.processes import eventually
from tests.support.receiving.entries import started
from tests.support.receiving.receiver import Setting, order, receiving, router_section, status, until

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def reading(weight: float | None, rollout: str = "r1") -> Observation:
    """One router's instance."""
    salt = salt_of(rollout) if weight else None
    return Observation((Reading("a", weight, salt, error="" if weight is not None else "away"),))


@pytest.mark.parametrize(
    ("rollouts", "observation", "doubt"),
    [
        ((), None, "has not been read yet"),
        ((), reading(0.0), ""),
        ((), reading(0.05), "knows of no rollout, and router edge (a) has 5% on a canary"),
        ((), reading(None), "knows of no rollout, and router edge (a) cannot be read"),
        (("r1",), None, ""),
        (("r1",), reading(None), ""),
        (("r1",), reading(1.0), ""),
        (("r1", "r2"), reading(0.05, "r1"), ""),
        (("r1",), reading(0.05, "r2"), "does not know the rollout"),
    ],
)
def test_doubt_is_defined(rollouts: tuple[str, ...], observation: Observation | None, doubt: str) -> None:
    """A router's weight belongs to a rollout; a journal that has not got it is not the one that it was driven by."""
    known = fold(started(rollout, at=NOON) for rollout in rollouts)
    found = doubt_about({"edge": observation}, known)
    assert doubt in found
    assert bool(doubt) == bool(found)


async def ready(setting: Setting) -> int:
    """What `/-/ready` answers."""
    async with aiohttp.ClientSession() as session, session.get(f"{setting.url}/-/ready") as answer:
        return answer.status


@pytest.fixture
def setting(tmp_path: Path, haproxy: HAProxy) -> Setting:
    """A receiver of a real HAProxy, with phases that last."""
    phases = [{"traffic": "5%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}]
    return Setting(tmp_path, [router_section(haproxy)], {"phases": phases})


def gone(setting: Setting) -> None:
    """The journal's file is lost."""
    for file in setting.folder.glob("state.db*"):
        file.unlink()


def damaged(setting: Setting) -> None:
    """The journal's file is no database any more."""
    for file in setting.folder.glob("state.db-*"):
        file.unlink()
    (setting.folder / "state.db").write_bytes(b"garbage" * 1000)


@pytest.mark.parametrize("lose", [gone, damaged])
async def test_routers_stay_and_can_be_lowered(
    setting: Setting, haproxy: HAProxy, lose: Callable[[Setting], None]
) -> None:
    """Nobody is sent anywhere by a journal that is lost or damaged; a person's rollback is carried out."""
    async with receiving(setting):
        await order(setting, "start", canary="v2.0", stable="v1.0")
        await until(setting, "5 %", lambda now: now["settled"])
    lose(setting)

    async with receiving(setting) as receiver:
        await eventually(lambda: receiver.reconciler.controllers[0].observation is not None, "the router is read")
        await asyncio.sleep(0.5)  # time for looks that must not act
        assert await ready(setting) == 503
        assert (await haproxy.router.read()).weight_ratio == 0.05
        assert "routers are left as they are" in (await status(setting))["errors"]["journal in doubt"]
        with pytest.raises((RefusedError, JournalError), match=r"cannot start|no(t a)? database"):
            await order(setting, "start", canary="v2.0", stable="v1.0")

        await order(setting, "rollback", reason="to be sure")

        assert (await haproxy.router.read()).weight_ratio == 0


async def test_a_person_adopts_what_is_in_force(setting: Setting, haproxy: HAProxy) -> None:
    """With the rollout's id nothing changes for anybody; it is held, and goes on or back as any other.

    A weight that is finer than a router's becomes the next smaller one that all of them can have.
    """
    split = Split("v2.0-20260101T000000", 0.05)
    await haproxy.router.set_weight(split)
    async with receiving(setting):
        await eventually(lambda: ready_is(setting, 503), "in doubt")
        adopt: dict[str, Any] = {"canary": "v2.0", "stable": "v1.0", "weight": 0.050049, "rollout": split.rollout}
        await order(setting, "adopt", **adopt)
        await until(setting, "settled", lambda now: now["settled"])

        now = await status(setting)
        assert (now["rollout"]["state"], now["rollout"]["weight_ratio"]) == ("holding", 0.05)
        assert await ready(setting) == 200
        assert (await haproxy.router.read()).agrees(split)
        with pytest.raises(RefusedError, match="cannot adopt"):
            await order(setting, "adopt", **adopt)

        await order(setting, "resume")
        await order(setting, "rollback", reason="enough")
        await until(setting, "rolled back", lambda now: now["rollout"]["state"] == "rolled_back")
    assert (await haproxy.router.read()).weight_ratio == 0


async def test_without_the_id_the_rollout_has_a_new_one(setting: Setting, haproxy: HAProxy) -> None:
    """The weight stays; who is on the canary is chosen anew, and is the receiver's from then on."""
    await haproxy.router.set_weight(Split("unknown", 1.0))
    async with receiving(setting):
        await eventually(lambda: ready_is(setting, 503), "in doubt")
        await order(setting, "adopt", canary="v2.0", stable="v1.0", weight=1.0)
        await until(setting, "settled", lambda now: now["settled"])

        assert (await haproxy.router.read()).weight_ratio == 1
        await order(setting, "promote", force=True)
        assert (await status(setting))["rollout"]["state"] == "promoted"


async def ready_is(setting: Setting, expected: int) -> bool:
    """Whether `/-/ready` answers so."""
    return await ready(setting) == expected
