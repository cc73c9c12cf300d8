"""Messages: at least once, until they are taken or too old, whichever rollout they are about."""

from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from alertmanager.receiver.act.outbox import Outbox
from alertmanager.receiver.act.telling.messages import Facts
from alertmanager.receiver.lead.leader import FileLeader
from alertmanager.receiver.metrics import Metrics
from canary import names
from canary.errors import JournalError
from canary.notify import Delivery, Message
from canary.policy.model import Audience, Notify, Policy
from canary.rollout.commands.commands import Hold, RollBack
from canary.rollout.entries import Entry, Notified
from canary.rollout.kinds import Kind, Step
from canary.rollout.plan.plans import Plans
from canary.rollout.state import State
from tests.support.receiving.acting import Acting, Chats, World, make_effects
from tests.support.receiving.deciding import Deciding


def outbox(deciding: Deciding, chats: Chats, **notify: Any) -> Outbox:
    """The outbox of a receiver."""
    policy = Policy(service="shop", notify=Notify(**notify))
    metrics = Metrics(CollectorRegistry(), "shop")
    effects = make_effects(deciding.store, FileLeader(None, deciding.clock), chats=chats)
    facts = Facts("shop", "canary 0%, stable 100%", {"router haproxy": "cannot be reached"})
    return Outbox(Plans(policy), deciding.store, effects, metrics, deciding.clock, lambda: facts)


async def test_only_who_has_not_taken_it_is_told_again() -> None:
    """One target that refuses is tried again; the other one is not bothered twice."""
    async with Deciding.about(Policy(service="shop")) as deciding:
        chats = Chats("slack#1", "mail#2")
        chats.refusing = {"slack#1"}
        box = outbox(deciding, chats)
        waits = [await box.step() for _ in range(3)]
        chats.refusing = set()
        await box.step()

        assert waits == sorted(waits)
        assert [target for target, _ in chats.taken] == ["mail#2", "slack#1"]
        await box.step()
        assert box.pending == ()


async def test_pauses_between_attempts_grow_to_a_minute() -> None:
    """A chat that is down for ten minutes is not hammered, and is told once it is back."""
    async with Deciding.about(Policy(service="shop")) as deciding:
        chats = Chats("slack#1")
        chats.refusing = {"slack#1"}
        box = outbox(deciding, chats)
        attempts, waited = 0, 0.0
        while waited < 600:
            wait = await box.step()
            deciding.clock.advance(wait)
            attempts, waited = attempts + 1, waited + wait
        chats.refusing = set()
        await box.step()

        assert attempts < 20
        assert wait == 60
        assert len(chats.taken) == 1


async def test_what_is_too_old_is_dropped_and_said_so() -> None:
    """A message that nobody took for `notify.expire` is given up, in the journal too."""
    async with Deciding.about(Policy(service="shop")) as deciding:
        chats = Chats("slack#1")
        chats.refusing = {"slack#1"}
        box = outbox(deciding, chats, expire=60)
        await box.step()
        deciding.clock.advance(61)
        await box.step()
        chats.refusing = set()
        await box.step()

        assert chats.taken == []
        (told,) = (entry for entry in await deciding.store.entries() if isinstance(entry, Notified))
        assert told.expired
        assert box.pending == ()
        assert [entry.kind for entry in box.expired] == [Kind.STARTED]


async def test_only_the_policys_occasions_are_told() -> None:
    """What the policy does not list is not told, and a rollback's last step is done all the same."""
    async with Deciding.about(Policy(service="shop")) as deciding:
        chats = Chats("slack#1")
        box = outbox(deciding, chats, on=("promotion",))
        await deciding.order("rollback")
        deciding.clock.advance(31)
        await box.step()

        assert chats.taken == []
        assert Step.NOTIFY in deciding.rollout.steps


async def test_a_rollbacks_message_says_what_counts() -> None:
    """The message names versions, reason, who decided, what is not confirmed, what hinders it, and its key."""
    async with Deciding.about(Policy(service="shop")) as deciding:
        chats = Chats("slack#1")
        box = outbox(deciding, chats, on=("rollback",))
        await deciding.hear("CanaryHighErrorRate", "rollback")
        await box.step()
        assert chats.taken == [], "told before it is complete or late"
        deciding.clock.advance(31)
        await box.step()

        ((_, message),) = chats.taken
        assert message.title == "shop: rollback of v2.0 is NOT complete (CanaryHighErrorRate)"
        for part in (
            "v2.0 (canary) against v1.0 (stable)",
            "CanaryHighErrorRate of the canary",
            "by alertmanager",
            "NOT COMPLETE: traffic, process not confirmed",
            "router haproxy: cannot be reached",
            f"[shop/{deciding.rollout.id}/2]",
        ):
            assert part in message.body


# Whichever rollout it is about.


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world with two chats."""
    async with World.around(tmp_path, notify=Notify(expire=3600)) as world:
        world.chats = Chats("slack#1", "mail#2")
        yield world


def titles(world: World, target: str) -> list[str]:
    """What one target has taken."""
    return [message.title.removeprefix("shop: ") for to, message in world.chats.taken if to == target]


def count(receiver: Acting, outcome: str) -> float:
    """How often a message had an outcome."""
    labels = {names.SERVICE: "shop", "outcome": outcome}
    return receiver.metrics.registry.get_sample_value(names.NOTIFICATIONS_TOTAL, labels) or 0


async def test_a_rollback_is_told_although_the_next_rollout_has_begun(leader: Acting, world: World) -> None:
    """A chat that was down hears of the old rollback when it is up, from another receiver too, and of the new start."""
    world.chats.refusing = {"slack#1"}
    await leader.outbox.step()
    await leader.roll_back()
    await leader.reconcile()
    await leader.outbox.step()
    old = leader.rollout
    await leader.start("v2.2")
    world.chats.refusing = set()

    successor = world.receiver()
    await successor.store.refresh()
    await successor.outbox.step()

    assert sorted(titles(world, "slack#1")) == [
        "canary v2.0 starts with 5% of the customers",
        "canary v2.0 was rolled back (manual)",
        "canary v2.2 starts with 5% of the customers",
    ]
    assert len(titles(world, "mail#2")) == 3, "who has been told is not told again"
    await successor.outbox.step()
    assert Step.NOTIFY in successor.store.rollouts[old.id].steps
    assert successor.outbox.pending == ()


async def test_the_message_of_an_older_rollout_does_not_speak_of_the_newest_ones_traffic(
    leader: Acting, world: World
) -> None:
    """Where the traffic is now, and what does not work now, is said only about the rollout that has it."""
    await leader.roll_back()
    await leader.reconcile()
    await leader.start("v2.2")

    await leader.outbox.step()

    (body,) = {message.body for _, message in world.chats.taken if "was rolled back" in message.title}
    assert "Traffic:" not in body
    assert "is unreachable" not in body


async def test_a_given_up_rollback_is_told(leader: Acting, world: World) -> None:
    """It was decided and was not told yet when a person gave it up."""
    world.router.away = True
    await leader.roll_back()
    await leader.outbox.step()
    await leader.give_up()

    await leader.outbox.step()
    await leader.outbox.step()

    assert "canary v2.0 was rolled back (manual)" in titles(world, "mail#2")
    assert leader.rollout.state is State.FAILED
    assert Step.NOTIFY in leader.rollout.steps


async def test_what_expires_of_an_older_rollout_is_counted_and_shown(leader: Acting, world: World) -> None:
    """Nobody took it within its time: the journal, the counter and the status say so, for a week."""
    world.chats.refusing = {"slack#1", "mail#2"}
    await leader.roll_back()
    await leader.reconcile()
    await leader.outbox.step()
    await leader.start("v2.2")
    world.chats.refusing = set()
    world.clock.advance(3601)

    await leader.outbox.step()
    await leader.outbox.step()

    assert count(leader, "expired") == 3
    assert sorted(entry.kind for entry in leader.outbox.expired) == [Kind.ROLLBACK, Kind.STARTED, Kind.STARTED]
    assert leader.outbox.pending == ()
    restarted = world.receiver()
    await restarted.store.refresh()
    await restarted.outbox.step()
    assert len(restarted.outbox.expired) == 3
    assert count(restarted, "expired") == 0

    world.clock.advance(8 * 24 * 3600)
    await restarted.roll_back()
    await restarted.outbox.step()
    assert not restarted.outbox.expired


async def test_one_target_that_never_took_it_makes_it_expire(leader: Acting, world: World) -> None:
    """Told to one of two in time is not told to everybody."""
    world.chats.refusing = {"slack#1"}
    await leader.outbox.step()
    world.clock.advance(3601)
    await leader.outbox.step()
    await leader.outbox.step()

    assert count(leader, "expired") == 1
    assert len(leader.outbox.expired) == 1
    assert len(titles(world, "mail#2")) == 1


async def test_a_new_target_does_not_hear_of_the_past(leader: Acting, world: World) -> None:
    """What everybody had been told when it was added is closed: neither sent again nor counted as expired."""
    await leader.outbox.step()
    world.chats.targets = ("slack#1", "mail#2", "sms#3")
    await leader.outbox.step()
    world.clock.advance(7200)
    restarted = world.receiver()
    await restarted.store.refresh()
    await restarted.outbox.step()

    assert titles(world, "sms#3") == []
    assert count(restarted, "expired") == 0
    assert restarted.outbox.expired == ()


async def test_marks_of_an_older_version_are_understood(leader: Acting, world: World) -> None:
    """They do not say who was still to be told: within the time the others are, afterwards nobody is bothered."""
    start = (await leader.store.entries())[0]
    at = world.clock.now()
    await leader.journal.append(
        Notified(rollout=start.rollout, at=at, actor="receiver", entry=start.seq, targets=("slack#1",))
    )
    await leader.store.refresh()
    await leader.outbox.step()

    assert titles(world, "slack#1") == []
    assert len(titles(world, "mail#2")) == 1

    at = world.clock.now()
    await leader.roll_back()
    await leader.give_up()
    await leader.start("v2.2")
    newer = (await leader.store.entries())[-1]
    await leader.journal.append(
        Notified(rollout=newer.rollout, at=at, actor="receiver", entry=newer.seq, targets=("slack#1",))
    )
    world.clock.advance(3601)
    await leader.store.refresh()
    await leader.outbox.step()
    assert newer not in leader.outbox.expired


async def test_what_happened_long_ago_is_not_brought_up(leader: Acting, world: World) -> None:
    """A policy that begins to tell people of something tells nothing of rollouts that ended weeks ago."""
    await leader.roll_back()
    await leader.reconcile()
    world.clock.advance(30 * 24 * 3600)

    await leader.outbox.step()

    assert world.chats.taken == []
    assert leader.outbox.pending == ()
    assert count(leader, "expired") == 0


async def test_people_hear_of_a_rollback_that_the_journal_cannot_take(leader: Acting, world: World) -> None:
    """Told from memory while the journal is broken, once; nothing is lost and nothing told again when it is back."""
    await leader.outbox.step()
    leader.journal.broken = True
    with pytest.raises(JournalError):
        await leader.roll_back()
    world.clock.advance(31)
    await leader.outbox.step()
    await leader.outbox.step()
    assert titles(world, "slack#1")[1:] == ["rollback of v2.0 is NOT complete (manual)"]

    leader.journal.broken = False
    await leader.store.refresh()
    for _ in range(3):
        await leader.outbox.step()
    assert len(titles(world, "slack#1")) == 2
    assert leader.outbox.pending == ()
    assert Step.NOTIFY in leader.rollout.steps


class Receipts:
    """Keeps a journal from taking who was told, while a test says so."""

    def __init__(self, leader: Acting, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refused = True
        self._append = leader.journal.append
        monkeypatch.setattr(leader.journal, "append", self._appended)

    async def _appended(self, entry: Entry, *, after: Entry | int | None = None) -> Entry:
        if self.refused and isinstance(entry, Notified):
            raise JournalError("no space left", place="journal")
        return await self._append(entry, after=after)


async def test_nobody_is_told_twice_because_it_cannot_be_written_who_was(
    leader: Acting, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal goes while a target takes the message; who was told is written when it is back."""
    receipts = Receipts(leader, monkeypatch)
    for _ in range(3):
        await leader.outbox.step()
    receipts.refused = False
    for _ in range(3):
        await leader.outbox.step()

    assert len(titles(world, "slack#1")) == len(titles(world, "mail#2")) == 1
    assert leader.outbox.pending == ()


async def test_who_took_it_late_is_written_however_long_that_cannot_be(
    leader: Acting, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One target has refused, and takes it while the journal takes nothing: after a restart it would hear it anew."""
    receipts = Receipts(leader, monkeypatch)
    receipts.refused = False
    world.chats.refusing = {"mail#2"}
    await leader.outbox.step()
    receipts.refused, world.chats.refusing = True, set()
    for _ in range(2):
        await leader.outbox.step()
    receipts.refused = False
    await leader.outbox.step()

    written = [entry for entry in await leader.journal.entries() if isinstance(entry, Notified)]
    assert set().union(*(entry.targets for entry in written)) == {"slack#1", "mail#2"}
    assert len(titles(world, "mail#2")) == 1


async def test_what_is_told_early_has_a_key_of_its_own(leader: Acting, world: World) -> None:
    """Two decisions that the journal has not taken are two keys, so that a chat that drops what it has shows both."""
    leader.journal.broken = True
    for command in (Hold(actor="ann", reason="look"), RollBack(actor="ann", reason="bad")):
        with pytest.raises(JournalError):
            await leader.propose(command)
    world.clock.advance(31)
    await leader.outbox.step()

    told = [message.body.rpartition("[")[2] for target, message in world.chats.taken if target == "slack#1"]
    assert len(told) == len(set(told)) == 2
    assert all(key.startswith(f"shop/{leader.rollout.id}/") and not key.endswith("/0]") for key in told)


async def test_a_journal_that_was_away_is_read_again(leader: Acting, world: World) -> None:
    """What could not be looked at is not taken for told."""
    leader.journal.broken = True
    await leader.outbox.step()
    assert world.chats.taken == []

    leader.journal.broken = False
    await leader.outbox.step()
    assert len(titles(world, "slack#1")) == 1


async def test_a_standby_tells_nobody(leader: Acting, world: World) -> None:
    """Messages are the leader's."""
    standby = world.receiver(leading=False)
    await standby.store.refresh()

    await standby.outbox.step()

    assert world.chats.taken == []


async def test_an_audience_hears_of_its_own_occasions_only() -> None:
    """Stakeholders hear of the start and not of a hold; once only, and nobody is owed anything."""
    async with Deciding.about(Policy(service="shop")) as deciding:
        chats = Chats("slack#1", "stakeholders/mail#1", "gone/mail#1")
        box = outbox(deciding, chats, on=("hold",), audiences={"stakeholders": Audience(on=("start",))})
        await box.step()
        await deciding.store.propose(None, Hold(actor="ada", reason="look"))
        await box.step()
        await box.step()

        assert [target for target, _ in chats.taken] == ["stakeholders/mail#1", "slack#1"]
        assert box.pending == ()


async def test_who_has_taken_it_is_remembered_when_the_journal_goes_away_before_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The journal is away between the two messages: what was taken is remembered, and only the audience is left."""
    async with Deciding.about(Policy(service="shop")) as deciding:
        chats = Chats("slack#1", "stakeholders/mail#1")
        box = outbox(deciding, chats, on=("start",), audiences={"stakeholders": Audience(on=("start",))})
        send = box._effects.send
        asked: list[tuple[str, ...]] = []

        async def away(entry: Entry, text: Message, targets: Collection[str], **still: Any) -> tuple[Delivery, ...]:
            asked.append(tuple(targets))
            if len(asked) == 2:
                raise JournalError("the database is away")
            return await send(entry, text, targets, **still)

        monkeypatch.setattr(box._effects, "send", away)
        await box.step()
        await box.step()

        assert asked == [("slack#1",), ("stakeholders/mail#1",), ("stakeholders/mail#1",)]
        assert [target for target, _ in chats.taken] == ["slack#1", "stakeholders/mail#1"]
        await box.step()
        assert box.pending == ()
