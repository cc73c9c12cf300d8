"""Requests that have been carried out, by the callers' own keys: the same one again gets the first result.

A caller whose answer was lost sends its command again; carried out twice, an advance would skip a phase. People also
write scripts in which the key is always the same. Answered with what an earlier rollout's rollback led to, such a
script would believe that this rollout is rolled back too, while its customers stay on the canary; so a key counts for
the same request only.
"""

from collections import OrderedDict

from canary.errors import RefusedError
from canary.rollout.commands.commands import Command
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import Entry

# A caller repeats a request after its time-out of a minute at most; nobody makes that many in a minute.
_KEPT = 1000


class Requests:
    """The newest requests with their first results."""

    def __init__(self) -> None:
        self._results: OrderedDict[str, Entry] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        """Whether a request with this key has been carried out."""
        return key in self._results

    def remember(self, entry: Entry) -> None:
        """Remember what the entry's request led to."""
        if entry.request:
            self._results[entry.request] = entry
            while len(self._results) > _KEPT:
                self._results.popitem(last=False)

    def result_of(self, entry: Entry) -> Entry | None:
        """What is written for the request that made this entry, about the same rollout."""
        known = self._results.get(entry.request)
        return known if known is not None and known.rollout == entry.rollout else None

    def first_result(self, key: str, command: Command, seen: Seen) -> Entry | None:
        """The entry that a request with this key led to; None when it has not been carried out.

        Raises:
            RefusedError: the key belongs to another request; what lowers is carried out all the same.
        """
        known = self._results.get(key)
        if known is None or command.repeats(known, seen):
            return known
        if command.lowers:
            return None
        raise RefusedError(
            f"this key was used before, for entry {known.seq} of rollout {known.rollout}",
            place="idempotency key",
            remedy="take a new key for each command",
        )
