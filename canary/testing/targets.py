"""Targets of notifications, in memory."""

from collections.abc import Collection

from canary.notify import Delivery, Message
from canary.testing.hooks import Hook, calm


class MemoryTargets:
    """Targets that take messages, or refuse them; takes the place of a `Notifier`.

    Attributes:
        refusing: targets that take nothing at present.
        taken: what arrived, as target and message, in order.
    """

    def __init__(self, *targets: str, before: Hook = calm, after: Hook = calm) -> None:
        self.targets = targets
        self.refusing: set[str] = set()
        self.taken: list[tuple[str, Message]] = []
        self._before = before
        self._after = after

    async def send(self, message: Message, targets: Collection[str] | None = None) -> tuple[Delivery, ...]:
        """One attempt at each."""
        deliveries = []
        for target in self.targets:
            if targets is not None and target not in targets:
                continue
            await self._before(target)
            if target in self.refusing:
                deliveries.append(Delivery(target, "refused"))
            else:
                self.taken.append((target, message))
                deliveries.append(Delivery(target))
        await self._after("sent")
        return tuple(deliveries)

    def close(self) -> None:
        """Nothing to end."""
