"""HAProxy's own troubles: restarts, reloads, sockets that are gone, maps and files that are not as expected."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from canary.errors import RouterError
from canary.finding import Status
from canary.policy.routers.sections import HaproxyRouter
from canary.routers import Split
from canary.routers.haproxy import mapfile
from canary.routers.haproxy.driver import HAProxyRouter
from canary.routers.haproxy.mapfile import Entries
from canary.routers.haproxy.socket import RuntimeSocket
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.processes import eventually
from tests.support.web.traffic import Upstream, load

MakeHAProxy = Callable[..., HAProxy]

FIVE = Split("r-7", 0.05)
HALF = Split("r-7", 0.5)
CLOSED = Split("r-7", 0)


async def test_survives_restart_and_reload(make_haproxy: MakeHAProxy) -> None:
    """After a restart and after a reload HAProxy has the weight it had, and takes a new one."""
    haproxy = make_haproxy()
    await haproxy.start()
    await haproxy.router.set_weight(FIVE)

    await haproxy.restart()
    assert (await haproxy.router.read()).agrees(FIVE)

    await haproxy.router.set_weight(HALF)
    await haproxy.reload()
    assert (await haproxy.router.read()).agrees(HALF)

    await haproxy.router.set_weight(CLOSED)
    await haproxy.reload()
    assert (await haproxy.router.read()).agrees(CLOSED)


async def test_runtime_over_tcp(make_haproxy: MakeHAProxy) -> None:
    """The runtime socket may be a TCP port; the check warns that it asks for no password."""
    haproxy = make_haproxy(tcp=True)
    await haproxy.start()
    await haproxy.router.set_weight(HALF)

    assert (await haproxy.router.read()).agrees(HALF)
    assert [(finding.status, "password" in finding.what) for finding in await haproxy.router.check()] == [
        ("warning", True)
    ]


async def test_several_instances_share_a_map(make_haproxy: MakeHAProxy) -> None:
    """Every instance gets the weight; one that is down is named, and hinders neither the others nor the file."""
    first = make_haproxy("first")
    second = make_haproxy("second", map=str(first.map))
    await first.start()
    await second.start()
    both = HAProxyRouter(
        HaproxyRouter(kind="haproxy", sockets=(*first.section.sockets, *second.section.sockets), map=str(first.map))
    )
    await both.set_weight(HALF)
    assert [reading.weight_ratio for reading in (await both.read()).readings] == [0.5, 0.5]

    second.stop()
    with pytest.raises(RouterError, match=f"{second.section.sockets[0]}: cannot be reached"):
        await both.set_weight(CLOSED)

    observation = await both.read()
    assert [reading.weight_ratio for reading in observation.readings] == [0, None]
    assert not observation.agrees(CLOSED)
    assert mapfile.read(first.map).weight == 0
    await second.start()
    assert (await both.read()).agrees(CLOSED)


async def test_with_the_socket_gone_the_file_is_only_lowered(make_haproxy: MakeHAProxy) -> None:
    """Nobody can reach HAProxy: a rollback still reaches the file, more traffic does not."""
    haproxy = make_haproxy()
    await haproxy.start()
    await haproxy.router.set_weight(FIVE)
    (haproxy.folder / "canary.sock").unlink()

    with pytest.raises(RouterError, match="cannot be reached"):
        await haproxy.router.set_weight(HALF)
    assert mapfile.read(haproxy.map).weight == 500

    with pytest.raises(RouterError, match="cannot be reached"):
        await haproxy.router.set_weight(CLOSED)
    assert mapfile.read(haproxy.map).weight == 0

    await haproxy.restart()
    assert (await haproxy.router.read()).agrees(CLOSED)


async def test_an_empty_map_is_filled(make_haproxy: MakeHAProxy) -> None:
    """A map without entries means that everybody is on stable, and takes a weight all the same."""
    haproxy = make_haproxy()
    haproxy.map.write_text("")
    await haproxy.start()
    assert (await haproxy.router.read()).weight_ratio == 0

    await haproxy.router.set_weight(HALF)

    assert (await haproxy.router.read()).agrees(HALF)


async def test_a_weight_that_is_changed_externally_is_seen(make_haproxy: MakeHAProxy) -> None:
    """Somebody else's `set map` no longer agrees with the wanted split, and is set right by asking again."""
    haproxy = make_haproxy()
    await haproxy.start()
    await haproxy.router.set_weight(FIVE)
    socket = RuntimeSocket(haproxy.section.sockets[0], haproxy.section.map, 2)
    assert await socket.ask(f"set map {haproxy.map} weight 9000") == ""

    observation = await haproxy.router.read()
    assert observation.weight_ratio == 0.9
    assert not observation.agrees(FIVE)

    await haproxy.router.set_weight(FIVE)
    assert (await haproxy.router.read()).agrees(FIVE)


async def test_another_rollouts_users_never_get_the_old_weight(
    make_haproxy: MakeHAProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two rollouts it is closed before the salt changes, and opened after; the next never seems closed."""
    haproxy = make_haproxy()
    await haproxy.start()
    await haproxy.router.set_weight(HALF)
    done: list[tuple[str, int]] = []
    closed: set[int | None] = set()
    change = RuntimeSocket._set

    async def record(socket: RuntimeSocket, key: str, number: int) -> None:
        done.append((key, number))
        await change(socket, key, number)
        (reading,) = (await haproxy.router.read()).readings
        closed.update({reading.salt} if reading.closed else ())

    monkeypatch.setattr(RuntimeSocket, "_set", record)
    await haproxy.router.set_weight(Split("r-8", 0.25))
    assert Split("r-8", 0).salt not in closed
    await haproxy.router.set_weight(Split("r-8", 0.0, testers=False))
    assert Split("r-8", 0).salt in closed

    assert done[:4] == [("weight", 0), ("testers", 1), ("salt", Split("r-8", 0).salt), ("weight", 2500)]


async def test_another_map_than_haproxys_is_an_error(make_haproxy: MakeHAProxy) -> None:
    """A map that HAProxy does not know is never taken for a weight of 0."""
    haproxy = make_haproxy()
    await haproxy.start()
    stranger = HAProxyRouter(
        HaproxyRouter(kind="haproxy", sockets=haproxy.section.sockets, map=f"{haproxy.folder}/other.map")
    )

    observation = await stranger.read()
    assert observation.weight_ratio is None
    assert "exactly this path" in observation.detail
    with pytest.raises(RouterError, match="Unknown map"):
        await stranger.set_weight(CLOSED)
    assert any("Unknown map" in finding.what for finding in await stranger.check())


async def test_a_full_disk_does_not_stop_a_rollback(
    make_haproxy: MakeHAProxy, small_disk: tuple[Path, Callable[[], None]]
) -> None:
    """On a full disk the runtime is closed and the file too, in place; nothing half-written stays behind."""
    folder, fill = small_disk
    haproxy = make_haproxy(map=str(folder / "canary.map"))
    (folder / "canary.map").write_text((haproxy.folder / "canary.map").read_text())
    await haproxy.start()
    await haproxy.router.set_weight(HALF)
    fill()

    await haproxy.router.set_weight(CLOSED)

    assert (await haproxy.router.read()).agrees(CLOSED)
    assert mapfile.read(folder / "canary.map").weight == 0
    assert [path for path in folder.iterdir() if not path.name.startswith(("canary.map", "filler"))] == []
    await haproxy.restart()
    assert (await haproxy.router.read()).agrees(CLOSED)


async def test_a_file_that_cannot_be_written_is_an_error(make_haproxy: MakeHAProxy) -> None:
    """The runtime is changed, but the weight would not survive a reload: that is said, and found by the check."""
    haproxy = make_haproxy()
    await haproxy.start()
    haproxy.map.unlink()
    haproxy.map.mkdir()

    with pytest.raises(RouterError, match="brings the old weight back"):
        await haproxy.router.set_weight(HALF)

    assert (await haproxy.router.read()).agrees(HALF)
    assert any("install the generated map file" in finding.remedy for finding in await haproxy.router.check())


async def test_a_file_that_says_something_else_is_found(make_haproxy: MakeHAProxy) -> None:
    """A file that was changed by other hands would change the weight at the next reload: the check says so."""
    haproxy = make_haproxy()
    await haproxy.start()
    await haproxy.router.set_weight(CLOSED)
    haproxy.map.write_text("weight 5000\n")

    findings = await haproxy.router.check()

    assert ["says 50%, but 0% is in force" in finding.what for finding in findings] == [True]


async def test_a_remote_haproxys_file_stays_closed(make_haproxy: MakeHAProxy) -> None:
    """With `write_map: no` only the runtime changes, so that a restart there begins on stable."""
    haproxy = make_haproxy(write_map=False)
    await haproxy.start()
    await haproxy.router.set_weight(HALF)
    assert mapfile.read(haproxy.map).weight == 0

    await haproxy.restart()

    assert (await haproxy.router.read()).weight_ratio == 0


async def test_a_socket_below_admin_is_found(make_haproxy: MakeHAProxy) -> None:
    """The check names a socket whose level newer HAProxies refuse."""
    haproxy = make_haproxy()
    configuration = haproxy.folder / "haproxy.cfg"
    configuration.write_text(configuration.read_text().replace("level admin", "level operator"))
    await haproxy.start()

    findings = await haproxy.router.check()

    assert [finding.status for finding in findings] == [Status.FAILED]
    assert "'operator'" in str(findings[0])


async def test_a_haproxy_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    """A socket that accepts and stays silent is an error after the time limit, not a hang."""
    leaving = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await leaving.wait()
        writer.close()

    server = await asyncio.start_unix_server(silent, tmp_path / "silent.sock")
    router = HAProxyRouter(
        HaproxyRouter(kind="haproxy", sockets=(str(tmp_path / "silent.sock"),), map=f"{tmp_path}/m.map", timeout=0.05)
    )
    with pytest.raises(RouterError, match=r"within 0\.05s, found none"):
        await router.set_weight(CLOSED)
    leaving.set()
    server.close()
    assert mapfile.read(tmp_path / "m.map").weight == 0


@pytest.mark.parametrize("damage", ["pipe", "garbage"])
async def test_a_rollback_replaces_a_file_that_cannot_be_read(tmp_path: Path, damage: str) -> None:
    """Of such a file HAProxy would not start, or for ever: neither is it left there, nor does it stop the rollback."""
    path = tmp_path / "m.map"
    if damage == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"\xff" * len(mapfile.render(Entries(), "r-7")))
    router = HAProxyRouter(HaproxyRouter(kind="haproxy", sockets=(f"{tmp_path}/none.sock",), map=str(path)))
    async with asyncio.timeout(20):
        with pytest.raises(RouterError, match=r"none\.sock"):
            await router.set_weight(CLOSED)
    assert mapfile.read(path) == Entries(salt=CLOSED.salt)


async def test_a_reload_in_the_middle_of_a_rollback(make_haproxy: MakeHAProxy) -> None:
    """A worker that read the file just before the rollback comes up with the old weight: reading back shows it."""
    haproxy = make_haproxy()
    await haproxy.start()
    await haproxy.router.set_weight(HALF)
    users = [f"u{number}" for number in range(30)]
    async with load(haproxy.port, users):
        reload = asyncio.create_task(haproxy.reload())
        while not reload.done() or not (await haproxy.router.read()).agrees(CLOSED):
            with contextlib.suppress(RouterError):
                await haproxy.router.set_weight(CLOSED)
            await asyncio.sleep(0.005)
        await reload

    async with load(haproxy.port, users) as answers:
        pass
    assert {answer.version for answer in answers} == {"stable"}


@pytest.mark.parametrize("path", ["/etc/a b.map", "/etc/a;set map x y.map", "/etc/a\n.map", "/etc/a\\.map", ""])
def test_a_map_path_cannot_carry_a_command(path: str) -> None:
    """What would end or change a line of HAProxy's command line is refused before a socket is opened."""
    with pytest.raises(RouterError, match="map: expected a path"):
        HAProxyRouter(HaproxyRouter(kind="haproxy", map=path))


@pytest.mark.parametrize(
    "socket", ["", "haproxy.sock", "tcp:", "tcp:host", "tcp:host:", "tcp:host:port", "/run/a b", "host:1"]
)
def test_a_socket_is_a_path_or_a_port(socket: str) -> None:
    """What is neither is refused with the form that is expected."""
    with pytest.raises(RouterError, match="sockets: expected a path from / or `tcp:host:port`"):
        HAProxyRouter(HaproxyRouter(kind="haproxy", sockets=(socket,)))


async def test_a_weight_below_the_finest_is_refused() -> None:
    """A weight that would round to nobody is an error, never silently a rollback."""
    with pytest.raises(RouterError, match=r"expected 0 or at least 0\.01%, found 0\.001%"):
        await HAProxyRouter(HaproxyRouter(kind="haproxy")).set_weight(Split("r-7", 0.00001))


def test_only_numbers_reach_the_socket() -> None:
    """A rollout's id goes to HAProxy as a number, whatever it is."""
    entries = Entries.of(Split("v2.0+a_b-c", 0.0701))

    assert entries.weight == 701
    assert entries.testers == 1
    assert 0 <= entries.salt < 2**32


async def test_its_own_checks_name_a_dead_stable_server(make_haproxy: MakeHAProxy, stable: Upstream) -> None:
    """A stable server that HAProxy takes for down is told by its address; the canary's spare of it is not counted."""
    haproxy = make_haproxy()
    await haproxy.start()
    assert await haproxy.router.unhealthy() == {}
    await stable.stop()

    async def down() -> bool:
        return stable.address in await haproxy.router.unhealthy()

    await eventually(down, "HAProxy notices")


async def test_what_is_left_on_the_canary_is_counted(tmp_path: Path, stable: Upstream) -> None:
    """A request that is being answered counts after the switch; its connection, idle, does not. Young: unknown."""
    answered = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await answered.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    slow = await asyncio.start_server(serve, "127.0.0.1", 0)
    haproxy = HAProxy(tmp_path / "haproxy", stable.address, f"127.0.0.1:{slow.sockets[0].getsockname()[1]}")
    router = haproxy.router

    async def left() -> int | None:
        return await router.sessions(0)

    async def is_left(number: int) -> bool:
        return await left() == number

    try:
        await haproxy.start()
        await router.set_weight(Split("r-7", 1.0))
        assert await left() == 0
        reader, writer = await asyncio.open_connection("127.0.0.1", haproxy.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        await eventually(lambda: is_left(1), "the request is on the canary")
        await router.set_weight(CLOSED)
        assert await left() == 1
        assert await router.sessions(86_400) is None

        answered.set()
        await reader.readuntil(b"\r\n\r\nok")
        await eventually(lambda: is_left(0), "nothing is left")
        writer.close()
    finally:
        haproxy.stop()
        slow.close()


async def test_where_nothing_is_left_the_backend_must_be_there(make_haproxy: MakeHAProxy) -> None:
    """A configuration of one's own that calls it otherwise counts nothing, which is unknown and not zero."""
    haproxy = make_haproxy()
    configuration = haproxy.folder / "haproxy.cfg"
    configuration.write_text(
        configuration.read_text()
        .replace("backend canary", "backend new")
        .replace("use_backend canary", "use_backend new")
    )
    await haproxy.start()

    assert await haproxy.router.sessions(0) is None
