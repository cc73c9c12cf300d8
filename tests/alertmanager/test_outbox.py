"""Messages: at least once, until they are taken or too old."""

from collections.abc import Collection
from typing import Any, cast

from prometheus_client import CollectorRegistry

from alertmanager.leader import FileLeader
from alertmanager.messages import Facts
from alertmanager.metrics import Metrics, Snapshot
from alertmanager.outbox import Outbox
from canary.notify import Delivery, Message, Notifier
from canary.policy.model import Notify, Policy
from canary.rollout import Kind, Step
from tests.support.deciding import Deciding


class Chats:
    """Targets that take messages, or refuse them."""

    def __init__(self, *targets: str) -> None:
        self.targets = targets
        self.refusing: set[str] = set()
        self.taken: list[tuple[str, Message]] = []

    async def send(self, message: Message, targets: Collection[str] | None = None) -> tuple[Delivery, ...]:
        """One attempt at each."""
        deliveries = []
        for target in self.targets if targets is None else targets:
            if target in self.refusing:
                deliveries.append(Delivery(target, "refused"))
            else:
                self.taken.append((target, message))
                deliveries.append(Delivery(target))
        return tuple(deliveries)


def outbox(deciding: Deciding, chats: Chats, **notify: Any) -> Outbox:
    """The outbox of a receiver."""
    policy = Policy(service="shop", notify=Notify(**notify))
    metrics = Metrics(CollectorRegistry(), "shop", Snapshot)
    leader = FileLeader(None, deciding.clock)
    facts = Facts("shop", "canary 0%, stable 100%", {"router haproxy": "cannot be reached"})
    notifier = cast("Notifier", chats)
    return Outbox(policy, deciding.store, notifier, metrics, leader, deciding.clock, lambda: facts)


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
        (told,) = (entry for entry in await deciding.store.entries() if entry.kind is Kind.NOTIFIED)
        assert told.data["expired"] is True


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
        assert message.title == "shop: rollback of v2.0 does not get through (CanaryHighErrorRate)"
        for part in (
            "v2.0 (canary) against v1.0 (stable)",
            "CanaryHighErrorRate of the canary",
            "by alertmanager",
            "NOT COMPLETE: traffic, process not confirmed",
            "router haproxy: cannot be reached",
            f"[shop/{deciding.rollout.id}/2]",
        ):
            assert part in message.body
