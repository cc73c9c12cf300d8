"""The moments of a rollout."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from canary.rollout.entries import Entry
from canary.rollout.kinds import Kind
from canary.timing.clock import SystemClock
from demo import timeline
from demo.shop.store import Store
from demo.team import Message
from tests.support.receiving.entries import entry as entry_of

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def _entry(kind: Kind, seconds: float, **data: Any) -> Entry:
    return entry_of("r-1", kind, START + timedelta(seconds=seconds), "receiver", "", data)


async def test_the_first_bad_payment_is_the_canarys_after_the_fault(engine: AsyncEngine) -> None:
    """Stable's failures, successes and failures from before the fault do not count."""
    clock = SystemClock()
    for version, succeeded in (("v2.0", False), ("v1.0", False), ("v2.0", True)):
        store = Store(engine, version, clock)
        cart_id = await store.add_cart(await store.add_visit("anna"))
        payment_id = await store.start_payment(cart_id, 1)
        await store.settle_payment(payment_id, cart_id, 1, succeeded=succeeded)
        if version == "v2.0" and not succeeded:
            fault_at = clock.now()
    before = await timeline.first_bad_payment(engine, "v2.0", fault_at)
    payment_id = await store.start_payment(cart_id, 1)
    await store.settle_payment(payment_id, cart_id, 1, succeeded=False)

    found = await timeline.first_bad_payment(engine, "v2.0", fault_at)

    assert before is None
    assert found is not None
    assert fault_at <= found <= clock.now()


def test_a_finish_tells_each_step_and_what_is_missing() -> None:
    """The share that is back on the stable server, step by step; an end that has not come is shown as missing."""
    entries = [
        _entry(Kind.FINISHING, 0, weights=[0.75, 0.0], step_seconds=5),
        _entry(Kind.FINISH_STEP, 1, step=0),
        _entry(Kind.FINISH_STEP, 6, step=1),
        _entry(Kind.STEP_DONE, 11, step="process"),
    ]

    moments = timeline.of_finish(entries)

    told = {moment.what: moment.at and (moment.at - START).total_seconds() for moment in moments}
    assert list(told.values()) == [0, 1, 6, 11, None]
    assert {"25% are back on the stable server", "100% are back on the stable server", "finished"} <= set(told)


def test_a_promotion_tells_each_phase_each_hold_and_the_message_after_it() -> None:
    """Each advance has its share, each hold its cause; a message from before the promotion is not its news."""
    entries = [
        _entry(Kind.STARTED, 0, stable="v1.0", canary="v2.0", traffic=[0.05, 0.5, 1.0], durations_seconds=[10, 10, 10]),
        _entry(Kind.ADVANCED, 10, phase=1),
        _entry(Kind.HELD, 12, cause="CanaryBlind"),
        _entry(Kind.RESUMED, 15),
        _entry(Kind.ADVANCED, 20, phase=2),
        _entry(Kind.PROMOTED, 30),
    ]
    messages = [Message(START, "started", ""), Message(START + timedelta(seconds=31), "promoted", "")]

    moments = timeline.of_promotion(entries, messages)

    told = [((moment.at or START) - START).total_seconds() for moment in moments]
    assert told == [0, 10, 12, 15, 20, 30, 31]
    assert [moment.what for moment in moments[1:5]] == [
        "phase 2: 50% of customers",
        "held by CanaryBlind",
        "resumed",
        "phase 3: 100% of customers",
    ]


def test_a_promotion_that_did_not_happen_has_no_time() -> None:
    """What is missing is told as missing, never left out."""
    entries = [_entry(Kind.STARTED, 0, stable="v1.0", canary="v2.0", traffic=[1.0])]

    moments = timeline.of_promotion(entries, [])

    assert [moment.at for moment in moments[1:]] == [None, None]
