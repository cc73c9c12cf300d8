"""The receiver is killed at every journal write and at every step; whatever the moment, it ends where it should."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from canary.errors import CanaryError
from canary.rollout.entries import Entry
from canary.rollout.kinds import Kind
from canary.routers import Split
from canary.routers.base import Router
from canary.web.client import Client
from tests.support.programs.haproxy import HAProxy
from tests.support.receiving.chain import Chain, Places, chained
from tests.support.receiving.crashing import Mortal
from tests.support.receiving.receiver import Setting, Team, alert, payload, post, router_section

_PATIENCE_SECONDS = 40.0
_TWO_PHASES = [{"traffic": "5%", "duration": "300ms"}, {"traffic": "100%", "duration": "1h"}]

Status = dict[str, Any]

# Some thirty lives of a receiver, each with a death: half a minute on a quiet machine, much more on a busy one.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(params=["haproxy", "nginx"])
def router(request: pytest.FixtureRequest) -> Any:
    """A running front: the test runs once with HAProxy and once with nginx."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def lasting(tmp_path: Path, router: Any, told: dict[str, Any]) -> Setting:
    """A policy whose first phase lasts for ever."""
    phases = [{"traffic": "5%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}]
    return Setting(tmp_path / "receiver", [router_section(router)], {"notify": told, "phases": phases})


async def live(
    setting: Setting, receiver: Mortal, dies_at: int, act: Callable[[Status], Awaitable[bool]]
) -> tuple[list[Entry], bool]:
    """A receiver's life from an empty journal, killed at a point and started again: the journal, whether it died.

    *act* plays the person and Alertmanager: it is shown the status again and again, until it says that all is done.
    A life may end before its point: how many there are differs a little with who is quicker.
    """
    for file in setting.folder.glob("state.db*"):
        file.unlink()
    for name in ("stops", "rollbacks.log"):
        (setting.folder / name).unlink(missing_ok=True)
    receiver.begin(dies_at)
    died, done = False, False
    now: Status = {}
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    async with Client.of(setting.policy) as client:
        while not done:
            assert asyncio.get_running_loop().time() < deadline, f"killed at point {dies_at}: no end but {now}"
            if not receiver.alive():
                receiver.begin()
                died = True
            try:
                now = await client.get("status")
                done = await act(now)
            except (CanaryError, aiohttp.ClientError) as error:
                now["refused"] = str(error)
            await asyncio.sleep(0.02)
    entries = await setting.journal()
    receiver.end()
    return entries, died


def told_once(entries: list[Entry], team: Team, kinds: set[Kind]) -> None:
    """Every transition was confirmed exactly once, and its message arrived with its own key."""
    confirmed = Counter(entry.data()["entry"] for entry in entries if entry.kind is Kind.NOTIFIED)
    for entry in entries:
        if entry.kind in kinds:
            assert confirmed[entry.seq] == 1, entry
            key = f"[shop/{entry.rollout}/{entry.seq}]"
            assert any(key in message["message"] for message in team.messages), key


async def share(router: Router) -> float | None:
    """The canary's traffic weight as the router has it."""
    return (await router.read()).weight_ratio


async def test_a_rollback_survives_a_kill_at_every_point(lasting: Setting, router: Any, team: Team) -> None:
    """Killed before or after any effect of a rollback, it is completed after the restart: nothing lost, once each."""

    async def act(now: Status) -> bool:
        rollout = now["rollout"]
        if rollout is None:
            async with Client.of(lasting.policy) as client:
                await client.command("start", canary="v2.0", stable="v1.0")
        elif rollout["state"] == "phase" and now["settled"]:
            await post(lasting, payload(alert("CanaryHighErrorRate", "rollback", rollout["id"])))
        return bool(rollout) and rollout["state"] == "rolled_back" and {"notify", "log"} <= set(rollout["steps"])

    with Mortal(lasting) as receiver:
        point, died = 0, True
        while died:
            point += 1
            team.messages.clear()
            entries, died = await live(lasting, receiver, point, act)

            kinds = Counter(entry.kind for entry in entries)
            assert kinds[Kind.ROLLBACK] == kinds[Kind.ROLLED_BACK] == 1, f"killed at point {point}: {kinds}"
            assert await share(router.router) == 0, f"killed at point {point}"
            assert lasting.stopped() >= 1
            assert len((lasting.folder / "rollbacks.log").read_text().splitlines()) == 3
            told_once(entries, team, {Kind.STARTED, Kind.ROLLBACK})
    assert point > 24, "the harness does not see the effects"


@pytest.fixture
def places() -> Places:
    """Where Prometheus and Alertmanager will listen."""
    return Places()


@pytest.fixture
def advancing(tmp_path: Path, haproxy: HAProxy, told: dict[str, Any], places: Places) -> Setting:
    """A policy whose first phase is over at once."""
    changes = {"notify": told, "phases": _TWO_PHASES, "receiver": {**places.section(), "repeat": "10s"}}
    return Setting(tmp_path / "receiver", [router_section(haproxy)], changes)


@pytest.fixture
async def chain(advancing: Setting, places: Places, tmp_path: Path) -> AsyncIterator[Chain]:
    """A real Prometheus that shows every phase complete, and a real Alertmanager."""
    async with chained(advancing, places, tmp_path) as running:
        running.signals.complete = True
        yield running


async def test_an_advance_survives_a_kill_at_every_point(
    advancing: Setting, haproxy: HAProxy, team: Team, chain: Chain
) -> None:
    """Killed before or after any effect of an advance, the next phase is reached after the restart, once."""

    async def act(now: Status) -> bool:
        rollout = now["rollout"]
        if rollout is None:
            async with Client.of(advancing.policy) as client:
                await client.command("start", canary="v2.0", stable="v1.0")
        return bool(rollout) and rollout["phase"] == 1 and now["settled"] and not now["untold"]

    with Mortal(advancing) as receiver:
        point, died = 0, True
        while died:
            point += 1
            team.messages.clear()
            # An empty journal next to a router that has customers on a canary would be doubted, and rightly.
            await haproxy.router.set_weight(Split("none", 0.0, testers=False))
            entries, died = await live(advancing, receiver, point, act)

            kinds = Counter(entry.kind for entry in entries)
            assert kinds[Kind.ADVANCED] == 1, f"killed at point {point}: {kinds}"
            assert await share(haproxy.router) == 1, f"killed at point {point}"
            told_once(entries, team, {Kind.STARTED, Kind.ADVANCED})
    assert point > 12, "the harness does not see the effects"
