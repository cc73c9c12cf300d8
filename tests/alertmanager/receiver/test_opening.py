"""Opening a receiver: everything is there before the first worker runs, and is closed again whatever happens."""

import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from alertmanager.receiver import opening
from alertmanager.receiver.opening import open_receiver
from alertmanager.receiver.receiver import Receiver
from canary.errors import CanaryError, JournalError, PolicyError
from canary.policy.routers.slots import Slot
from canary.rollout.commands.commands import Start
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import RollbackDecided
from canary.rollout.passport import Passport
from canary.rollout.state import State
from canary.rollout.store.marker import Marker
from canary.rollout.store.sidefile import SideFile, beside
from canary.testing.clock import EPOCH
from canary.threads import OwnThread
from canary.web.metrics import service_registry
from canaryctl.check import Status
from canaryctl.check.state import check_state
from tests.support.receiving.receiver import Setting

Workers = Mapping[str, Callable[[], Awaitable[None]]]


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    """A policy without routers."""
    return Setting(tmp_path / "receiver")


def opened(setting: Setting) -> AbstractAsyncContextManager[Receiver]:
    """The receiver of a setting."""
    return open_receiver(setting.policy, service_registry())


def begin(stable_slot: Slot | None = None, passport: Passport | None = None) -> Start:
    """A rollout of v2."""
    return Start(
        actor="ada",
        rollout="r1",
        stable="v1",
        canary="v2",
        traffic=(0.05, 1.0),
        durations_seconds=(3600.0, 3600.0),
        stable_slot=stable_slot,
        passport=passport,
    )


async def start(receiver: Receiver) -> None:
    """Begin a rollout, whoever acts on it."""
    await receiver.store.propose(Seen.of(receiver.store.rollout), begin())


async def test_what_was_lowered_without_a_journal_is_known_before_a_worker_runs(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look of the first worker would raise it again."""
    async with opened(setting) as receiver:
        await start(receiver)
    marker = Marker(SideFile(beside(setting.policy, ".lowered"), OwnThread("lowered")))
    marker.keep([RollbackDecided(rollout="r1", at=EPOCH, actor="bob", reason="because", cause="manual")])
    await marker.close()
    seen: list[State] = []

    def looking(receiver: Receiver) -> Workers:
        assert receiver.store.rollout is not None
        seen.append(receiver.store.rollout.state)
        return {}

    monkeypatch.setattr(Receiver, "workers", looking)
    async with opened(setting):
        assert seen == [State.ROLLING_BACK]


async def test_a_receiver_opens_while_its_database_is_away(tmp_path: Path) -> None:
    """It knows of no rollout, and what is to be begun is refused by the journal alone."""
    away = {"state": {"url": "postgresql://shop@127.0.0.1:1/state"}}
    async with opened(Setting(tmp_path / "receiver", changes=away)) as receiver:
        assert receiver.store.rollout is None
        with pytest.raises(JournalError, match="Connection refused"):
            await start(receiver)


async def test_slots_stay_in_the_policy_while_slot_b_is_stable(setting: Setting) -> None:
    """Without them everybody would be sent to slot a: refused at a reload and at the start, and nothing is moved."""
    async with opened(setting) as receiver:
        await receiver.reload(setting.policy_file)
        await receiver.store.propose(Seen.of(None), begin("b"))
        with pytest.raises(PolicyError, match=r"router\.slots: is missing, and slot b is the stable one"):
            await receiver.reload(setting.policy_file)
        assert "slot b is the stable one" in receiver.reconciler.trust.doubt, "a journal that is read late"

    with pytest.raises(PolicyError, match="put it back; it can be left out once"):
        async with opened(setting):
            pass
    (finding, *_) = await check_state(setting.policy)
    assert (finding.status, finding.place) == (Status.FAILED, "router.slots")


async def test_a_server_stays_in_its_slot(tmp_path: Path) -> None:
    """With both slots exchanged the number in force at the routers would send everybody to the other servers."""

    def slotted(a: str, b: str) -> Setting:
        routers = [{"kind": "command", "set": ["true"], "read": ["true"], "slots": {"a": [a], "b": [b]}}]
        return Setting(tmp_path / "receiver", routers, {"process": {"stop": ["true", "{slot}"]}})

    passport = Passport(stable={"s2:1": "v1"}, canary={"s1:1": "v2"})
    setting = slotted("s1:1", "s2:1")
    async with opened(setting) as receiver:
        await receiver.store.propose(Seen.of(None), begin("b", passport))
        with pytest.raises(PolicyError) as caught:
            await receiver.take_over(slotted("s2:1", "s1:1").policy)
        assert [fault.place for fault in caught.value.faults] == ["router.slots.a", "router.slots.b"]
        assert "has s2:1, expected in slot b as when the last rollout began" in str(caught.value)
        (finding, *_) = await check_state(slotted("s2:1", "s1:1").policy)
        assert (finding.status, finding.place) == (Status.FAILED, "router.slots.a")
        # A slot may have another server, as when a machine was replaced.
        (finding, *_) = await check_state(slotted("s1:1", "s3:1").policy)
        assert finding.status is Status.OK


async def test_what_was_opened_is_closed_after_a_fault(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that cannot be made leaves no thread of those before it, and the next receiver opens."""
    before = set(threading.enumerate())

    def faulty(*_arguments: object) -> None:
        raise CanaryError("a faulty section")

    with monkeypatch.context() as patched:
        patched.setattr(opening, "Receiver", faulty)
        with pytest.raises(CanaryError, match="a faulty section"):
            async with opened(setting):
                pass
    for thread in set(threading.enumerate()) - before:
        thread.join(20)
        assert not thread.is_alive()

    async with opened(setting) as receiver:
        await start(receiver)
        assert receiver.store.rollout is not None
