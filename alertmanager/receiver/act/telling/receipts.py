"""Who has taken the message about an entry, as the journal says: read back before anybody is notified again."""

from collections.abc import Sequence
from dataclasses import dataclass

from canary.rollout.entries import Entry, Notified


@dataclass(frozen=True)
class Receipt:
    """What the journal says about the messages of one entry.

    Attributes:
        targets: those who have taken it.
        owed: those who had not, when that was written; None in what older versions wrote, which did not say.
        expired: the entry that says that it was given up.
    """

    targets: frozenset[str] = frozenset()
    owed: frozenset[str] | None = None
    expired: Entry | None = None


def receipts_of(entries: Sequence[Entry]) -> dict[int, Receipt]:
    """By the entry's position: who has been told."""
    receipts: dict[int, Receipt] = {}
    for entry in entries:
        if isinstance(entry, Notified):
            before = receipts.get(entry.entry, Receipt())
            receipts[entry.entry] = Receipt(
                before.targets | frozenset(entry.targets),
                None if entry.owed is None else frozenset(entry.owed),
                entry if entry.expired else before.expired,
            )
    return receipts
