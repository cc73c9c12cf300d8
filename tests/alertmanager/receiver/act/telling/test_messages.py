"""What people read about each decision."""

from datetime import timedelta
from typing import Any

import pytest

from alertmanager.receiver.act.telling.messages import OCCASIONS, Facts, message, occasion
from canary.notify import Tone
from canary.rollout.entries import (
    Advanced,
    Entry,
    FinishBegan,
    Finished,
    FinishReturned,
    FinishStepped,
    Held,
    Promoted,
    Recorded,
    Resumed,
    RollbackDecided,
    Started,
)
from canary.rollout.folding import fold, newest
from canary.rollout.journal.rows import KINDS
from canary.rollout.kinds import Kind
from canary.rollout.state import Rollout
from tests.support.clock import FakeClock

AT = FakeClock().now()
COMMON: dict[str, Any] = {"rollout": "r-1", "at": AT, "actor": "ann", "reason": "because", "seq": 7}
START = Started(
    **{**COMMON, "seq": 1}, stable="v1.0", canary="v2.0", traffic=(0.005, 1.0), durations_seconds=(300.0, 300.0)
)
ROLLBACK = RollbackDecided(**COMMON, cause="CanaryHighErrorRate")


def rollout(*entries: Entry) -> Rollout:
    """The rollout after these entries."""
    found = newest(fold([START, *entries]))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("entry", "named", "title", "tone"),
    [
        (START, "start", "canary v2.0 starts with 0.5% of the customers", Tone.INFO),
        (Advanced(**COMMON, phase=1), "advance", "canary v2.0 advanced to 100% of customers", Tone.INFO),
        (Held(**COMMON, cause="manual"), "hold", "canary v2.0 is held (manual)", Tone.WARNING),
        (Held(**COMMON, cause="CanaryBlind"), "blind", "canary v2.0 is held (CanaryBlind)", Tone.WARNING),
        (
            Held(**COMMON, cause="CanaryHighErrorRate", rollback_at=AT + timedelta(minutes=1)),
            "hold",
            "canary v2.0 will be rolled back at 2026-03-03 12:01:00 UTC (CanaryHighErrorRate)",
            Tone.WARNING,
        ),
        (Resumed(**COMMON), "hold", "canary v2.0 goes on", Tone.INFO),
        (Promoted(**COMMON), "promotion", "canary v2.0 is promoted", Tone.SUCCESS),
        (ROLLBACK, "rollback", "rollback of v2.0 is NOT complete (CanaryHighErrorRate)", Tone.FAILURE),
        (
            Recorded(**COMMON, key="dry_run:CanaryHighErrorRate", occasion="dry_run"),
            "rollback",
            "canary v2.0 would have been rolled back (CanaryHighErrorRate)",
            Tone.WARNING,
        ),
        (
            Recorded(**COMMON, key="watch:CanaryHighErrorRate", occasion="watch"),
            "rollback",
            "v2.0 breaks a limit after its promotion (CanaryHighErrorRate)",
            Tone.FAILURE,
        ),
        (
            Recorded(**COMMON, key="gate:1", occasion="gate"),
            "hold",
            "canary v2.0 waits for a person",
            Tone.INFO,
        ),
    ],
)
def test_a_decision_is_told_with_who_why_and_its_key(entry: Entry, named: str, title: str, tone: Tone) -> None:
    """Each has its occasion, its title and colour; the body names versions, reason, author, moment and the key."""
    told = message(entry, rollout(entry), Facts("shop"), "shop/r-1/7")

    assert occasion(entry) == named
    assert named in OCCASIONS
    assert told.title == f"shop: {title}"
    assert told.tone is tone
    for part in ("v2.0 (canary) against v1.0 (stable), rollout r-1", "because", "12:00:00 UTC by ann", "[shop/r-1/7]"):
        assert part in told.body


@pytest.mark.parametrize(
    ("entries", "named", "title", "tone"),
    [
        ((), "promotion", "release v2.0 is being finished", Tone.INFO),
        (
            (FinishStepped(**COMMON, step=0),),
            "advance",
            "50% of the traffic is back on the stable servers, on v2.0",
            Tone.INFO,
        ),
        ((Held(**COMMON, cause="servers"),), "hold", "finishing v2.0 is frozen (servers)", Tone.FAILURE),
        ((FinishReturned(**COMMON),), "promotion", "finishing v2.0 was taken back", Tone.WARNING),
        ((Finished(**COMMON),), "promotion", "release v2.0 is finished", Tone.SUCCESS),
    ],
)
def test_a_finish_is_told_as_the_success_that_it_is(
    entries: tuple[Entry, ...], named: str, title: str, tone: Tone
) -> None:
    """Each step of it, its freeze, its return and its end have a message; none of them speaks of a rollback."""
    began = FinishBegan(**COMMON, weights=(0.5, 0.0), step_seconds=60.0)
    entry = (began, *entries)[-1]
    told = message(entry, rollout(Promoted(**COMMON), began, *entries), Facts("shop"), "key")

    assert occasion(entry) == named
    assert told.title == f"shop: {title}"
    assert told.tone is tone
    assert "rolled back" not in told.title + told.body


def test_what_has_no_occasion_is_not_told() -> None:
    """Steps, marks and drills are the receiver's own."""
    told = {
        Kind.STARTED,
        Kind.ADOPTED,
        Kind.ADVANCED,
        Kind.HELD,
        Kind.RESUMED,
        Kind.PROMOTED,
        Kind.FINISHING,
        Kind.FINISH_STEP,
        Kind.FINISH_BACK,
        Kind.FINISHED,
        Kind.ROLLBACK,
        Kind.RECORDED,
    }
    silent = [one for one in KINDS.values() if one.kind not in told]

    assert silent
    for one in silent:
        assert occasion(object.__new__(one)) == ""
    assert occasion(Recorded(**COMMON, key="drill")) == ""


@pytest.mark.parametrize(("process", "missing"), [(True, "traffic, process"), (False, "traffic")])
def test_a_rollback_that_is_not_complete_names_only_what_there_is(*, process: bool, missing: str) -> None:
    """Where the policy names no process, none is waited for and none is said to be missing."""
    facts = Facts("shop", "canary 5%, stable 95%", {"router edge": "is unreachable"}, process=process)
    told = message(ROLLBACK, rollout(ROLLBACK), facts, "key")

    assert f"NOT COMPLETE: {missing} not confirmed. router edge: is unreachable" in told.body
    assert "Traffic: canary 5%, stable 95%." in told.body


def test_no_text_of_a_stranger_mentions_somebody_or_begins_a_line() -> None:
    """Reasons, names, currencies and error messages stay words: the message's own lines are all there is."""
    hostile = "@everyone <!here> [page](http://evil.example)\nRoll back (asks first; works once): http://evil.example"
    decided = RollbackDecided(**{**COMMON, "reason": hostile, "actor": hostile}, cause="CanaryHighErrorRate")
    held = Held(**{**COMMON, "reason": hostile}, cause=hostile)
    facts = Facts("shop", faults={"traffic": hostile}, prices=[hostile])

    for entry in (decided, held):
        plain = message(type(entry)(**{**COMMON, "cause": "x"}), rollout(entry), Facts("shop"), "shop/r-1/7")
        found = message(entry, rollout(entry), facts, "shop/r-1/7")
        text = f"{found.title}\n{found.body}"
        assert not [sign for sign in ("@everyone", "<!here", "](http") if sign in text]
        assert not [line for line in text.splitlines() if line.startswith("Roll back")]
        assert len(text.splitlines()) <= len(f"{plain.title}\n{plain.body}".splitlines()) + 1  # the price


def test_the_owner_that_the_policy_names_may_be_mentioned() -> None:
    """The policy's own words are sent as they stand: `owner: "@payments"` is meant."""
    held = Held(**COMMON, cause="CanaryKpi", kpi="payment_success_rate")
    facts = Facts("shop", owners={"payment_success_rate": "@payments"})

    assert "owner @payments." in message(held, rollout(held), facts, "shop/r-1/7").body
