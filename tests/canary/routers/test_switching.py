"""What holds for every router that stands in front of customers, on real HAProxy and nginx."""

import asyncio
import contextlib
import time
from collections import defaultdict
from uuid import UUID

from canary.policy import release
from canary.policy.routers.withoutcustomer import WithoutCustomer
from canary.routers import Split
from tests.canary.routers.conftest import Front, MakeFront
from tests.support.programs.processes import eventually
from tests.support.web.traffic import Answer, Customer, Upstream, load

USERS = [f"customer-{number}" for number in range(60)]


def split(weight_ratio: float, rollout: str = "r-7") -> Split:
    """A split of the test's rollout."""
    return Split(rollout, weight_ratio)


async def ask(front: Front, user: str | None = None, **headers: str) -> Answer:
    """One request on a connection of its own."""
    customer = Customer(front.port, user, {name.replace("_", "-"): text for name, text in headers.items()})
    answer = await customer.ask()
    customer.close()
    return answer


async def test_no_request_fails_while_the_weight_changes(front: Front) -> None:
    """Keep-alive customers notice nothing of 5, 25, 50 and 0 percent, and nobody is on the canary after the last."""
    async with load(front.port, USERS) as answers:
        for weight_ratio in (0.05, 0.25, 0.5):
            await front.router.set_weight(split(weight_ratio))
            start = len(answers)
            while len(answers) < start + 3 * len(USERS):
                await Customer(front.port, "bystander").ask()
        await front.router.set_weight(split(0))
        closed_at = time.perf_counter()
        start = len(answers)
        while len(answers) < start + 3 * len(USERS):
            await Customer(front.port, "bystander").ask()

    assert [answer for answer in answers if answer.failure] == []
    assert {answer.version for answer in answers if answer.sent_at < closed_at} == {"stable", "canary"}
    assert {answer.version for answer in answers if answer.sent_at > closed_at} == {"stable"}


async def test_growth_only_adds_users(front: Front) -> None:
    """Whoever is on the canary at a smaller weight stays on it at every larger one."""
    chosen: list[set[str]] = []
    for weight_ratio in (0.05, 0.25, 0.5, 1):
        await front.router.set_weight(split(weight_ratio))
        async with load(front.port, USERS) as answers:
            pass
        chosen.append({answer.user for answer in answers if answer.version == "canary"})

    assert chosen[0] <= chosen[1] <= chosen[2] <= chosen[3] == set(USERS)
    assert chosen[1] < chosen[3]


async def test_python_chooses_the_same_users(front: Front) -> None:
    """For numbers, UUIDs, e-mail addresses and other texts, Python's answer is the router's."""
    users = [
        *(str(number) for number in range(400)),
        *(str(UUID(int=number * 2**90 + number)) for number in range(400)),
        *(f"customer.{number}@shop.example" for number in range(400)),
        *("x" * length for length in range(1, 40)),
        "%C3%A9t%C3%A9",
        "a+b/c=d",
    ]
    for rollout, weight_ratio in (("r-7", 0.05), ("r-7", 0.25), ("v2.0+build.9", 0.5)):
        wanted = split(weight_ratio, rollout)
        await front.router.set_weight(wanted)
        answers = await ask_all(front, users)

        by_router = {answer.user for answer in answers if answer.version == "canary"}
        assert [answer for answer in answers if answer.failure] == []
        assert by_router == {user for user in users if front.router.is_canary(user, wanted)}
        assert 0 < len(by_router) < len(users)


async def ask_all(front: Front, users: list[str]) -> list[Answer]:
    """One request of each user, all on one connection."""
    customer = Customer(front.port, None)
    answers = []
    for user in users:
        customer._user = user
        answers.append(await customer.ask())
    customer.close()
    return answers


async def test_another_rollout_has_other_users(front: Front) -> None:
    """A new rollout's id alone, without a reload, chooses other users."""
    chosen: dict[str, set[str]] = defaultdict(set)
    users = [f"u{number}" for number in range(300)]
    for rollout in ("r-7", "r-9", "r-7"):
        await front.router.set_weight(split(0.25, rollout))
        found = {answer.user for answer in await ask_all(front, users) if answer.version == "canary"}
        assert chosen[rollout] in (set(), found)
        chosen[rollout] = found

    assert len(chosen["r-7"] & chosen["r-9"]) < len(chosen["r-7"]) / 2


async def test_a_new_visitor_gets_a_cookie_and_stays(front: Front, stable: Upstream) -> None:
    """A visitor without a cookie gets one, is known to the shop by it at once, and is where it belongs from then on."""
    wanted = split(0.5)
    await front.router.set_weight(wanted)
    seen = set()
    for _ in range(20):
        first = await ask(front)
        user = first.headers["set-cookie"].partition(";")[0].removeprefix("user_id=")
        second = await ask(front, user)

        assert first.version == second.version
        assert (first.version == "canary") == front.router.is_canary(user, wanted)
        assert "set-cookie" not in second.headers
        seen.add(first.version)
    assert seen == {"stable", "canary"}
    assert all(arrival.headers["x-canary-user"] for arrival in stable.arrivals)


async def test_testers_reach_the_canary_while_it_has_traffic(front: Front, canary: Upstream) -> None:
    """Header and cookie bring a tester to the canary, marked as such; a rollback ends it; nobody can forge the mark."""
    wanted = split(0.01)
    await front.router.set_weight(wanted)
    outsider = next(f"u{n}" for n in range(1000) if not front.router.is_canary(f"u{n}", wanted))
    insider = next(f"u{n}" for n in range(1000) if front.router.is_canary(f"u{n}", wanted))

    assert (await ask(front, outsider)).version == "stable"
    assert (await ask(front, outsider, X_Team="INSIDE-1")).version == "stable"
    assert (await ask(front, outsider, X_Team="inside-1")).version == "canary"
    assert (await ask(front, f"{outsider}; team=inside")).version == "canary"
    assert (await ask(front, insider, X_Canary_Tester="1", X_Canary_User="boss")).version == "canary"
    assert [arrival.headers.get("x-canary-tester") for arrival in canary.arrivals] == ["1", "1", None]
    assert canary.arrivals[-1].headers["x-canary-user"] == insider

    await front.router.set_weight(Split("r-7", 0.01, testers=False))
    assert (await ask(front, outsider, X_Team="inside-1")).version == "stable"

    await front.router.set_weight(split(0.01))
    await front.router.set_weight(split(0))
    assert (await ask(front, outsider, X_Team="inside-1")).version == "stable"


async def test_testers_may_be_alone(front: Front) -> None:
    """In a phase of 0 % testers reach the canary and nobody else; it goes on to customers, and closes for all."""
    alone = Split("r-7", 0.0, testers_alone=True)
    await front.router.set_weight(alone)

    assert (await front.router.read()).agrees(alone)
    assert not (await front.router.read()).agrees(split(0))
    assert {answer.version for answer in await ask_all(front, USERS)} == {"stable"}
    assert (await ask(front, USERS[0], X_Team="inside-1")).version == "canary"

    await front.router.set_weight(split(1))
    assert (await ask(front, USERS[0])).version == "canary"
    await front.router.set_weight(alone)
    await front.router.set_weight(split(0))
    assert (await ask(front, USERS[0], X_Team="inside-1")).version == "stable"
    assert (await front.router.read()).agrees(split(0))


async def test_testers_by_address(make_front: MakeFront) -> None:
    """Everybody in a tester's address range reaches the canary."""
    front = make_front(testers=release.Testers(networks=("127.0.0.0/8", "::1/128")))
    await front.start()
    await front.router.set_weight(split(0.01))

    assert {answer.version for answer in await ask_all(front, USERS)} == {"canary"}


async def test_users_by_header(make_front: MakeFront) -> None:
    """A header can identify the user; without it the address does."""
    front = make_front(sticky="header", key="X-Account")
    await front.start()
    wanted = split(0.5)
    await front.router.set_weight(wanted)
    for user in USERS[:20]:
        answer = await ask(front, X_Account=user)

        assert (answer.version == "canary") == front.router.is_canary(user, wanted)
        assert "set-cookie" not in answer.headers
    assert ((await ask(front)).version == "canary") == front.router.is_canary("127.0.0.1", wanted)


async def test_users_by_address(make_front: MakeFront) -> None:
    """The address can identify the user, whatever cookies it sends."""
    front = make_front(sticky="address")
    await front.start()
    for rollout in ("r-1", "r-2", "r-3", "r-4"):
        wanted = split(0.5, rollout)
        await front.router.set_weight(wanted)

        versions = {(await ask(front, user)).version for user in USERS[:5]}
        assert versions == {"canary" if front.router.is_canary("127.0.0.1", wanted) else "stable"}


async def test_what_no_customer_asks_for_goes_with_everybody(make_front: MakeFront, canary: Upstream) -> None:
    """Named by path or header, it is stable's below 100 % and the canary's with everybody; it becomes no customer."""
    front = make_front(without_customer=WithoutCustomer(paths=("/webhooks/",), headers=("Stripe-Signature",)))
    await front.start()

    async def asked() -> set[tuple[str, bool]]:
        found = []
        for user, path, headers in (
            (None, "/webhooks/paid", {}),
            (USERS[0], "/webhooks/", {"X-Team": "inside-1"}),
            (None, "/shop", {"Stripe-Signature": "t=1"}),
        ):
            customer = Customer(front.port, user, headers, path)
            found += [await customer.ask(method) for method in ("GET", "POST")]
            customer.close()
        return {(answer.version, "set-cookie" in answer.headers) for answer in found}

    await front.router.set_weight(split(0.99))
    assert await asked() == {("stable", False)}
    assert (await ask(front, X_Team="inside-1")).version == "canary"
    await front.router.set_weight(split(1))
    canary.arrivals.clear()
    assert await asked() == {("canary", False)}
    assert {arrival.headers.get("x-canary-user") for arrival in canary.arrivals} == {None}
    await front.router.set_weight(split(0))
    assert await asked() == {("stable", False)}


async def test_robots_and_preflights_become_no_customers(front: Front) -> None:
    """Without a cookie they get none, and are stable's below 100 %; with one they are that customer."""
    robots = ({"User_Agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}, {"Sec_Purpose": "prefetch;prerender"}, None)

    async def as_robot(user: str | None, headers: dict[str, str] | None) -> Answer:
        if headers is not None:
            return await ask(front, user, **headers)
        customer = Customer(front.port, user)
        answer = await customer.ask("OPTIONS")
        customer.close()
        return answer

    await front.router.set_weight(split(0.99))
    insider = next(user for user in USERS if front.router.is_canary(user, split(0.99)))
    for headers in robots:
        strange, known = await as_robot(None, headers), await as_robot(insider, headers)
        assert (strange.version, "set-cookie" in strange.headers) == ("stable", False), headers
        assert known.version == "canary", headers
    assert "set-cookie" in (await ask(front, User_Agent="Mozilla/5.0 (Linux; Android 9; CUBOT NOTE S)")).headers
    await front.router.set_weight(split(1))
    assert {(await as_robot(None, headers)).version for headers in robots} == {"canary"}


async def test_a_websocket_lasts_through_a_switch_and_is_waited_for(make_front: MakeFront, stable: Upstream) -> None:
    """What began on the canary goes on there after a rollback, and a router that counts says so until it ends."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):  # a check that sends nothing
            await reader.readuntil(b"\r\n\r\n")
            head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            writer.write(f"{head}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n".encode())
            while data := await reader.read(100):
                writer.write(data)
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1") as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        front = make_front(upstreams=release.Upstreams(stable=(stable.address,), canary=(address,)))
        await front.start()
        await front.router.set_weight(split(1))
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        keys = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        writer.write(
            f"GET /chat HTTP/1.1\r\nHost: shop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{keys}\r\n".encode()
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        await front.router.set_weight(split(0))
        for text in (b"one", b"two"):
            writer.write(text)
            assert await reader.readexactly(3) == text
        assert (await ask(front)).version == "stable"
        assert await front.router.sessions(0) in (1, None)
        writer.close()

        async def over() -> bool:
            return await front.router.sessions(0) in (0, None)

        await eventually(over, "the websocket's end is seen")
        front.stop()


async def test_a_dead_canary_breaks_nobody(front: Front, canary: Upstream) -> None:
    """When the canary's process is gone, its users are served by stable, before the router even knows."""
    wanted = split(0.5)
    await front.router.set_weight(wanted)
    users = [user for user in USERS if front.router.is_canary(user, wanted)]
    async with load(front.port, users[:10]) as before:
        pass
    await canary.stop()

    async with load(front.port, users, warm_up_requests=2) as after:
        pass

    assert {answer.version for answer in before} == {"canary"}
    assert [answer for answer in after if answer.failure] == []
    assert {answer.version for answer in after} == {"stable"}


async def test_a_canary_that_is_killed_loses_only_what_it_was_working_on(
    make_front: MakeFront, canary: Upstream
) -> None:
    """Killed under load, the canary takes with it what it had begun; what can be sent again never fails afterwards.

    A POST that was just handed over to a dying connection may, because nobody knows whether it had an effect.
    """
    canary._service_seconds = 0.02
    front = make_front()
    await front.start()
    await front.router.set_weight(split(0.5))
    async with load(front.port, USERS) as answers:
        await eventually(lambda: len(answers) > 5 * len(USERS), "some traffic")
        died_at = time.perf_counter()
        await canary.stop()
        seen = len(answers)
        await eventually(lambda: len(answers) > seen + 10 * len(USERS), "more traffic")

    assert {answer.version for answer in answers if answer.sent_at < died_at} >= {"stable", "canary"}
    afterwards = [answer for answer in answers if answer.sent_at > died_at]
    assert [answer for answer in afterwards if answer.failure and answer.method == "GET"] == []
    assert {answer.version for answer in afterwards if not answer.failure} == {"stable"}


async def test_nobody_is_on_the_canary_before_a_rollout(front: Front) -> None:
    """The generated configuration starts with everybody on stable, and reads back as such."""
    observation = await front.router.read()

    assert observation.weight_ratio == 0
    assert observation.agrees(split(0))
    assert {answer.version for answer in await ask_all(front, USERS)} == {"stable"}
    assert await front.router.check() == []


async def test_read_back_says_what_is_in_force(front: Front) -> None:
    """The weight, the testers and the rollout are read from the router, and only the same split agrees."""
    await front.router.set_weight(split(0.25))
    observation = await front.router.read()

    assert observation.weight_ratio == 0.25
    assert observation.agrees(split(0.25))
    assert not observation.agrees(split(0.5))
    assert not observation.agrees(split(0))
    assert not observation.agrees(split(0.25, "r-8"))
    assert not observation.agrees(Split("r-7", 0.25, testers=False))
    assert "25%" in observation.detail
