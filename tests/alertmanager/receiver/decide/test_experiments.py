"""Experiments at the receiver: begun once, stopped by a guardrail's alert or a person, for every client at once."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from canary.errors import PayloadError, RefusedError
from canary.web.client import Client
from tests.support.programs.processes import eventually
from tests.support.receiving.answering import alerts_answer, answering, http, text
from tests.support.receiving.receiver import Setting, alert, payload, post, receiving

EXPERIMENTS = {"checkoutFlow": {"variants": {"control": {"weight": 1}, "treatment": {"weight": 99}}}}


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    """A receiver with an experiment, listening."""
    made = Setting(tmp_path / "receiver", changes={"experiments": EXPERIMENTS})
    async with receiving(made):
        yield made


def harm() -> dict[str, Any]:
    """The alert of a guardrail that failed."""
    return alert("CanaryExperimentHarm", "stop", "", experiment="checkoutFlow", variant="treatment", kpi="x")


async def variant(setting: Setting) -> str:
    """What a user gets."""
    url = f"{setting.url}/ofrep/v1/evaluate/flags/checkoutFlow"
    body = json.dumps({"context": {"targetingKey": "user-1"}})
    async with aiohttp.ClientSession() as session, session.post(url, data=body) as answer:
        return str((await answer.json())["variant"])


async def known(setting: Setting) -> dict[str, Any]:
    """Where the experiment stands."""
    async with Client.of(setting.policy) as client:
        (one,) = await client.get("experiments")
    assert isinstance(one, dict)
    return one


async def order(setting: Setting, verb: str, **texts: str) -> None:
    """A person's order."""
    async with Client.of(setting.policy) as client:
        await client.send(f"experiments/checkoutFlow/{verb}", texts)


async def test_a_guardrails_alert_gives_everybody_the_control(setting: Setting) -> None:
    """The alert stops the experiment: the next question gets the control, and the reason is kept."""
    before = await variant(setting)

    answered = await post(setting, payload(harm()))

    assert (before, answered, await variant(setting)) == ("treatment", 202, "control")
    assert (await known(setting))["reason"] == "CanaryExperimentHarm of the canary"


async def test_a_stop_survives_a_restart(tmp_path: Path) -> None:
    """A receiver that starts again knows that the experiment was stopped, and begins nothing anew."""
    setting = Setting(tmp_path / "receiver", changes={"experiments": EXPERIMENTS})
    async with receiving(setting):
        await post(setting, payload(harm()))
        stopped = await known(setting)

    async with receiving(setting):
        assert await known(setting) == stopped
        assert await variant(setting) == "control"


@pytest.mark.parametrize(
    "changes",
    [{"experiment": "another"}, {"service": "elsewhere"}, {"status": "resolved"}, {"dry_run": "true"}],
)
async def test_alerts_about_something_else_change_nothing(setting: Setting, changes: dict[str, str]) -> None:
    """Neither another experiment's alert, nor another service's, nor a resolved or a dry one stops this one."""
    found = harm()
    found["labels"].update({key: value for key, value in changes.items() if key != "status"})
    found["status"] = changes.get("status", "firing")

    await post(setting, payload(found))

    assert (await known(setting))["running"] is True


async def test_a_person_stops_and_starts_with_a_reason(setting: Setting) -> None:
    """A person's stop and start need a reason, and what makes no sense is refused."""
    with pytest.raises(PayloadError, match="reason"):
        await order(setting, "stop")
    await order(setting, "stop", reason="enough seen")
    with pytest.raises(RefusedError, match="stopped already"):
        await order(setting, "stop", reason="again")
    await order(setting, "start", reason="once more")

    assert (await known(setting))["running"] is True


async def test_only_the_operator_may_stop(setting: Setting) -> None:
    """Without the operator's token nothing changes."""
    url = f"{setting.url}/api/v1/experiments/checkoutFlow/stop"
    headers = {"Content-Type": "application/json", "Authorization": "Bearer webhook-token"}
    async with aiohttp.ClientSession() as session, session.post(url, data="{}", headers=headers) as answer:
        assert answer.status == 401
    assert (await known(setting))["running"] is True


async def test_a_stop_that_prometheus_shows_counts_although_its_list_is_no_answer(tmp_path: Path) -> None:
    """The list lacks the watchdog, so that nothing is known of the rest; the guardrail's alert in it stops."""
    labels = {"alertname": "CanaryExperimentHarm", "service": "shop", "action": "stop", "experiment": "checkoutFlow"}
    variants = {"control": {"weight": 1, "version": "v1.0"}, "treatment": {"weight": 1, "version": "v2.0"}}
    guarded = {"checkoutFlow": {"variants": variants, "guardrails": ["conversion_rate"]}}
    async with answering(http(text(alerts_answer(labels)))) as url:
        changes = {"experiments": guarded, "receiver": {"prometheus": url}}
        made = Setting(tmp_path / "receiver", changes=changes)

        async def stopped() -> bool:
            return not (await known(made))["running"]

        async with receiving(made):
            await eventually(stopped, "the experiment is stopped")


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_firing_stops_one_run_only(tmp_path: Path, *, restarted: bool) -> None:
    """What stopped a run is repeated and does not stop the next, whatever the clocks say; a new firing does."""
    setting = Setting(tmp_path / "receiver", changes={"experiments": EXPERIMENTS})
    # Prometheus' clock is years ahead, then years behind: it is compared with itself only.
    first = {**harm(), "startsAt": "2090-01-01T00:00:00Z"}
    second = {**harm(), "startsAt": "2001-01-01T00:00:00Z"}
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(receiving(setting))
        await post(setting, payload(first))
        if restarted:
            await stack.aclose()
            await stack.enter_async_context(receiving(setting))
        async with Client.of(setting.policy) as client:
            await client.send("experiments/checkoutFlow/start", {"reason": "fixed"})

        await post(setting, payload(first))
        assert (await known(setting))["running"]
        await post(setting, payload(second))
        assert not (await known(setting))["running"]
