"""Routers with two equal groups of servers: their number is the share of slot b, whichever role that has."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from canary.policy.routers.sections import CommandRouter
from canary.policy.routers.slots import Slot, Slots
from canary.routers import Observation, Reading, Router, Split
from canary.routers.command import ProgramRouter
from canary.testing.contract import router_contract
from tests.support.web.traffic import Answer, Customer, Upstream

USERS = [f"customer-{number}" for number in range(60)]

Make = Callable[..., Any]


@pytest.fixture(params=["haproxy", "nginx"])
async def slotted(
    request: pytest.FixtureRequest, make_haproxy: Make, make_nginx: Make, stable: Upstream, canary: Upstream
) -> Any:
    """A running router with the version `stable` in slot a, and `canary` in slot b."""
    makes = {"haproxy": make_haproxy, "nginx": make_nginx}
    made = makes[request.param](slots=Slots(a=(stable.address,), b=(canary.address,)))
    await made.start()
    return made


async def versions(front: Any) -> dict[str, str | None]:
    """By user, the version that served them, each on a connection of its own."""
    answers: list[Answer] = []
    for user in USERS:
        customer = Customer(front.port, user)
        answers.append(await customer.ask())
        customer.close()
    return {answer.user: answer.version for answer in answers}


async def ask_as_tester(front: Any) -> Answer:
    """What a tester gets."""
    customer = Customer(front.port, "tester", {"X-Team": "inside-1"})
    answer = await customer.ask()
    customer.close()
    return answer


async def test_two_releases_in_a_row_change_roles_and_move_nobody(slotted: Any) -> None:
    """The first release goes to slot b, which keeps everybody when the roles change; the second one goes to slot a."""
    router: Router = slotted.router
    assert set((await versions(slotted)).values()) == {"stable"}

    first = Split("first", 0.25, stable_slot="a")
    await router.set_weight(first)
    served = await versions(slotted)
    assert {user for user, version in served.items() if version == "canary"} == {
        user for user in USERS if router.is_canary(user, first)
    }
    await router.set_weight(Split("first", 1.0, stable_slot="a"))
    assert set((await versions(slotted)).values()) == {"canary"}

    # The release is finished: b is the stable one, nobody is on the canary's slot, and nothing moves.
    await router.set_weight(Split("first", 0.0, testers=False, stable_slot="b"))
    assert set((await versions(slotted)).values()) == {"canary"}
    assert (await router.read()).weight_ratio == 0

    chosen: list[set[str]] = []
    for ratio in (0.05, 0.25):
        second = Split("second", ratio, stable_slot="b")
        await router.set_weight(second)
        served = await versions(slotted)
        chosen.append({user for user, version in served.items() if version == "stable"})
        assert chosen[-1] == {user for user in USERS if router.is_canary(user, second)}
        assert (await ask_as_tester(slotted)).version == "stable", "testers reach the canary, which is in slot a now"
        assert (await router.read()).agrees(second)
    assert chosen[0] <= chosen[1]
    assert 0 < len(chosen[1]) < len(USERS)

    await router.set_weight(Split("second", 0.0, testers=False, stable_slot="b"))
    assert set((await versions(slotted)).values()) == {"canary"}
    assert (await ask_as_tester(slotted)).version == "canary"


async def test_testers_are_alone_on_the_canarys_slot_whichever_that_is(slotted: Any) -> None:
    """A phase of 0 % lets testers in, and nobody else, with slot b as the stable one too."""
    alone = Split("r", 0.0, testers_alone=True, stable_slot="b")
    await slotted.router.set_weight(alone)
    assert (await slotted.router.read()).agrees(alone)
    assert (await ask_as_tester(slotted)).version == "stable"
    assert set((await versions(slotted)).values()) == {"canary"}


async def test_what_no_customer_asks_for_goes_to_the_stable_slot(slotted: Any) -> None:
    """A robot has no bucket: it is served by the stable slot, whichever that is, until everybody is on the other."""
    for ratio, expected in ((0.25, "canary"), (1.0, "stable")):
        await slotted.router.set_weight(Split("r", ratio, stable_slot="b"))
        robot = Customer(slotted.port, None, {"User-Agent": "Googlebot/2.1"})
        assert (await robot.ask()).version == expected
        robot.close()


async def test_a_share_that_is_missing_means_the_recorded_stable_slot(slotted: Any) -> None:
    """HAProxy without the map's weight, nginx without its link: everybody is on the slot that was recorded."""
    await slotted.router.set_weight(Split("r", 0.25, stable_slot="b"))
    if hasattr(slotted, "map"):
        for socket in slotted.router._sockets:
            await socket.ask(f"del map {slotted.map} weight")
    else:
        (slotted.markers / "active").unlink()
    assert set((await versions(slotted)).values()) == {"canary"}
    assert (await slotted.router.read()).weight_ratio == 0


@pytest.mark.parametrize("stable_slot", ["a", "b"])
async def test_it_keeps_the_contract_of_a_router(slotted: Any, stable_slot: Slot) -> None:
    """Whichever slot is stable, what was set last is in force, and is what is read."""
    await router_contract(slotted.router, stable_slot=stable_slot)


async def test_what_nobody_has_said_stays_as_it_is_recorded(slotted: Any) -> None:
    """Without a rollout everybody is on the stable slot, and the router is the one that knows which."""
    await slotted.router.set_weight(Split("r", 0.25, stable_slot="b"))
    nobody = Split("none", 0.0, testers=False)
    await slotted.router.set_weight(nobody)
    seen = await slotted.router.read()
    assert seen.agrees(nobody)
    assert [reading.stable_slot for reading in seen.readings] == ["b"]
    assert set((await versions(slotted)).values()) == {"canary"}


async def test_programs_speak_of_slot_b(tmp_path: Path) -> None:
    """A router of kind `command` is told the share of slot b; what it prints is read by the slot it has recorded."""
    file = tmp_path / "split.json"
    file.write_text('{"stable": "b", "sessions": 3}')
    store = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    show = "import sys; print(open(sys.argv[1]).read())"
    router = ProgramRouter(
        CommandRouter(
            kind="command",
            set=(sys.executable, "-c", store, str(file)),
            read=(sys.executable, "-c", show, str(file)),
            slots=Slots(a=("127.0.0.1:1",), b=("127.0.0.1:2",)),
        )
    )
    assert (await router.read()).weight_ratio == 0, "a share that is missing is nobody on the canary"
    assert await router.sessions(0) == 3

    await router_contract(router, stable_slot="b")
    await router.set_weight(Split("r", 0.05, stable_slot="b"))
    told = json.loads(file.read_text())
    assert (told["slot_b"], told["stable"]) == (0.95, "b")
    assert "weight" not in told

    file.write_text('{"slot_b": 0.95}')
    assert (await router.read()).weight_ratio is None, "by the share alone nobody can tell 5 % from 95 %"


def test_the_journal_says_which_slot_is_the_canarys() -> None:
    """A router that was wiped has slot a recorded: its nobody is everybody where slot b is the stable one."""
    wiped = Observation((Reading("edge", 0.0, stable_slot="a"),))
    assert wiped.seen_from("b").weight_ratio == 1
    assert wiped.seen_from("a").weight_ratio == 0
    assert wiped.seen_from(None).weight_ratio == 0
    assert not wiped.seen_from("b").agrees(Split("r", 0.0, stable_slot="b"))
