"""A rollback from the webhook to the last step, on a real HAProxy."""

import json

from tests.support.programs.haproxy import HAProxy
from tests.support.receiving.receiver import (
    Setting,
    Team,
    alert,
    in_state,
    order,
    payload,
    post,
    receiving,
    status,
    until,
)


async def test_webhook_takes_everybody_off_the_canary(setting: Setting, haproxy: HAProxy, team: Team) -> None:
    """One rollback alert: traffic to stable, process stopped, team told, one line in the log, in this order."""
    async with receiving(setting):
        await order(setting, "start", canary="v2.0", stable="v1.0")
        await until(setting, "5 % on the canary", lambda now: now["settled"])
        assert (await haproxy.router.read()).weight_ratio == 0.05
        rollout = (await status(setting))["rollout"]["id"]

        answered = await post(setting, payload(alert("CanaryHighErrorRate", "rollback", rollout)))
        await until(setting, "rolled back", in_state("rolled_back"))
        await until(setting, "the team told", lambda now: "notify" in now["rollout"]["steps"])

    assert answered == 202
    assert (await haproxy.router.read()).weight_ratio == 0
    assert setting.stopped() == 1
    assert "was rolled back (CanaryHighErrorRate)" in team.messages[-1]["title"]
    decided = [(entry.kind.value, entry.data().get("step")) for entry in await setting.journal()]
    order_of = [decided.index(one) for one in (("rollback", None), ("step_done", "traffic"), ("step_done", "process"))]
    assert order_of == sorted(order_of)
    assert decided.index(("rolled_back", None)) < decided.index(("step_done", "notify"))
    *lines, for_people = (setting.folder / "rollbacks.log").read_text().splitlines()
    decision, end = map(json.loads, lines)
    assert decision["cause"] == "CanaryHighErrorRate"
    assert (end["rollout"], end["outcome"]) == (decision["rollout"], "completed")
    assert for_people.startswith("Canary rollback completed at ")
