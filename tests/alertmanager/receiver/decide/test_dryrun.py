"""A dry run does everything but act: nothing is rolled back, held or stopped, and all of it is written down."""

import pytest

from alertmanager.receiver.decide.alerts.admission import Outcome
from canary import names
from canary.policy.model import Policy
from canary.policy.release import Phase, Receiver, Rollback, Watchdog
from canary.rollout.state import State
from tests.support.receiving.deciding import Deciding

PHASES = (Phase(traffic=0.05, duration=300, max_duration=400), Phase(traffic=1, duration=300))
DRY = Policy(
    service="shop",
    phases=PHASES,
    rollback=Rollback(dry_run=True),
    receiver=Receiver(watchdog=Watchdog(timeout=60, then=60)),
)


@pytest.mark.parametrize(("alert", "action"), [(names.HIGH_ERROR_RATE, "rollback"), (names.BLIND_ALERT, "hold")])
async def test_no_alert_acts(alert: str, action: str) -> None:
    """Neither a rollback nor a hold; each is recorded once."""
    async with Deciding.about(DRY) as deciding:
        for _ in range(2):
            assert await deciding.hear(alert, action) is Outcome.DRY_RUN

        assert deciding.state() is State.PHASE
        assert [key for key in deciding.rollout.recorded if alert in key] == [
            f"{'dry_run' if action == 'rollback' else 'dry_hold'}:{alert}"
        ]


async def test_neither_silence_nor_a_long_phase_acts() -> None:
    """The heartbeat stays away and the phase lasts too long: written down, and nothing else."""
    async with Deciding.about(DRY) as deciding:
        for _ in range(5):
            await deciding.passes(100)

        assert deciding.state() is State.PHASE
        assert {"dry_hold:watchdog", "dry_hold:max_duration"} <= deciding.rollout.recorded
