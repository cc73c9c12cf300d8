"""Holds that the poller ends: after three looks that knew everything and showed nothing wrong, and no sooner."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.errors import JournalError
from canary.policy.model import Policy
from canary.policy.release import Rollback
from canary.rollout.commands.commands import Hold, Resume
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import Entry
from canary.rollout.kinds import Cause
from canary.rollout.state import State
from canary.rollout.store.store import RolloutStore
from tests.support.receiving.polling import UNKNOWN, Scene, scene
from tests.support.receiving.receiver import SERVICE


async def test_a_hold_ends_after_three_looks_that_showed_nothing() -> None:
    """Not after two; the journal says who and why."""
    async with scene() as now:
        await now.held()
        assert await now.looks(2) is State.HOLDING
        assert await now.looks() is State.PHASE
        assert (now.deciding.rollout.actor, now.deciding.rollout.reason) == ("prometheus", "CanaryBlind is over")


async def test_what_a_person_has_overruled_keeps_no_hold_from_ending() -> None:
    """Whoever cancels a countdown has decided about its alert; another cause's hold ends with that cause."""
    async with scene(Rollback(countdown=60)) as now:
        now.prometheus.now = [now.errors]
        await now.looks()
        await now.deciding.order("resume")
        now.prometheus.now = [now.errors, now.no_data]
        assert await now.looks() is State.HOLDING

        now.prometheus.now = [now.errors]

        assert await now.looks(3) is State.PHASE


async def test_a_rollout_that_began_as_a_dry_run_stays_one() -> None:
    """Whatever the policy file says by now, what only pretends keeps no hold from ending."""
    async with scene(Rollback(dry_run=True)) as now:
        store = now.deciding.store
        hold = Hold(actor="alertmanager", reason="", cause="CanaryBlind", lifts=True)
        await store.propose(Seen.of(store.rollout), hold)
        now.deciding.plans.file = Policy(service=SERVICE)
        now.prometheus.now = [now.errors]

        assert await now.looks(2) is State.HOLDING
        assert await now.looks() is State.PHASE


@pytest.mark.parametrize("question", ["now", "past"])
async def test_a_hold_stays_while_prometheus_knows_nothing(question: str) -> None:
    """A Prometheus that does not evaluate the rules, or has no history of them, lifts nothing, however often asked."""
    async with scene() as now:
        await now.held()
        setattr(now.prometheus, question, UNKNOWN)
        assert await now.looks(10) is State.HOLDING
        assert "does not evaluate" in now.poller.error

        setattr(now.prometheus, question, [])
        assert await now.looks(2) is State.HOLDING
        assert await now.looks() is State.PHASE
        assert now.poller.error == ""


async def test_a_hold_that_was_set_anew_needs_three_looks_of_its_own() -> None:
    """What was seen of one hold says nothing about the next, which looks the same."""
    async with scene() as now:
        await now.held()
        await now.looks(2)
        store = now.deciding.store
        await store.propose(Seen.of(store.rollout), Resume(actor="ann"))
        await store.propose(
            Seen.of(store.rollout), Hold(actor="alertmanager", reason="", cause="CanaryBlind", lifts=True)
        )

        assert await now.looks(2) is State.HOLDING
        assert await now.looks() is State.PHASE


async def test_a_hold_that_is_set_anew_while_the_lead_is_asked_stays() -> None:
    """What ends is the hold that was looked at, and no other."""
    async with scene() as now:
        await now.held()
        await now.looks(2)

        async def hold_anew() -> bool:
            await now.deciding.order("resume")
            await now.deciding.order("hold")
            return True

        now.leader.may_act = hold_anew  # type: ignore[method-assign]
        assert await now.looks() is State.HOLDING
        assert now.deciding.rollout.actor == "ann"


@pytest.mark.parametrize("cause", [Cause.MANUAL, Cause.MAX_DURATION, Cause.WATCHDOG])
async def test_only_an_alerts_hold_ends_by_itself(cause: Cause) -> None:
    """A person's hold is for a person to lift, and the heartbeat's for the heartbeat."""
    async with scene() as now:
        store = now.deciding.store
        hold = Hold(actor="receiver", reason="", cause=cause, lifts=cause is Cause.WATCHDOG)
        await store.propose(Seen.of(store.rollout), hold)

        assert await now.looks(5) is State.HOLDING


async def test_no_hold_ends_without_a_heartbeat_or_the_lead() -> None:
    """The receiver must hear, and must be the one that acts; then it is done at once."""
    async with scene() as now:
        await now.held()
        now.blind = True
        assert await now.looks(5) is State.HOLDING
        now.blind, now.leader.leading = False, False
        assert await now.looks(5) is State.HOLDING
        now.leader.leading = True
        assert await now.looks() is State.PHASE


class FullStore(RolloutStore):
    """A store whose journal takes nothing that raises."""

    async def propose(self, *_arguments: object, **_more: object) -> Entry:
        """Refuse."""
        raise JournalError("no space", place="journal")


async def test_a_journal_that_takes_nothing_does_not_end_the_poller() -> None:
    """The hold stays, and the next look tries again."""
    async with scene() as now:
        await now.held()
        broken = FullStore(now.deciding.store._reader.journal, now.deciding.clock)
        await broken.refresh()
        second = Scene(now.deciding, store=broken)

        assert await second.looks(4) is State.HOLDING
        assert await now.looks(3) is State.PHASE


LOOKS = st.lists(st.sampled_from(["clear", "wrong", "unknown", "unrecorded", "deaf"]), max_size=12)


@settings(max_examples=100, deadline=None)
@given(looks=LOOKS)
async def test_whatever_the_looks_show(looks: list[str]) -> None:
    """A hold ends if and only if three looks in a row knew everything and showed nothing wrong, with a heartbeat."""
    async with scene() as now:
        await now.held()
        clear = 0
        for look in looks:
            now.prometheus.now = UNKNOWN if look == "unknown" else [now.no_data] if look == "wrong" else []
            now.prometheus.past = UNKNOWN if look == "unrecorded" else []
            now.blind = look == "deaf"
            clear = clear + 1 if look in ("clear", "deaf") else 0
            expected = State.PHASE if clear >= 3 and look == "clear" else State.HOLDING
            assert await now.looks() is expected
            if expected is State.PHASE:
                return
