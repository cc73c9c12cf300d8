"""A start is held against what is really there, and what was found is kept with it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alertmanager.receiver.decide.commands import Request
from canary.errors import RefusedError, RemoteError
from canary.policy.pinning.digest import digest
from canary.policy.plans import NORMAL
from canary.policy.release import Phase
from canary.rollout.commands.seen import Seen
from canary.rollout.commands.verbs import Verb
from canary.rollout.entries import Entry, Started
from canary.rollout.passport import Passport
from tests.alertmanager.receiver.decide.test_commands import People
from tests.support.receiving.acting import World

STABLE = {"10.0.1.10:5000": "v1.0", "10.0.1.11:5000": "v1.0"}


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[People]:
    """Who starts v2.0 on two stable servers with v1.0 and one canary server."""
    phases = (Phase(traffic=0.05, duration=60), Phase(traffic=1, duration=60))
    plans = {"slow": (phases[0], Phase(traffic=0.5, duration=60), phases[1])}
    async with World.around(tmp_path, phases=phases, plans=plans) as world:
        people = People(world)
        people.servers.stable_versions = dict(STABLE)
        people.servers.canary_versions = {"10.0.1.20:5000": "v2.0"}
        await people.acting.store.refresh()
        await people.acting.controller.step()
        yield people


async def start(
    people: People, canary: str = "v2.0", *, plan: str = NORMAL, force: bool = False, again: bool = False
) -> Entry:
    """A start by somebody who has just looked."""
    people.acting.clock.advance(1)
    seen = Seen.of(people.acting.store.rollout)
    request = Request(Verb.START, "ann", canary=canary, stable="v1.0", plan=plan, seen=seen, force=force, again=again)
    return await people.commands.submit(request)


def passport_of(entry: Entry) -> Passport:
    """The passport that a start left in the journal."""
    assert isinstance(entry, Started)
    assert entry.passport is not None
    return entry.passport


async def test_what_was_found_is_kept_with_the_start(people: People) -> None:
    """Known versions, unknown ones with the reason, weights, and what will hurt: in the journal, and as folded."""
    people.servers.stable_versions["10.0.1.11:5000"] = ""
    passport = passport_of(await start(people))

    assert passport.stable == STABLE | {"10.0.1.11:5000": "unknown: is down"}
    assert passport.canary == {"10.0.1.20:5000": "v2.0"}
    assert passport.routers == {"edge": "0%"}
    assert passport.warnings == (
        "phase 2 (100%) needs 2 of the canary's servers, as stable has 2 for everybody; found 1",
    )
    assert passport.policies == {
        "exporter": "0123", "rules": "0123", "receiver": digest(people.policy),
    }  # fmt: skip
    assert not passport.forced
    assert people.acting.rollout.passport == passport
    assert "never passed" in dict(passport.lines())["last drill"]


async def test_the_servers_are_held_against_the_plan_that_is_named(people: People) -> None:
    """Which phase needs more servers than there are is a question to the rollout's own plan."""
    passport = passport_of(await start(people, plan="slow"))

    assert passport.warnings == (
        "phase 3 (100%) needs 2 of the canary's servers, as stable has 2 for everybody; found 1",
    )


@pytest.mark.parametrize("role", ["stable", "canary"])
async def test_a_contradiction_refuses_and_force_is_written_down(people: People, role: str) -> None:
    """A server that runs another version than was said keeps the rollout from beginning, unless a person insists."""
    versions = people.servers.stable_versions if role == "stable" else people.servers.canary_versions
    versions[next(iter(versions))] = "v0.9"

    with pytest.raises(RefusedError, match=rf"--{role} is .*runs v0\.9"):
        await start(people)
    passport = passport_of(await start(people, force=True))
    assert passport.forced
    assert any("v0.9" in warning for warning in passport.warnings)


async def test_a_canary_that_does_not_answer_refuses_a_start(people: People) -> None:
    """Where none of its servers answers, customers would meet nobody; one of several is a warning."""
    people.servers.canary_versions = {"10.0.1.20:5000": ""}
    people.servers.silent = True
    with pytest.raises(RefusedError, match=r"to say what they run; 10\.0\.1\.20:5000: is down; .* --force starts"):
        await start(people)

    people.servers.canary_versions["10.0.1.21:5000"] = "v2.0"
    passport = passport_of(await start(people))
    assert passport.warnings == ("expected the canary's servers to say what they run; 10.0.1.20:5000: is down",)


async def test_customers_on_the_canarys_servers_refuse_a_start(people: People) -> None:
    """A weight that a router still has belongs to nobody's rollout any more, or to one that is not over."""
    await start(people)
    await people.acting.controller.step()
    await people.acting.roll_back()
    await people.acting.reconcile()
    people.acting.reconciler.controllers[0].observation = None
    people.world_router.change_by_hand(0.25)

    with pytest.raises(RefusedError, match="router edge has 25% on the canary's servers, expected 0%"):
        await start(people, "v3.0")


async def test_a_version_that_was_rolled_back_needs_a_word(people: People) -> None:
    """`--again` begins it, and the passport remembers why it was rolled back the last time."""
    await start(people)
    await people.acting.controller.step()
    await people.acting.roll_back()
    await people.acting.reconcile()

    with pytest.raises(RefusedError, match=r"v2\.0 was rolled back on .*--again"):
        await start(people)
    passport = passport_of(await start(people, again=True))
    assert "was rolled back" in passport.before
    assert "bad" in passport.before


async def test_a_database_without_what_the_version_needs_refuses_a_start(people: People) -> None:
    """The migration comes before the application; what was begun all the same says so, and what was there is kept."""
    people.servers.compatible = False
    with pytest.raises(RefusedError, match=r"cannot start: the order database lacks .*; apply the migration before"):
        await start(people)
    assert people.acting.store.rollout is None

    passport = passport_of(await start(people, force=True))
    assert passport.forced
    assert "lacks a table or column" in dict(passport.lines())["order database's schema"]


@pytest.mark.parametrize(
    ("compatible", "found"),
    [
        (True, "has what both versions need"),
        (None, "unknown: no exporter tells"),
        (RemoteError("does not answer", place="prometheus"), "unknown: prometheus: does not answer"),
    ],
)
async def test_a_schema_that_fits_or_that_nobody_tells_refuses_nothing(
    people: People, compatible: bool | RemoteError | None, found: str
) -> None:
    """What nobody can answer is written down as unknown, with the reason."""
    people.servers.compatible = compatible

    assert passport_of(await start(people)).schema == found


def test_servers_that_say_the_same_are_told_together() -> None:
    """What people read has one line per group, and says when none are named."""
    lines = dict(Passport(stable=STABLE, silences=("rollback: a silence",), forced=True).lines())

    assert lines["stable servers"] == "v1.0 (10.0.1.10:5000, 10.0.1.11:5000)"
    assert lines["canary's servers"] == "unknown: none named"
    assert lines["silenced"] == "rollback: a silence"
    assert "forced" in lines
