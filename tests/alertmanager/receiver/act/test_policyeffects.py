"""The effects that a policy describes: each of its sections is what is then acted on, read and written."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from alertmanager.receiver.act.effects import Effects
from alertmanager.receiver.act.telling.rollbacklog import Line
from canary.policy import Policy, load_policy
from canary.policy.release import Process
from canary.process.manager import ProcessState
from canary.report.files import paths
from canary.rollout.entries import RollbackDecided
from canary.threads import InlineThreads, Threads
from tests.support.receiving.acting import Acting, World


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    """A policy with slots, whose processes are files."""
    (tmp_path / "targets").write_text("json://127.0.0.1:1\n")
    (tmp_path / "markers").mkdir()
    runs = f"{tmp_path}/{{slot}}.runs"
    sections = {
        "service": "shop",
        "router": {
            "kind": "nginx",
            "name": "edge",
            "directories": [f"{tmp_path}/markers"],
            "slots": {"a": ["127.0.0.1:1"], "b": ["127.0.0.1:2"]},
        },
        "process": {
            "kind": "command",
            "start": ["touch", runs],
            "stop": ["rm", "-f", runs],
            "status": ["test", "-e", runs],
        },
        "notify": {"urls_file": "targets"},
        "state": {"rollback_log": "rolled-back.log", "reports": "written"},
    }
    (tmp_path / "canary.yaml").write_text(yaml.safe_dump(sections))
    return load_policy(tmp_path / "canary.yaml")


@pytest.fixture
def threads() -> list[str]:
    """The names of the threads that were made."""
    return []


@pytest.fixture
def receiver(world: World) -> Acting:
    """The receiver that leads, before the first rollout."""
    return world.receiver()


@pytest.fixture
def effects(policy: Policy, threads: list[str], receiver: Acting) -> Effects:
    """Its effects; nothing runs on a thread."""

    def thread(name: str) -> Threads:
        threads.append(name)
        return InlineThreads()

    return Effects.of(policy, receiver.store, receiver.lead, thread)


def running(folder: Path) -> list[str]:
    """The slots whose process runs."""
    return sorted(path.stem for path in folder.glob("*.runs"))


async def test_a_slot_that_is_not_stable_is_where_the_process_runs(
    effects: Effects, receiver: Acting, tmp_path: Path
) -> None:
    """It is looked at by the journal, and slot b's before there is one; it is started where the next rollout has it."""
    await effects.start_process(lambda: None)
    assert running(tmp_path) == ["b"]
    assert await effects.process_state() is ProcessState.RUNNING
    assert await effects.start_process(lambda: None, "b") is ProcessState.RUNNING
    assert running(tmp_path) == ["a", "b"]
    (tmp_path / "a.runs").unlink()

    await receiver.start(stable_slot="b")

    assert await effects.process_state() is ProcessState.STOPPED


async def test_a_rollback_stops_the_process_of_its_own_slot(effects: Effects, receiver: Acting, tmp_path: Path) -> None:
    """What is stable runs on."""
    for slot in "ab":
        (tmp_path / f"{slot}.runs").touch()
    await receiver.start(stable_slot="b")
    await receiver.roll_back()

    assert await effects.stop_process(receiver.rollout.id) is ProcessState.STOPPED
    assert running(tmp_path) == ["b"]


async def test_what_may_hang_has_a_thread_of_its_own(effects: Effects, threads: list[str]) -> None:
    """A router's folder, the rollbacks' file and the reports' folder do not hold each other up."""
    assert threads == ["nginx-markers", "nginx-configuration", "rollback log", "reports"]
    assert effects.router_names == ("edge",)


async def test_people_and_files_are_those_of_the_policy(effects: Effects, receiver: Acting, tmp_path: Path) -> None:
    """Its targets are told, and the log and the reports stand where it says."""
    await receiver.start()
    decision = await receiver.roll_back()
    assert isinstance(decision, RollbackDecided)
    rollout = receiver.rollout

    await effects.write_log(rollout, Line(decision))

    assert effects.targets == ("json#1",)
    assert json.loads((tmp_path / "rolled-back.log").read_text())["rollout"] == rollout.id
    assert not await effects.report_is_there(rollout.id)
    (tmp_path / "written").mkdir()
    for path in paths(tmp_path / "written", rollout.id):
        path.touch()
    assert await effects.report_is_there(rollout.id)


async def test_without_slots_a_release_is_deployed_by_the_policys_program(
    effects: Effects, policy: Policy, receiver: Acting, tmp_path: Path
) -> None:
    """With slots there is nothing to deploy: the two change roles."""
    assert not effects.deploys_stable
    process = Process(deploy_stable=("tee", f"{tmp_path}/deployed"))
    effects = Effects.of(replace(policy, router=(), process=process), receiver.store, receiver.lead)
    await receiver.start()

    await effects.deploy_stable(receiver.rollout, still=lambda _: True)

    assert effects.deploys_stable
    assert json.loads((tmp_path / "deployed").read_text())["version"] == "v2.0"
    effects.close()


async def test_whether_to_act_is_asked_of_the_receivers_own_leader(effects: Effects, receiver: Acting) -> None:
    """Pages are told what is known of it; who looks on the leader's behalf asks anew."""
    assert effects.leading
    assert await effects.leads()
    receiver.lead.leading = False

    assert not effects.leading
    assert not await effects.leads()
