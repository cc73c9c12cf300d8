"""Kubernetes' Gateway API, on an API of this process that keeps to the published schema."""

import copy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from canary.errors import PolicyError, RouterError
from canary.policy import load_policy, release
from canary.routers import routers_of
from canary.routers.base import Split
from canary.routers.gateway.driver import HttpRouteRouter
from canary.routers.gateway.section import GatewayRouter
from canary.testing.contract import router_contract
from tests.support.documents.crds import faults
from tests.support.documents.pages import DOCS, blocks_of
from tests.support.programs.ports import free_port

TOKEN = "of-the-account"


@dataclass
class Api:
    """A Kubernetes API with one HTTPRoute, and a Gateway's controller that takes each change over a look later.

    Attributes:
        stored: the route, as a GET gives it.
        follows: whether the controller is there.
        meanwhile: what somebody does between two requests of ours.
        refused: how many patches were refused because the route had changed.
    """

    stored: dict[str, Any]
    port: int = field(default_factory=free_port)
    follows: bool = True
    meanwhile: Callable[[], None] = lambda: None
    refused: int = 0

    def __post_init__(self) -> None:
        self.stored["metadata"] |= {"uid": "u-1", "resourceVersion": "1", "generation": 1}
        self._take_over()

    def change(self, spec: dict[str, Any], annotations: dict[str, str] | None = None) -> None:
        """Store a new spec, as `kubectl` would."""
        metadata = self.stored["metadata"]
        if spec != self.stored["spec"]:
            metadata["generation"] += 1
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        metadata["annotations"] = {**metadata.get("annotations", {}), **(annotations or {})}
        self.stored["spec"] = spec

    async def get(self, request: web.Request) -> web.Response:
        """The route; afterwards the controller has time."""
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"kind": "Status", "message": "Unauthorized"}, status=401)
        answer = copy.deepcopy(self.stored)
        self.meanwhile()
        if self.follows:
            self._take_over()
        return web.json_response(answer)

    async def patch(self, request: web.Request) -> web.Response:
        """A merge patch with what it was made from."""
        assert request.headers["Content-Type"] == "application/merge-patch+json"
        patch = await request.json()
        metadata = patch["metadata"]
        if metadata["resourceVersion"] != self.stored["metadata"]["resourceVersion"]:
            self.refused += 1
            return web.json_response({"kind": "Status", "message": "the object has been modified"}, status=409)
        spec = {**self.stored["spec"], **patch["spec"]}
        plain = {"name": "shop", "namespace": "shop", "annotations": metadata["annotations"]}
        manifest = {"apiVersion": self.stored["apiVersion"], "kind": "HTTPRoute", "metadata": plain, "spec": spec}
        if found := faults(manifest):
            return web.json_response({"kind": "Status", "message": "; ".join(found)}, status=422)
        self.change(spec, metadata["annotations"])
        return web.json_response(self.stored)

    def _take_over(self) -> None:
        generation = self.stored["metadata"]["generation"]
        conditions = [
            {"type": kind, "status": "True", "observedGeneration": generation, "reason": kind}
            for kind in ("Accepted", "ResolvedRefs")
        ]
        self.stored["status"] = {"parents": [{"parentRef": {"name": "shop"}, "conditions": conditions}]}

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Answer on its port."""
        app = web.Application()
        path = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/shop"
        app.add_routes([web.get(path, self.get), web.patch(path, self.patch)])
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            yield
        finally:
            await runner.cleanup()


def section(folder: Path, port: int, **changes: Any) -> GatewayRouter:
    """The policy's section, for an API on a port."""
    token = folder / "token"
    token.write_text(f"{TOKEN}\n")
    keys: dict[str, Any] = {
        "namespace": "shop",
        "route": "shop",
        "stable": "shop-stable",
        "canary": "shop-canary",
        "ca_file": None,
    }
    keys |= {
        "testers": release.Testers(header="X-Team: inside"),
        "url": f"http://127.0.0.1:{port}",
        "token_file": str(token),
    }
    return GatewayRouter(kind="gateway", **{**keys, **changes})


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """The API with the generated route, and one more rule that is none of ours."""
    [text] = HttpRouteRouter(section(tmp_path, 1)).snippet().values()
    made = Api(next(yaml.safe_load_all(text)))
    made.stored["spec"]["rules"].append({"backendRefs": [{"name": "help", "port": 80}]})
    async with made.serving():
        yield made


async def test_it_keeps_the_contract_of_a_router(api: Api, tmp_path: Path) -> None:
    """What is set is read back once the controller has taken it over; rules of others stay as they are."""
    router = HttpRouteRouter(section(tmp_path, api.port))
    await router_contract(router)

    assert all(reading.closed for reading in (await router.read()).readings)
    assert api.stored["spec"]["rules"][-1] == {"backendRefs": [{"name": "help", "port": 80}]}


async def test_testers_have_a_rule_of_their_own(api: Api, tmp_path: Path) -> None:
    """All of one version or of the other, whatever the weight."""
    router = HttpRouteRouter(section(tmp_path, api.port))

    def testers() -> list[int]:
        return [backend["weight"] for backend in api.stored["spec"]["rules"][0]["backendRefs"]]

    for split, expected in (
        (Split("r-7", 0.05), [0, 10_000]),
        (Split("r-7", 0.05, testers=False), [10_000, 0]),
        (Split("r-7", 0.0, testers_alone=True), [0, 10_000]),
        (Split("r-7", 0.0), [10_000, 0]),
    ):
        await router.set_weight(split)
        assert testers() == expected, split


async def test_a_route_that_changes_meanwhile_is_read_anew(api: Api, tmp_path: Path) -> None:
    """Neither our change nor theirs is lost."""

    def once() -> None:
        api.meanwhile = lambda: None
        api.change({**api.stored["spec"], "hostnames": ["shop.example"]})

    api.meanwhile = once
    await HttpRouteRouter(section(tmp_path, api.port)).set_weight(Split("r-7", 0.25))

    assert api.refused == 1
    assert api.stored["spec"]["hostnames"] == ["shop.example"]
    assert api.stored["spec"]["rules"][1]["backendRefs"][1]["weight"] == 2_500


async def test_a_service_that_a_rule_names_twice_is_counted_whole(api: Api, tmp_path: Path) -> None:
    """Once for each port, say: the last one's weight is not all that it has, and lowering lowers both."""
    spec = copy.deepcopy(api.stored["spec"])
    spec["rules"][1]["backendRefs"].insert(0, {"name": "shop-canary", "port": 81, "weight": 10_000})
    api.change(spec)
    router = HttpRouteRouter(section(tmp_path, api.port))
    await router.read()
    assert (await router.read()).weight_ratio == 0.5

    await router.set_weight(Split("r-7", 0))
    weights = [one["weight"] for one in api.stored["spec"]["rules"][1]["backendRefs"] if one["name"] == "shop-canary"]
    assert weights == [0, 0]


async def test_what_the_controller_has_not_taken_over_is_unknown(api: Api, tmp_path: Path) -> None:
    """A stored weight is not one in force, and never 0."""
    router = HttpRouteRouter(section(tmp_path, api.port, timeout=0.5))
    api.follows = False
    with pytest.raises(RouterError, match="has not taken over the last change"):
        await router.set_weight(Split("r-7", 0.25))
    [seen] = (await router.read()).readings
    assert seen.weight_ratio is None
    api.stored["status"]["parents"] = []
    [finding] = await router.check()
    assert "no Gateway has taken the route" in finding.what


async def test_a_hand_and_a_stranger_are_seen(api: Api, tmp_path: Path) -> None:
    """Lowered by kubectl it is the same route with less; a wrong token, and a route of other Services, are faults."""
    router = HttpRouteRouter(section(tmp_path, api.port))
    assert await router.check() == []
    await router.set_weight(Split("r-7", 0.25))
    [before] = (await router.read()).readings
    spec = copy.deepcopy(api.stored["spec"])
    spec["rules"][1]["backendRefs"][1]["weight"] = 0
    api.change(spec)
    await router.read()
    [after] = (await router.read()).readings
    assert (after.weight_ratio, after.process) == (0, before.process)

    other = HttpRouteRouter(section(tmp_path, api.port, canary="another"))
    [unknown] = await other.check()
    (tmp_path / "token").write_text("stolen")
    [refused] = await router.check()
    assert "no rule has both Services" in unknown.what
    assert "answered 401: Unauthorized" in refused.what
    assert "stolen" not in refused.what
    (tmp_path / "token").unlink()
    [lacking] = await router.check()
    assert "has no token to show: the file" in lacking.what


def test_what_is_generated_is_what_kubernetes_takes(tmp_path: Path) -> None:
    """The route and the right to change it keep to the published schemas."""
    [text] = HttpRouteRouter(section(tmp_path, 1)).snippet().values()

    assert [fault for manifest in yaml.safe_load_all(text) for fault in faults(manifest)] == []


def test_the_pages_policy_gives_a_route(tmp_path: Path) -> None:
    """The policy of docs/routers-gateway.md is read, and its route names what it names."""
    [text] = [block.text for block in blocks_of(DOCS / "routers-gateway.md") if block.language == "yaml"]
    (tmp_path / "canary.yaml").write_text(text)
    [router] = routers_of(load_policy(tmp_path / "canary.yaml"))
    route, role = yaml.safe_load_all(router.snippet()["gateway.yaml"])

    assert [backend["name"] for backend in route["spec"]["rules"][1]["backendRefs"]] == ["shop-stable", "shop-canary"]
    assert role["rules"][0]["resourceNames"] == ["shop"]


def test_nobodys_version_can_be_computed(tmp_path: Path) -> None:
    """Weights are drawn for each request: a policy that would have it otherwise is refused."""
    router = HttpRouteRouter(section(tmp_path, 1))
    assert router.is_canary("ann", Split("r-1", 1))
    with pytest.raises(RouterError, match="draws each request anew"):
        router.is_canary("ann", Split("r-1", 0.5))
    text = (
        "service: s\ndatabase: {assignments: {from: router}}\nrouter: {kind: gateway, route: r, stable: a, canary: b}\n"
    )
    (tmp_path / "canary.yaml").write_text(text)
    with pytest.raises(PolicyError, match="draws each request anew"):
        load_policy(tmp_path / "canary.yaml")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("canary: a", "is the same Service as stable"),
        ("canary: b, testers: {cookie: a=b}", "knows testers by a header alone"),
        ("canary: b, token_file: token", "is no absolute path"),
    ],
)
def test_what_cannot_be_is_the_policys_fault(tmp_path: Path, keys: str, said: str) -> None:
    """With the key, before anything is asked."""
    (tmp_path / "canary.yaml").write_text(f"service: s\nrouter: {{kind: gateway, route: r, stable: a, {keys}}}\n")

    with pytest.raises(PolicyError, match=said):
        load_policy(tmp_path / "canary.yaml")
