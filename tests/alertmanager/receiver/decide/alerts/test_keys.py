"""What lets traffic be raised, and the heartbeat without which nothing would be lowered: which alerts are those."""

import pytest

from alertmanager.receiver.decide.alerts.admission import Outcome
from alertmanager.receiver.http.webhook import Alert
from canary import names
from canary.policy.model import Policy
from tests.support.receiving.deciding import Deciding

PLAIN = Policy(service="shop")


@pytest.mark.parametrize(
    ("truncated", "outcome", "phase"), [(False, Outcome.ACCEPTED, 1), (True, Outcome.TRUNCATED, 0)]
)
async def test_a_complete_notification_of_a_complete_phase_is_a_key(
    *, truncated: bool, outcome: Outcome, phase: int
) -> None:
    """With it, and the phase's time, the share is raised; one with alerts left out says nothing for certain."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.clock.advance(deciding.rollout.duration_seconds)
        about = {"service": "shop", "rollout": deciding.rollout.id, "phase": "0"}
        key = Alert({"alertname": names.PHASE_COMPLETE, "action": "advance", **about}, {}, firing=True)
        more = {"truncated": True} if truncated else {}
        assert await deciding.handler.take([key], actor="alertmanager", **more) == [("advance", outcome)]

        await deciding.promoter.step()
        assert deciding.rollout.phase == phase


@pytest.mark.parametrize(("name", "labels"), [(names.PHASE_COMPLETE, {}), ("CanaryX", {"phase": "0"})])
async def test_only_the_alert_about_a_phase_is_a_key(name: str, labels: dict[str, str]) -> None:
    """One that names no phase, and another that asks for more traffic, open nothing."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.clock.advance(deciding.rollout.duration_seconds)
        assert await deciding.hear(name, "advance", **labels) is Outcome.INFORMED

        await deciding.promoter.step()
        assert deciding.rollout.phase == 0


@pytest.mark.parametrize(
    ("name", "service", "firing", "heard"),
    [
        (names.WATCHDOG, "shop", True, True),
        (names.WATCHDOG, "shop", False, False),
        (names.WATCHDOG, "other", True, False),
        ("CanarySlow", "shop", True, False),
    ],
)
async def test_the_heartbeat_is_the_watchdog_of_this_service(
    name: str, service: str, *, firing: bool, heard: bool
) -> None:
    """While it fires; neither its end nor another alert that asks for nothing shows that alerts arrive."""
    async with Deciding.about(PLAIN) as deciding:
        told = Alert({"alertname": name, "service": service, "action": "none"}, {}, firing=firing)
        await deciding.handler.take([told], actor="alertmanager")

        assert (deciding.watchdog.heard_at is not None) == heard
