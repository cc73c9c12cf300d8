"""Envoy by its runtime values: what is its own; what holds for every router is in `test_switching`."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import RouterError
from canary.policy.release import Upstreams
from canary.routers.base import Split
from canary.routers.envoy.driver import EnvoyRuntimeRouter
from canary.routers.envoy.ring import CLUSTERS, PLACES, Arc
from tests.support.programs.envoy import Envoy
from tests.support.programs.processes import eventually
from tests.support.web.traffic import Customer, Upstream, load

MakeEnvoy = Callable[..., Envoy]


async def modify(envoy: Envoy, **values: int) -> None:
    """Change runtime values as a person would."""
    connector = aiohttp.UnixConnector(envoy.section.admins[0])
    query = {f"canary.{name.replace('_', '-')}": str(value) for name, value in values.items()}
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        http.post("http://localhost/runtime_modify", params=query) as answer,
    ):
        assert answer.status == 200


async def test_a_restarted_envoy_has_lost_the_split_and_is_another_process(make_envoy: MakeEnvoy) -> None:
    """It begins on stable, under no process's name, so that it is not taken for lowered by hand."""
    envoy = make_envoy()
    await envoy.start()
    await envoy.router.set_weight(Split("r-7", 0.25))
    [before] = (await envoy.router.read()).readings
    envoy.stop()
    [away] = (await envoy.router.read()).readings
    with pytest.raises(RouterError, match="is unreachable"):
        await envoy.router.set_weight(Split("r-7", 0.25))
    await envoy.start()
    [lost] = (await envoy.router.read()).readings
    await envoy.router.set_weight(Split("r-7", 0.25))
    [after] = (await envoy.router.read()).readings
    await envoy.router.set_weight(Split("r-7", 0.0, testers=False))
    [closed] = (await envoy.router.read()).readings

    assert (away.weight_ratio, away.error != "") == (None, True)
    assert (lost.weight_ratio, lost.process) == (0, "")
    assert (lost.closed, after.closed, closed.closed) == (False, False, True)
    assert (after.weight_ratio, after.salt) == (before.weight_ratio, before.salt)
    assert "" != after.process != before.process != ""


async def test_what_a_person_sets_is_seen(make_envoy: MakeEnvoy) -> None:
    """Lowered by hand, it is the same process with less; other weights than a rollout's own agree with nothing."""
    envoy = make_envoy()
    await envoy.start()
    split = Split("r-7", 0.25)
    await envoy.router.set_weight(split)
    [confirmed] = (await envoy.router.read()).readings
    await modify(envoy, canary_a=500)
    odd = await envoy.router.read()
    [told] = await envoy.router.check()
    assert "has weights that no rollout set" in told.what
    await modify(envoy, canary_a=0, canary_b=0, stable_b=PLACES, testers=0, everybody=0)
    closed = await envoy.router.read()

    assert 0 < (odd.weight_ratio or 0) < 0.25
    assert not odd.agrees(Split("r-7", odd.weight_ratio or 0))
    assert closed.agrees(Split("r-7", 0))
    assert {reading.process for reading in (*odd.readings, *closed.readings)} == {confirmed.process}
    await modify(envoy, stable_a=0, stable_b=0)
    [nobody] = (await envoy.router.read()).readings
    assert (nobody.weight_ratio, "no route for anybody" in nobody.error) == (None, True)
    await modify(envoy, canary_a=-5)
    [garbled] = (await envoy.router.read()).readings
    assert (garbled.weight_ratio, "canary.canary-a is '-5'" in garbled.error) == (None, True)
    await envoy.router.set_weight(split)
    assert (await envoy.router.read()).agrees(split)


async def test_one_envoy_that_is_down_hinders_no_other(make_envoy: MakeEnvoy) -> None:
    """Each has its own admin interface, by a port or a socket; the one that is away is named."""
    first, second = make_envoy("first"), make_envoy("second", tcp=True)
    await second.start()
    both = EnvoyRuntimeRouter(make_envoy("both", admins=(*first.section.admins, *second.section.admins)).section)

    with pytest.raises(RouterError, match=r"first/admin\.sock: is unreachable"):
        await both.set_weight(Split("r-7", 0.5))

    assert (await second.router.read()).agrees(Split("r-7", 0.5))
    assert (await both.read()).weight_ratio == 0.5
    assert not (await both.read()).agrees(Split("r-7", 0.5))
    [finding] = await both.check()
    assert "first/admin.sock" in finding.place


async def test_a_configuration_that_ignores_the_values_is_found(make_envoy: MakeEnvoy) -> None:
    """An admin interface that takes values which no route looks at, or that may not change any, is no router."""
    envoy = make_envoy()
    text = envoy.configuration.read_text()
    envoy.configuration.write_text(text.replace("use_hash_policy: true", "use_hash_policy: false"))
    await envoy.start()
    [drawn_anew] = await envoy.router.check()
    envoy.stop()
    envoy.configuration.write_text(text.replace("admin_layer: {}", "static_layer: {}"))
    await envoy.start()
    [fixed] = await envoy.router.check()
    with pytest.raises(RouterError, match="/runtime_modify answered 503"):
        await envoy.router.set_weight(Split("r-7", 0.05))

    assert "no route divides traffic" in drawn_anew.what
    assert "no runtime layer" in fixed.what


async def test_what_is_under_way_and_who_is_down_are_told(make_envoy: MakeEnvoy, stable: Upstream) -> None:
    """Requests on the canary are counted once the process is old enough; a stable server that is down is named."""
    arrived = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1):  # a health check sends nothing
            arrived.set()
            await reader.read()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1") as slow:
        address = f"127.0.0.1:{slow.sockets[0].getsockname()[1]}"
        envoy = make_envoy(upstreams=Upstreams(stable=(stable.address,), canary=(address,)))
        await envoy.start()
        await envoy.router.set_weight(Split("r-7", 1))
        assert await envoy.router.sessions(3600) is None
        assert await envoy.router.sessions(0) == 0
        asking = asyncio.ensure_future(Customer(envoy.port, "ann").ask())
        await arrived.wait()
        assert await envoy.router.sessions(0) == 1
        assert await envoy.router.unhealthy() == {}
        await stable.stop()

        async def named() -> bool:
            return stable.address in await envoy.router.unhealthy()

        await eventually(named, "Envoy's check of the stable server")
        envoy.stop()
        await asking


PARTS = st.integers(0, PLACES)


@given(begin=st.integers(0, PLACES - 1), lengths=st.tuples(PARTS, PARTS).map(sorted), place=st.integers(0, PLACES - 1))
def test_the_weights_are_an_arc_that_only_grows(begin: int, lengths: list[int], place: int) -> None:
    """They add up to the ring, hold what Envoy's sums give the canary, and a longer arc holds the shorter one."""

    def held(length: int) -> bool:
        weights, end = Arc(begin, length).weights, 0
        assert sum(weights.values()) == PLACES
        assert min(weights.values()) >= 0
        assert weights["canary-a"] + weights["canary-b"] == length
        for name in CLUSTERS:
            end += weights[name]
            if place < end:
                return name.startswith("canary")
        raise AssertionError("no cluster")

    less, more = map(held, lengths)
    assert less <= more
    assert [held(length) for length in lengths] == [(place - begin) % PLACES < length for length in lengths]


@given(user=st.text(min_size=1), rollout=st.sampled_from(["r-1", "r-2", "r-3"]))
def test_nobody_and_everybody(user: str, rollout: str) -> None:
    """At 0 nobody is on the canary, at 100 % everybody."""
    assert not Arc.of(Split(rollout, 0)).holds(user)
    assert Arc.of(Split(rollout, 1)).holds(user)


def test_the_hash_is_xxhash64() -> None:
    """The constant that Envoy's documentation and xxHash's own give for an empty text's neighbour."""
    assert xxhash.xxh64_intdigest(b"a") == 0xD24EC4F1A98C6E5B
    assert Arc(0xD24EC4F1A98C6E5B % PLACES, 1).holds("a")


@pytest.mark.parametrize("address", ["127.0.0.1:9901", "tcp:", "http://127.0.0.1:9901", "tcp:a/b:1"])
def test_what_is_no_admin_interface_is_refused(tmp_path: Path, address: str) -> None:
    """Before anything is asked."""
    with pytest.raises(RouterError, match="expected a path from / or"):
        Envoy(tmp_path, "127.0.0.1:1", "127.0.0.1:2", admins=(address,))


async def test_thirty_switches_lose_no_request(make_envoy: MakeEnvoy) -> None:
    """Keep-alive customers, GET and POST, through ten rollouts up and back."""
    envoy = make_envoy()
    await envoy.start()
    async with load(envoy.port, [f"u{number}" for number in range(30)], pause_seconds=0.0) as answers:
        for number in range(10):
            for weight_ratio in (0.25, 1, 0):
                await envoy.router.set_weight(Split(f"r-{number}", weight_ratio))
                seen = len(answers)
                while len(answers) < seen + 30:
                    await Customer(envoy.port, "bystander").ask()

    assert [answer for answer in answers if answer.failure] == []
