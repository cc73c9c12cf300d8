"""What is held back from acting: named while it is, remembered over its end, and told once."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import pytest

from alertmanager.receiver.decide.alerts.silences import HeldBack
from alertmanager.receiver.lead.leader import FileLeader
from canary import names
from canary.errors import RemoteError
from canary.policy.model import Policy
from canary.prometheus import Alert, Inhibited, Silence
from canary.prometheus.silences import Matcher
from canary.rollout.kinds import Kind
from tests.support.receiving.deciding import Deciding

POLICY = Policy(service="shop")


class Known:
    """An Alertmanager that knows what a test says."""

    def __init__(self, *silences: Silence) -> None:
        self.given, self.error, self.heartbeat = list(silences), "", False

    async def inhibited(self, service: str) -> list[Inhibited]:
        """Nothing is."""
        assert service == "shop"
        return []

    async def kept_back_by(self, labels: Mapping[str, str]) -> str:
        """The heartbeat, or the key, when the test says so."""
        assert labels[names.SERVICE] == "shop"
        if self.error:
            raise RemoteError(self.error)
        kept = {names.WATCHDOG: self.heartbeat, names.PHASE_COMPLETE: True}
        return "RackDown inhibits it" if kept[labels["alertname"]] else ""

    async def silences(self, since: datetime) -> list[Silence]:
        """Those that were in force since then."""
        if self.error:
            raise RemoteError(self.error)
        return [one for one in self.given if one.active or one.ends_at > since]


def harm(deciding: Deciding) -> Alert:
    """A rollback alert about the running rollout."""
    labels = {"alertname": "CanaryHighErrorRate", names.SERVICE: "shop", names.ACTION: "rollback"}
    return Alert({**labels, names.ROLLOUT: deciding.rollout.id}, {}, firing=True)


def silence(deciding: Deciding, labels: Mapping[str, str], *, active: bool = True, ends: float = 600) -> Silence:
    """A silence on these labels, by equality."""
    matchers = tuple(Matcher(name, value, regex=False, equal=True) for name, value in labels.items())
    ends_at = deciding.clock.now() + timedelta(seconds=ends)
    return Silence(matchers, ends_at, active, "s1", "bob", "maintenance")


def held_back(deciding: Deciding, known: Known) -> HeldBack:
    """What is known on a test's clock."""
    return HeldBack(
        known, deciding.store, FileLeader(None, deciding.clock), deciding.clock, "shop", watchdog=deciding.watchdog
    )


async def test_a_silence_on_the_action_is_counted_named_and_told_once() -> None:
    """It keeps the alert back, stands there with author and end, and people hear of it a single time."""
    async with Deciding.about(POLICY) as deciding:
        held = held_back(deciding, Known(silence(deciding, {"action": "rollback", "service": "shop"})))
        for _ in range(3):
            known = await held.ask(deciding.rollout, 60)
            await held.see(deciding.rollout, [harm(deciding)], known)

        assert held.counts == {"rollback": 1, "hold": 0}
        (one,) = held.in_force
        assert (one.action, one.alerts) == ("rollback", ("CanaryHighErrorRate",))
        assert "by bob until" in str(one)
        assert (await deciding.kinds()).count(Kind.RECORDED) == 1


@pytest.mark.parametrize(
    "labels", [{"service": "shop"}, {"severity": "critical"}, {"alertname": "CanaryHighErrorRate"}]
)
async def test_a_silence_for_people_keeps_nothing_back(labels: dict[str, str]) -> None:
    """Whoever silences a service, a severity or an alert does not forbid the receiver to act."""
    async with Deciding.about(POLICY) as deciding:
        held = held_back(deciding, Known(silence(deciding, labels)))
        known = await held.ask(deciding.rollout, 60)
        await held.see(deciding.rollout, [harm(deciding)], known)

        assert not known.keeps_back(harm(deciding))
        assert held.counts == {"rollback": 0, "hold": 0}


async def test_what_was_silent_while_it_fired_stays_silent() -> None:
    """The silence has ended, and the history shows the alert: it acts only if it has fired since the end."""
    async with Deciding.about(POLICY) as deciding:
        ended = silence(deciding, {"action": "rollback"}, active=False, ends=20)
        deciding.clock.advance(60)
        held = held_back(deciding, Known(ended))
        known = await held.ask(deciding.rollout, 600)
        since: list[int] = []

        async def nothing(seconds: int) -> Sequence[Alert]:
            since.append(seconds)
            return []

        async def again(_seconds: int) -> Sequence[Alert]:
            return [harm(deciding)]

        assert not known.keeps_back(harm(deciding))
        assert await held.silent(harm(deciding), known, 600, nothing)
        assert not await held.silent(harm(deciding), known, 600, again)
        assert since == [40]


async def test_without_alertmanager_every_alert_counts() -> None:
    """What cannot be known to be silent is not; that is said, until it is known again."""
    async with Deciding.about(POLICY) as deciding:
        server = Known(silence(deciding, {"action": "rollback"}))
        server.error = "Alertmanager is unreachable"
        held = held_back(deciding, server)

        assert not (await held.ask(deciding.rollout, 60)).keeps_back(harm(deciding))
        assert held.error == "Alertmanager is unreachable"
        server.error = ""
        assert (await held.ask(deciding.rollout, 60)).keeps_back(harm(deciding))
        assert held.error == ""


async def test_what_else_keeps_the_key_back_is_what_is_waited_for() -> None:
    """Another team's inhibition is named; so is that nobody knows."""
    async with Deciding.about(POLICY) as deciding:
        known = Known()
        held = held_back(deciding, known)
        assert await held.keeps_key_back(deciding.rollout) == "RackDown inhibits it"
        known.error = "Alertmanager is unreachable"
        assert await held.keeps_key_back(deciding.rollout) == "Alertmanager is unreachable"


@pytest.mark.parametrize(
    ("kept", "error", "state"), [(True, "", "phase"), (False, "", "holding"), (True, "away", "holding")]
)
async def test_a_heartbeat_that_is_silenced_for_people_is_not_missing(kept: bool, error: str, state: str) -> None:
    """A silence on the service keeps the heartbeat from the receiver; Alertmanager, asked, says that it has it."""
    async with Deciding.about(POLICY) as deciding:
        known = Known()
        known.heartbeat, known.error = kept, error
        held = held_back(deciding, known)
        for _ in range(5):
            await held.ask(deciding.rollout, 60)
            await deciding.passes(60)

        assert deciding.state() == state


async def test_nothing_is_waited_for_twice() -> None:
    """An Alertmanager that does not answer costs a look, and a rollback that waits for it, one time-out and not two."""
    together = asyncio.Event()

    class Slow(Known):
        async def kept_back_by(self, labels: Mapping[str, str]) -> str:
            await together.wait()
            return await super().kept_back_by(labels)

        async def silences(self, since: datetime) -> list[Silence]:
            together.set()
            return await super().silences(since)

    async with Deciding.about(POLICY) as deciding, asyncio.timeout(60):
        await deciding.passes(4 * 60)
        assert deciding.watchdog.overdue
        await held_back(deciding, Slow()).ask(deciding.rollout, 60)
        assert together.is_set()
