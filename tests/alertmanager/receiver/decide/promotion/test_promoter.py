"""Raising the share: every key is needed, and each one's absence is enough to wait."""

import pytest

from alertmanager.receiver.decide.alerts.admission import Outcome
from alertmanager.receiver.decide.promotion.waiting import Reason, Waiting, closed, undelivered
from canary import names
from canary.errors import RefusedError
from canary.policy.gates import UrlGate
from canary.policy.model import Policy
from canary.policy.release import Phase, Receiver, Watchdog
from canary.rollout.kinds import Kind
from canary.rollout.state import State
from tests.support.receiving.deciding import Deciding

PHASES = (Phase(traffic=0.05, duration=300), Phase(traffic=0.5, duration=300), Phase(traffic=1, duration=300))
# The heartbeat is not what these tests are about.
CALM = Receiver(watchdog=Watchdog(timeout=1e9))
PLAIN = Policy(service="shop", phases=PHASES, receiver=CALM)


async def test_all_keys_together_advance() -> None:
    """Alertmanager's key, Prometheus' key and the phase's time: the next phase begins."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.clock.advance(300)
        assert await deciding.key() is Outcome.ACCEPTED
        await deciding.promoter.step()

        assert (deciding.rollout.phase, deciding.rollout.weight) == (1, 0.5)
        assert deciding.rollout.actor == "alertmanager"


async def test_the_receivers_own_clock_is_a_key() -> None:
    """However early Alertmanager and Prometheus agree, the phase lasts its time by the receiver's clock."""
    async with Deciding.about(PLAIN) as deciding:
        await deciding.passes(250)
        await deciding.key()
        await deciding.passes(49)
        assert deciding.rollout.phase == 0

        await deciding.passes(1)
        assert deciding.rollout.phase == 1


async def test_setting_the_wall_clock_does_not_shorten_a_phase() -> None:
    """Whoever sets the machine's clock forward does not end a phase that the receiver has seen begin."""
    async with Deciding.about(PLAIN) as deciding:
        await deciding.passes(1)
        deciding.clock._now += (deciding.clock.now() - deciding.rollout.started_at) * 1000
        await deciding.key()
        await deciding.passes(1)

        assert deciding.rollout.phase == 0


async def test_prometheus_is_a_key() -> None:
    """While Prometheus objects, or is unreachable, nothing is raised; as soon as it agrees, it is."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.clock.advance(300)
        deciding.complaint = "CanaryHighErrorRate fires for rollout r1"
        await deciding.key()
        await deciding.promoter.step()
        assert deciding.rollout.phase == 0
        assert deciding.promoter.waiting == Waiting(Reason.PROMETHEUS, deciding.complaint)

        deciding.complaint = ""
        await deciding.passes(10)
        assert deciding.rollout.phase == 1


async def test_alertmanagers_key_grows_old() -> None:
    """A key that Alertmanager has not turned again, because it is silenced say, opens nothing later."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.complaint = "away"
        await deciding.key()
        deciding.clock.advance(300)
        deciding.complaint = ""
        await deciding.promoter.step()

        assert deciding.rollout.phase == 0
        assert deciding.promoter.waiting == undelivered(None, "")


@pytest.mark.parametrize(
    ("labels", "truncated", "outcome"),
    [
        ({"phase": "1"}, 0, Outcome.OTHER_PHASE),
        ({}, 0, Outcome.INFORMED),
        ({"phase": "0"}, 3, Outcome.TRUNCATED),
    ],
)
async def test_what_is_no_key(labels: dict[str, str], truncated: int, outcome: Outcome) -> None:
    """Another phase's alert, one that names no phase, and a notification with alerts cut off open nothing."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.clock.advance(300)
        found = await deciding.hear(names.PHASE_COMPLETE, "advance", truncated, **labels)
        await deciding.promoter.step()

        assert (found, deciding.rollout.phase) == (outcome, 0)


async def test_a_key_opens_one_phase() -> None:
    """The key of one phase does not open the next one as well."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.clock.advance(300)
        await deciding.key()
        await deciding.promoter.step()
        await deciding.passes(300)

        assert deciding.rollout.phase == 1


async def test_held_or_rolled_back_nothing_advances() -> None:
    """A hold stops an advance for which every key fits; so does a rollback."""
    for action, state in (("hold", State.HOLDING), ("rollback", State.ROLLING_BACK)):
        async with Deciding.about(PLAIN) as deciding:
            deciding.clock.advance(300)
            await deciding.key()
            await deciding.hear("CanaryX", action)
            await deciding.promoter.step()

            assert deciding.state() is state
            assert Kind.ADVANCED not in await deciding.kinds()


async def test_a_manual_gate_waits_for_a_person() -> None:
    """With every key turned, a phase with `gate: manual` waits, tells people once, and goes on by their order."""
    gated = (Phase(traffic=0.05, duration=300, gate="manual"), *PHASES[1:])
    async with Deciding.about(Policy(service="shop", phases=gated, receiver=CALM)) as deciding:
        deciding.clock.advance(300)
        for _ in range(3):
            await deciding.key()
            await deciding.promoter.step()
        assert deciding.rollout.phase == 0
        assert (await deciding.kinds()).count(Kind.RECORDED) == 1

        await deciding.order("advance")
        assert (deciding.rollout.phase, deciding.rollout.actor) == (1, "ann")


async def test_the_users_own_gate_is_asked_until_it_opens() -> None:
    """While the user's check objects nothing is raised; when it agrees, the next phase begins."""
    gated = (Phase(traffic=0.05, duration=300, gate=UrlGate(url="http://gate", interval=30)), *PHASES[1:])
    async with Deciding.about(Policy(service="shop", phases=gated, receiver=CALM)) as deciding:
        deciding.clock.advance(300)
        deciding.gate = "the gate answered 503"
        await deciding.key()
        assert await deciding.promoter.step() == 30
        assert (deciding.rollout.phase, deciding.promoter.waiting) == (0, closed(deciding.gate))

        deciding.gate = ""
        await deciding.passes(30)
        assert deciding.rollout.phase == 1


async def test_a_person_needs_prometheus_too_unless_forced() -> None:
    """A person's advance or promotion is refused while Prometheus objects; `force` is written down as their act."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.complaint = "CanaryHighErrorRate fires"
        for verb in ("advance", "promote"):
            with pytest.raises(RefusedError, match="CanaryHighErrorRate fires; to do it all the same, add --force"):
                await deciding.order(verb)

        await deciding.order("advance", force=True)
        assert deciding.rollout.phase == 1
