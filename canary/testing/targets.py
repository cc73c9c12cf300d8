"""Targets of notifications, in memory."""

from collections.abc import Collection

from canary.errors import NotificationError
from canary.notify import Delivery, Message
from canary.testing.hooks import Hook, calm


class MemoryTargets:
    """Targets that take messages, or refuse them; takes the place of a `Notifier`.

    Attributes:
        refusing: targets that take nothing at present.
        taken: what arrived, as target and message, in order.
        before, after: what happens around each attempt at a target; a NotificationError fails it.
    """

    def __init__(self, *targets: str, before: Hook = calm, after: Hook = calm) -> None:
        self.targets = targets
        self.refusing: set[str] = set()
        self.taken: list[tuple[str, Message]] = []
        self.before = before
        self.after = after

    async def send(self, message: Message, targets: Collection[str] | None = None) -> tuple[Delivery, ...]:
        """One attempt at each."""
        return tuple(
            [await self._deliver(target, message) for target in self.targets if targets is None or target in targets]
        )

    async def _deliver(self, target: str, message: Message) -> Delivery:
        try:
            await self.before(target)
            if target in self.refusing:
                return Delivery(target, "refused")
            self.taken.append((target, message))
            await self.after(target)
        except NotificationError as error:
            return Delivery(target, str(error))
        return Delivery(target)

    def close(self) -> None:
        """Nothing to end."""
