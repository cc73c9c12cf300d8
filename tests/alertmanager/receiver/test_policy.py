"""A policy that is edited while a rollout runs, at a whole receiver: what is taken over, and what is not."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from canary.errors import PolicyError, RefusedError
from canary.rollout.kinds import Kind
from canary.web.client import Client
from tests.support.receiving.receiver import Setting, order, receiving, status, until

PHASES = [{"traffic": "5%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}]


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    """A receiver without routers."""
    return Setting(tmp_path, changes={"phases": PHASES})


def edit(setting: Setting, **sections: Any) -> None:
    """Change sections of the policy file."""
    policy = yaml.safe_load(setting.policy_file.read_text())
    setting.policy_file.write_text(yaml.safe_dump(policy | sections))


async def metrics(setting: Setting) -> str:
    """What the receiver publishes."""
    async with aiohttp.ClientSession() as session, session.get(f"{setting.url}/metrics") as answer:
        return await answer.text()


async def test_a_reload_in_mid_rollout_is_for_the_next_one(setting: Setting) -> None:
    """Inserted phases and gates do not move what runs; the difference is journalled and shown; a restart changes none
    of it."""
    async with receiving(setting) as receiver:
        await order(setting, "start", canary="v2.0", stable="v1.0", actor="ann")
        before = await status(setting)
        edit(
            setting, phases=[{"traffic": "1%", "duration": "1s", "gate": "manual"}, *PHASES], rollback={"dry_run": True}
        )
        await receiver.reload(setting.policy_file)
        after, published = await status(setting), await metrics(setting)
    async with receiving(setting):
        restarted = await status(setting)
        await order(setting, "advance", actor="ann", force=True)
        advanced = await status(setting)

    used = before["policy"]["digest"]
    for later in (after, restarted):
        assert later["rollout"]["phases"] == before["rollout"]["phases"]
        assert later["policy"]["digest"] == used != later["policy"]["file"]
        assert "canary amend" in later["policy"]["notice"]
    assert f'canary_policy_info{{component="receiver",digest="{used}",service="shop"}} 1.0' in published
    assert 'canary_rollout_gate{gate="none"' in published
    assert advanced["rollout"]["state"] == "baking"
    changes = [entry for entry in await setting.journal() if entry.kind is Kind.POLICY]
    assert len(changes) == 1
    assert changes[0].reason.startswith("the policy file has changed (the running rollout keeps its own): ")
    assert "phases.1% added (duration 1s, advance on_schedule, gate manual), tighter" in changes[0].reason
    assert "rollback.dry_run no -> yes, looser" in changes[0].reason


async def test_what_only_a_restart_takes_over_is_refused(setting: Setting) -> None:
    """Every such key is named, the reload has failed, and nothing of the file is in force."""
    async with receiving(setting) as receiver:
        edit(setting, process={"kind": "none"}, notify={"timeout": "3s"}, rollback={"dry_run": True})
        with pytest.raises(PolicyError) as refused:
            await receiver.reload(setting.policy_file)
        after = await status(setting)

    assert "process: has changed, and is read only at the start; restart the service" in str(refused.value)
    assert "notify: has changed" in str(refused.value)
    assert after["policy"]["file"] == after["policy"]["digest"]
    assert not receiver.policy.rollback.dry_run


async def test_a_change_across_a_restart_is_journalled(setting: Setting) -> None:
    """What was edited while nobody looked is written down by the next receiver, once."""
    async with receiving(setting):
        await order(setting, "start", canary="v2.0", stable="v1.0", actor="ann")
        await order(setting, "rollback", reason="enough", actor="ann")
        await until(setting, "rolled back", lambda now: now["rollout"]["state"] == "rolled_back")
    edit(setting, evidence={"minimum_units": 7})
    for _ in range(2):
        async with receiving(setting) as receiver:
            await until(setting, "leads", lambda now: now["leading"])
            await receiver.policies.record()

    changes = [entry for entry in await setting.journal() if entry.kind is Kind.POLICY]
    assert [(entry.rollout, entry.reason) for entry in changes] == [
        ("policy", "the policy file has changed: evidence.minimum_units 0 -> 7, tighter")
    ]


async def test_a_running_rollout_is_amended(setting: Setting) -> None:
    """The receiver reads its file again; looser needs a reason; what the rollout runs by is the new policy then."""
    tighter = [{"traffic": "5%", "duration": "2h", "gate": "manual"}, PHASES[1]]
    async with receiving(setting):
        await order(setting, "start", canary="v2.0", stable="v1.0", actor="ann")
        edit(setting, phases=tighter)
        first = await order(setting, "amend", actor="ann")
        amended = await status(setting)
        edit(setting, phases=PHASES)
        with pytest.raises(RefusedError, match=r"looser.*phases.5%.gate removed"):
            await order(setting, "amend", actor="ann")
        second = await order(setting, "amend", actor="ann", reason="agreed by phone")
        edit(setting, process={"kind": "none"})
        with pytest.raises(RefusedError, match="process: has changed, and is read only at the start"):
            await order(setting, "amend", actor="ann", reason="no")
        edit(setting, process=before(setting))
        with pytest.raises(RefusedError, match="yours is 0123"):
            await order(setting, "amend", actor="ann", digest="0123")

    assert (first["kind"], first["data"].get("looser", [])) == ("amended", [])
    assert [phase["duration_seconds"] for phase in amended["rollout"]["phases"]] == [7200, 3600]
    assert amended["policy"]["digest"] == amended["policy"]["file"]
    assert second["data"]["looser"]
    assert second["reason"].startswith("agreed by phone: ")


async def test_two_operators_open_a_gate(tmp_path: Path) -> None:
    """Each by a token of their own: the same one twice counts once, and a name that is only said counts nothing."""
    gate = [{"traffic": "5%", "duration": "1h", "gate": {"approvers": 2}}, PHASES[1]]
    people = {name: {"token_file": f"{name}-token"} for name in ("ann", "bob")}
    setting = Setting(tmp_path, changes={"phases": gate, "receiver": {"operators": people}})
    for name in people:
        (tmp_path / f"{name}-token").write_text(f"the-token-of-{name}\n")
    async with receiving(setting):
        await order(setting, "start", canary="v2.0", stable="v1.0")
        with pytest.raises(RefusedError, match="not proven"):
            await order(setting, "advance", actor="bob", force=True)
        first = await advance(setting, "the-token-of-ann", actor="bob")
        again = await advance(setting, "the-token-of-ann", actor="bob")
        waiting = await status(setting)
        last = await advance(setting, "the-token-of-bob", actor="bob")
        after = await status(setting)

    assert (first["kind"], first["actor"]) == ("approved", "ann")
    assert "ann has agreed already" in again["error"]
    assert waiting["rollout"]["approvals"] == [
        {"to_ratio": 1.0, "needed": 2, "given": ["ann"], "summary": "1 of 2 approvals (ann)"}
    ]
    assert (last["kind"], last["actor"]) == ("advanced", "bob")
    assert after["rollout"]["state"] == "baking"


async def advance(setting: Setting, token: str, **body: str) -> dict[str, Any]:
    """What the API answers to `advance` under this token."""
    async with aiohttp.ClientSession() as session:
        client = Client(setting.url, token, session)
        try:
            return await client.command("advance", force=True, **body)
        except RefusedError as error:
            return {"error": str(error)}


def before(setting: Setting) -> dict[str, Any]:
    """The process section that the setting began with."""
    return {"kind": "command", "stop": ["sh", "-c", f"echo stopped >> {setting.stops}"], "drain": "50ms"}
