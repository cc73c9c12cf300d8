"""The same request again gets the first result; a key that was used for another request does not."""

from datetime import UTC, datetime

import pytest

from canary.errors import RefusedError
from canary.rollout.commands.commands import Advance, RollBack
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import Advanced, RollbackDecided
from canary.rollout.store.requests import Requests

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ADVANCED = Advanced(rollout="r1", at=NOON, actor="ann", phase=1, seq=4, request="k")


def remembered(*entries: Advanced | RollbackDecided) -> Requests:
    """Requests that have led to these entries."""
    requests = Requests()
    for entry in entries:
        requests.remember(entry)
    return requests


def test_a_repetition_gets_the_first_result() -> None:
    """The same key, about the same rollout, whatever has happened to it meanwhile."""
    requests = remembered(ADVANCED)

    assert requests.first_result("k", Advance(actor="ann"), Seen("r1", 1)) == ADVANCED
    assert requests.first_result("other", Advance(actor="ann"), Seen("r1", 1)) is None
    assert requests.first_result("", Advance(actor="ann"), Seen("r1", 1)) is None
    assert "k" in requests


def test_a_key_of_another_rollout_answers_nothing() -> None:
    """A script with a fixed key is not told that an earlier rollback was this rollout's; to raise, it is refused."""
    rollback = RollbackDecided(rollout="r1", at=NOON, actor="ann", cause="manual", seq=9, request="k")

    assert remembered(rollback).first_result("k", RollBack(actor="ann"), Seen("r2")) is None
    with pytest.raises(RefusedError, match="used before, for entry 4 of rollout r1"):
        remembered(ADVANCED).first_result("k", Advance(actor="ann"), Seen("r2", 7))


def test_entries_without_a_key_are_nobodys_result() -> None:
    """What alerts decided has no key, and is not remembered."""
    requests = remembered(Advanced(rollout="r1", at=NOON, actor="alertmanager", phase=1))

    assert "" not in requests
