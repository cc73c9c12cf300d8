"""Silences and inhibitions in a real Alertmanager, before a receiver, a real Prometheus and a real HAProxy."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from alertmanager.receiver.receiver import Receiver
from canary import names
from canary.prometheus import Alertmanager
from canary.rollout.entries import Entry
from canary.rollout.kinds import Kind
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.processes import eventually
from tests.support.receiving.chain import Chain, Places, chained
from tests.support.receiving.receiver import Setting, Team, in_state, order, receiving, router_section, status, until

_SLOW = [{"traffic": "5%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}]
_SHORT = [{"traffic": "5%", "duration": "3s"}, {"traffic": "100%", "duration": "1h"}]

_OTHER_TEAM = """\
route: {receiver: other}
receivers: [{name: other}]
inhibit_rules: [{source_matchers: [alertname="RackDown"], target_matchers: [severity="critical"]}]
"""


@pytest.fixture
def places() -> Places:
    """Where Prometheus and Alertmanager will listen."""
    return Places()


@pytest.fixture
def slow(tmp_path: Path, haproxy: HAProxy, told: dict[str, Any], places: Places) -> Setting:
    """A policy whose phases last an hour."""
    changes = {"notify": told, "phases": _SLOW, "receiver": {**places.section(), "repeat": "10s"}}
    return Setting(tmp_path / "receiver", [router_section(haproxy)], changes)


@pytest.fixture
async def chain(slow: Setting, places: Places, tmp_path: Path) -> AsyncIterator[Chain]:
    """Prometheus and Alertmanager, running."""
    async with chained(slow, places, tmp_path) as running:
        yield running


async def test_ordinary_silences_keep_no_rollback_away(slow: Setting, chain: Chain, haproxy: HAProxy) -> None:
    """People are not paged and the webhook brings nothing; the receiver's own look rolls back.

    One silence that kept it away would do so next to any others.
    """
    button = ("alertname=CanaryHighErrorRate", "action=rollback", "service=shop", "severity=critical")
    for matchers in (("severity=critical",), ("service=shop",), ("alertname=~Canary.*",), button):
        await _amtool(chain, "silence", "add", *matchers)
    async with receiving(slow):
        await order(slow, "start", canary="v2.0", stable="v1.0")
        chain.signals.bad = True
        await until(slow, "rolled back", in_state("rolled_back"))

    assert (await _rollback(slow)).actor == "prometheus"
    assert (await haproxy.router.read()).weight_ratio == 0


async def test_another_teams_inhibition_keeps_no_rollback_away(slow: Setting, places: Places, tmp_path: Path) -> None:
    """An alert of theirs keeps ours from people, and from the webhook, but not from acting."""
    theirs = tmp_path / "theirs.yml"
    theirs.write_text(_OTHER_TEAM, encoding="utf-8")
    async with chained(slow, places, tmp_path, merge=theirs) as chain, receiving(slow):
        async with aiohttp.ClientSession() as http:
            await Alertmanager(http, chain.alertmanager.url).post([{"labels": {"alertname": "RackDown"}}])
        await order(slow, "start", canary="v2.0", stable="v1.0")
        chain.signals.bad = True
        await until(slow, "rolled back", in_state("rolled_back"))

    assert (await _rollback(slow)).actor == "prometheus"


async def test_a_silence_on_the_action_keeps_it_away_until_it_ends(
    slow: Setting, chain: Chain, haproxy: HAProxy, team: Team
) -> None:
    """It is named wherever people look, with author and end, and told once; when it has expired, what fires acts."""
    silence_id = await _amtool(chain, "silence", "add", "action=rollback", "service=shop")
    async with receiving(slow) as receiver:
        await order(slow, "start", canary="v2.0", stable="v1.0")
        chain.signals.bad = True
        await until(slow, "held back", lambda now: _held_back(now) == ["CanaryHighErrorRate"])
        await _looks_again(slow)

        now = await status(slow)
        assert now["rollout"]["state"] == "phase"
        (silence,) = now["alertmanager"]["silences"]
        assert silence["id"] == silence_id
        assert (silence["action"], silence["author"], silence["comment"]) == ("rollback", "ann", "known")
        assert _suppressed(receiver) == {"rollback": 1, "hold": 0}
        await eventually(lambda: any("silenced" in message["title"] for message in team.messages), "people told")
        assert (await haproxy.router.read()).weight_ratio == 0.05

        await _amtool(chain, "silence", "expire", silence_id)
        await until(slow, "rolled back", in_state("rolled_back"))

    titles = [message["title"] for message in team.messages]
    assert titles.count("shop: rollbacks of canary v2.0 are silenced") == 1


async def test_a_silence_on_the_advance_is_what_the_rollout_waits_for(
    tmp_path: Path, haproxy: HAProxy, places: Places
) -> None:
    """Once the phase's time is over status names the silence and its author; expired, the rollout goes on."""
    changes = {"phases": _SHORT, "receiver": {**places.section(), "repeat": "10s"}}
    setting = Setting(tmp_path / "receiver", [router_section(haproxy)], changes)
    async with chained(setting, places, tmp_path) as chain:
        silence_id = await _amtool(chain, "silence", "add", "action=advance", "service=shop")
        chain.signals.complete = True
        async with receiving(setting):
            await order(setting, "start", canary="v2.0", stable="v1.0")
            await until(setting, "it waits for the silence", lambda now: now["waiting_reason"] == "silence")
            now = await status(setting)
            assert "by ann until" in now["waiting_for"]
            assert now["rollout"]["phase"] == 0

            await _amtool(chain, "silence", "expire", silence_id)
            await until(setting, "the next phase", lambda now: now["rollout"]["phase"] == 1)


async def test_what_was_silent_while_it_fired_does_not_act_afterwards(slow: Setting, chain: Chain) -> None:
    """Neither when it is over, nor when the silence has expired, nor after a restart; what fires anew does."""
    silence_id = await _amtool(chain, "silence", "add", "action=rollback", "service=shop")
    async with receiving(slow):
        await order(slow, "start", canary="v2.0", stable="v1.0")
        chain.signals.bad = True
        await until(slow, "held back", lambda now: _held_back(now) == ["CanaryHighErrorRate"])
        chain.signals.bad = False
        await until(slow, "it is over", lambda now: not now["prometheus"]["firing"])
        await _looks_again(slow)
        await _amtool(chain, "silence", "expire", silence_id)
        await _looks_again(slow)
        assert (await status(slow))["rollout"]["state"] == "phase"
    async with receiving(slow):
        await until(slow, "a look after a restart", lambda now: now["prometheus"]["looked_at"] is not None)
        await _looks_again(slow)
        assert (await status(slow))["rollout"]["state"] == "phase"
        chain.signals.bad = True
        await until(slow, "rolled back", in_state("rolled_back"))


async def _amtool(chain: Chain, *arguments: str) -> str:
    """What it prints; a silence that it adds is ann's."""
    whose = ["--author=ann", "--comment=known"] if "add" in arguments else []
    command = ["amtool", f"--alertmanager.url={chain.alertmanager.url}", *arguments[:2], *whose, *arguments[2:]]
    done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _held_back(now: dict[str, Any]) -> list[str]:
    return [name for silence in now["alertmanager"]["silences"] for name in silence["alerts"]]


def _suppressed(receiver: Receiver) -> dict[str, float]:
    return {
        sample.labels[names.ACTION]: sample.value
        for family in receiver.metrics.registry.collect()
        for sample in family.samples
        if sample.name == names.ALERTS_SUPPRESSED
    }


async def _rollback(setting: Setting) -> Entry:
    (rollback,) = (entry for entry in await setting.journal() if entry.kind is Kind.ROLLBACK)
    return rollback


async def _looks_again(setting: Setting) -> None:
    looked_at = (await status(setting))["prometheus"]["looked_at"]
    await until(setting, "another look", lambda now: now["prometheus"]["looked_at"] > looked_at)
