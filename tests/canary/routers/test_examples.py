"""The examples of docs/routers/other.md for kind `command`, as they stand: Caddy, AWS, Cloudflare, Envoy, nginx."""

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from canary.errors import RouterError
from canary.routers import Split
from canary.routers.command import ProgramRouter
from tests.support.programs.caddy import Caddy, copied
from tests.support.programs.envoy import PROGRAM as ENVOY
from tests.support.programs.hosts import Host, hosts
from tests.support.programs.nginx import Nginx
from tests.support.programs.ports import free_port
from tests.support.programs.processes import Program, eventually, listens
from tests.support.web.traffic import Answer, Customer, Upstream, load
from tests.support.web.webserver import served

USERS = [hashlib.sha256(str(number).encode()).hexdigest()[:36] for number in range(60)]


@pytest.fixture
async def caddy(tmp_path: Path, stable: Upstream, canary: Upstream) -> AsyncIterator[Caddy]:
    """Caddy, before anybody has written a split."""
    made = Caddy(tmp_path / "caddy", stable.address, canary.address)
    with contextlib.closing(made):
        await made.start()
        yield made


async def test_caddy_keeps_customers_while_the_weight_grows_and_loses_nobody(caddy: Caddy) -> None:
    """Without a reload: keep-alive customers notice nothing, growing only adds, another rollout has other ones."""
    chosen: list[set[str]] = []
    async with load(caddy.port, USERS) as answers:
        for weight_ratio in (0.05, 0.25, 0.5, 1.0, 0.0):
            await caddy.router.set_weight(Split("r-7", weight_ratio))
            start, since = len(answers), time.perf_counter()
            while len([answer for answer in answers[start:] if answer.sent_at > since]) < 3 * len(USERS):
                await Customer(caddy.port, "bystander").ask()
            settled = [answer for answer in answers[start:] if answer.sent_at > since]
            chosen.append({answer.user for answer in settled if answer.version == "canary"})
            assert not chosen[-1] & {answer.user for answer in settled if answer.version == "stable"}
        await caddy.router.set_weight(Split("r-9", 0.25))
        start, since = len(answers), time.perf_counter()
        while len([answer for answer in answers[start:] if answer.sent_at > since]) < 2 * len(USERS):
            await Customer(caddy.port, "bystander").ask()
        other = {answer.user for answer in answers[start:] if answer.version == "canary" and answer.sent_at > since}

    assert [answer for answer in answers if answer.failure] == []
    assert chosen[0] <= chosen[1] <= chosen[2] <= chosen[3] == set(USERS)
    assert chosen[1] < chosen[3]
    assert chosen[4] == set()
    assert other != chosen[1]


async def test_caddys_newcomers_and_testers(caddy: Caddy, stable: Upstream, canary: Upstream) -> None:
    """A newcomer gets a cookie and stays where he was; a tester is let in, and cannot say so himself."""

    async def ask(user: str | None, **headers: str) -> Answer:
        customer = Customer(caddy.port, user, {name.replace("_", "-"): text for name, text in headers.items()})
        answer = await customer.ask()
        customer.close()
        return answer

    assert (await ask(USERS[0])).version == "stable"  # there is no split yet
    await caddy.router.set_weight(Split("r-7", 0.5))
    for _ in range(10):
        first = await ask(None)
        again = await ask(first.headers["set-cookie"].partition(";")[0].removeprefix("user_id="))
        assert (first.version, "set-cookie" in again.headers) == (again.version, False)
    outsider = [user for user in USERS if (await ask(user)).version == "stable"].pop()
    assert (await ask(outsider, X_Team="inside")).version == "canary"
    assert canary.arrivals[-1].headers["x-canary-tester"] == "1"
    await ask(outsider, X_Canary_Tester="1")
    assert "x-canary-tester" not in stable.arrivals[-1].headers
    await canary.stop()
    assert (await ask(outsider, X_Team="inside")).version == "stable"
    assert (await caddy.router.read()).agrees(Split("r-7", 0.5))


AWS = """\
#!{python}
import json, pathlib, sys
state = pathlib.Path({state!r})
assert sys.argv[1] == "elbv2", sys.argv
given = dict(zip(sys.argv[3::2], sys.argv[4::2]))
if sys.argv[2] == "modify-rule":
    assert given["--rule-arn"] == "arn:rule"
    [action] = json.loads(given["--actions"])
    groups = action["ForwardConfig"]["TargetGroups"]
    assert action["Type"] == "forward" and sorted(g["TargetGroupArn"] for g in groups) == ["arn:canary", "arn:stable"]
    assert all(0 <= g["Weight"] <= 999 for g in groups) and sum(g["Weight"] for g in groups)
    state.write_text(json.dumps([action]))
elif sys.argv[2] == "describe-rules":
    assert given["--rule-arns"] == "arn:rule"
    print(json.dumps({{"Rules": [{{"RuleArn": "arn:rule", "Actions": json.loads(state.read_text())}}]}}))
else:
    sys.exit(2)
"""


async def test_awss_load_balancer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousandths are exact, and a balancer that is away is told; a fake `aws` holds what AWS takes."""
    state = tmp_path / "state"
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "aws"
    program.write_text(AWS.format(python=sys.executable, state=str(state)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for name in ("RULE", "STABLE", "CANARY"):
        monkeypatch.setenv(f"CANARY_ALB_{name}", f"arn:{name.lower()}")
    router = copied("aws-alb", tmp_path / "alb", {})

    for weight_ratio in (0.001, 0.05, 1, 0):
        await router.set_weight(Split("r-7", weight_ratio))
        assert (await router.read()).weight_ratio == pytest.approx(weight_ratio)
    assert {group["Weight"] for group in json.loads(state.read_text())[0]["ForwardConfig"]["TargetGroups"]} == {0, 1}
    program.write_text("#!/bin/sh\necho 'Unable to locate credentials' >&2\nexit 255\n")
    with pytest.raises(RouterError):
        await router.set_weight(Split("r-7", 0.05))
    assert (await router.read()).weight_ratio is None


async def test_cloudflares_load_balancer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole percents are exact; other steering and a balancer that refuses are told; a fake API holds what it takes."""
    balancer: dict[str, Any] = {"steering_policy": "off", "random_steering": {"pool_weights": {"p-canary": 0.0}}}

    async def asked(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer the-token":
            return web.json_response({"success": False, "result": None}, status=403)
        if request.method == "PATCH":
            balancer.update(await request.json())
        return web.json_response({"success": True, "result": balancer})

    (tmp_path / "token").write_text("the-token\n")
    path = "/client/v4/zones/z/load_balancers/b"
    async with served(web.get(path, asked), web.patch(path, asked)) as address:
        monkeypatch.setenv("CANARY_CF_BALANCER", f"http://{address}{path}")
        monkeypatch.setenv("CANARY_CF_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("CANARY_CF_STABLE", "p-stable")
        monkeypatch.setenv("CANARY_CF_CANARY", "p-canary")
        router = copied("cloudflare", tmp_path / "cloudflare", {})
        assert (await router.read()).weight_ratio is None
        for weight_ratio in (0.05, 1, 0):
            await router.set_weight(Split("r-7", weight_ratio))
            assert (await router.read()).weight_ratio == weight_ratio
        assert balancer["random_steering"] == {"default_weight": 0, "pool_weights": {"p-canary": 0, "p-stable": 1}}
        with pytest.raises(RouterError, match="whole percents"):
            await router.set_weight(Split("r-7", 0.005))
        (tmp_path / "token").write_text("another\n")
        assert (await router.read()).weight_ratio is None


async def test_an_envoy_of_ones_own_by_two_programs(tmp_path: Path, stable: Upstream, canary: Upstream) -> None:
    """The example's configuration and programs: customers stay, growing only adds, what is in force is read back."""
    admin, port = free_port(), free_port()
    moves = {
        "address: 0.0.0.0, port_value: 80}": f"address: 127.0.0.1, port_value: {port}}}",
        "port_value: 9901": f"port_value: {admin}",
        "address: 10.0.1.10, port_value: 5000": f"address: 127.0.0.1, port_value: {stable.port}",
        "address: 10.0.1.20, port_value: 5000": f"address: 127.0.0.1, port_value: {canary.port}",
    }
    router = copied("envoy-admin", tmp_path / "envoy", moves, f"http://127.0.0.1:{admin}")
    argv: list[str | Path] = [
        ENVOY,
        "-c",
        tmp_path / "envoy" / "envoy.yaml",
        "--concurrency",
        "1",
        "-l",
        "warn",
        "--disable-hot-restart",
    ]
    envoy = Program(argv, tmp_path / "envoy.log")
    try:
        await envoy.start(lambda: listens(port))
        assert (await router.read()).weight_ratio == 0
        chosen = []
        for weight_ratio in (0.25, 0.5, 0.0):
            await router.set_weight(Split("r-7", weight_ratio))
            assert (await router.read()).agrees(Split("r-7", weight_ratio, testers=False))
            answers = [await Customer(port, user).ask() for user in USERS]
            assert [answer.failure for answer in answers if answer.failure] == []
            chosen.append({answer.user for answer in answers if answer.version == "canary"})
    finally:
        envoy.stop()
    assert chosen[0] < chosen[1] < set(USERS)
    assert chosen[2] == set()


@dataclass
class Edge:
    """Another host, with an nginx, a folder of markers and rsync's daemon in front of it."""

    nginx: Nginx
    folder: Path
    pushed: ProgramRouter
    daemon: Program

    def customer_of(self, port: int, user: str) -> Customer:
        """One who comes to this host."""
        customer = Customer(port, user)
        customer.host = self.nginx.host.address
        return customer


@pytest.fixture
async def edges(tmp_path: Path) -> AsyncIterator[list[Edge]]:
    """Two hosts with nothing in common but the shop's servers; everybody is on stable."""
    upstreams = [Upstream(version, listen="0.0.0.0") for version in ("stable", "canary")]  # over the cable
    for upstream in upstreams:
        await upstream.start()
    with contextlib.ExitStack() as stack:
        made = []
        for number, host in enumerate(stack.enter_context(hosts(2))):
            edge = _edge(tmp_path / f"edge{number}", host, [upstream.port for upstream in upstreams])
            stack.callback(edge.daemon.stop)
            stack.callback(edge.nginx.stop)
            await edge.nginx.start()
            made.append(edge)
        yield made
    for upstream in upstreams:
        await upstream.stop()


def _edge(root: Path, host: Host, upstreams: list[int]) -> Edge:
    folder, port = root / "markers", free_port()
    folder.mkdir(parents=True)
    configuration = root / "rsyncd.conf"
    # Root's daemon would serve as nobody.
    own = f"uid = {os.geteuid()}\ngid = {os.getegid()}\n" if os.geteuid() == 0 else ""
    module = f"[markers]\npath = {folder}\nread only = no\n"
    configuration.write_text(f"use chroot = no\nmunge symlinks = no\n{own}{module}")
    options = ["--daemon", "--no-detach", f"--address={host.address}", f"--port={port}", f"--config={configuration}"]
    daemon = Program([*host.enter, "rsync", *options], root / "rsyncd.log")
    daemon.launch()
    pushed = copied("nginx-push", root / "push", {}, f"rsync://{host.address}:{port}/markers")
    addresses = [f"{host.way_back}:{port}" for port in upstreams]
    return Edge(Nginx(root / "nginx", *addresses, host=host, directories=(str(folder),)), folder, pushed, daemon)


async def set_weight(edge: Edge, split: Split) -> None:
    """Push it, once rsync's daemon is there."""

    async def follows() -> bool:
        with contextlib.suppress(RouterError):
            await edge.pushed.set_weight(split)
            return True
        return False

    await eventually(follows, "the daemon takes it", 60)


async def test_two_nginx_hosts_follow_one_receiver(edges: list[Edge]) -> None:
    """Pushed to both, a customer is on one side whichever host he reaches; a host that is away hinders no other."""
    first, second = edges
    users = USERS[:20]
    async with contextlib.AsyncExitStack() as stack:
        loads = []
        for edge in edges:
            shopping = load(edge.nginx.port, users, customer_of=edge.customer_of)
            loads.append(await stack.enter_async_context(shopping))
        for weight_ratio in (0.5, 0.0):
            wanted = Split("r-7", weight_ratio)
            for edge in edges:
                await set_weight(edge, wanted)
                assert (await edge.nginx.router.read()).agrees(wanted)
            expected = {user for user in users if first.nginx.router.is_canary(user, wanted)}
            for answers in loads:
                assert await _on_canary(answers, len(users)) == expected
    assert [answer.failure for answers in loads for answer in answers if answer.failure] == []
    second.daemon.stop()
    await set_weight(first, Split("r-7", 0.25))
    with pytest.raises(RouterError):
        await second.pushed.set_weight(Split("r-7", 0.25))
    assert (await first.pushed.read()).weight_ratio == 0.25
    assert (await second.pushed.read()).weight_ratio is None


async def _on_canary(answers: list[Answer], users: int) -> set[str]:
    """Who is on the canary from now on, once each user has asked some times."""
    since = time.perf_counter()
    await eventually(lambda: sum(answer.sent_at > since for answer in answers) > 3 * users, "traffic", 60)
    return {answer.user for answer in answers if answer.sent_at > since and answer.version == "canary"}


async def test_an_nginx_on_another_host_gets_its_markers_by_rsync(edges: list[Edge]) -> None:
    """nginx there reads the same split and divides the same customers; what is placed by hand, or away, is unknown."""
    edge, _ = edges
    folder, router, nginx = edge.folder, edge.pushed, edge.nginx
    everybody = Split("r-6", 1)
    await set_weight(edge, everybody)
    assert (await nginx.router.read()).agrees(everybody)
    quarter = Split("r-7", 0.25)
    await router.set_weight(quarter)
    assert (await nginx.router.read()).agrees(quarter)
    versions = [(await edge.customer_of(nginx.port, f"u{number}").ask()).version for number in range(60)]
    wanted = ["canary" if nginx.router.is_canary(f"u{number}", quarter) else "stable" for number in range(60)]
    assert versions == wanted
    assert len(list((folder / "steps").iterdir())) == 1
    alone = Split("r-7", 0, testers_alone=True)
    await router.set_weight(alone)
    assert (await nginx.router.read()).agrees(alone)
    with pytest.raises(RouterError, match=r"whole percents, not 0\.50%"):
        await router.set_weight(Split("r-7", 0.005))
    await router.set_weight(Split("r-7", 0))
    assert not (folder / "active").is_symlink()
    (folder / "active").mkdir()
    (folder / "active" / "07").touch()
    assert (await router.read()).weight_ratio is None
    await router.set_weight(Split("r-7", 0))
    assert not (folder / "active").exists()
    folder.rename(folder.with_name("away"))
    assert (await router.read()).weight_ratio is None
