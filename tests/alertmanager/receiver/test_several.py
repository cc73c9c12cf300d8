"""Several receivers in one process: one journal, one port, and nothing else in common."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import aiohttp
import pytest
import yaml

from alertmanager.receiver.service import serve_all
from canary.errors import CanaryError, SecretError
from canary.names import WEBHOOK_PATH
from canary.policy.load import load_policy
from canary.rollout.journal.journal import Journal
from canary.web.client import Client
from canary.web.options import WebOptions
from tests.support.programs.ports import free_port
from tests.support.programs.processes import eventually, listens


def write(folder: Path, name: str, port: int, **more: object) -> Path:
    """A service's policy, with tokens of its own, in the journal that all share."""
    for role in ("webhook", "operator"):
        (folder / f"{name}-{role}").write_text(f"{role}-of-{name}-1234567\n", encoding="utf-8")
    policy = {
        "service": name,
        "state": {"url": f"sqlite:///{folder / 'state.db'}", "reports": str(folder / "reports")},
        "process": {"kind": "command", "stop": ["true"], "drain": "10ms"},
        "receiver": {
            "url": f"http://127.0.0.1:{port}/services/{name}",
            "token_file": str(folder / f"{name}-webhook"),
            "operator_token_file": str(folder / f"{name}-operator"),
            "prometheus": "http://127.0.0.1:1",
            "alertmanager": "http://127.0.0.1:1",
        },
        **more,
    }
    (folder / "policies").mkdir(exist_ok=True)
    path = folder / "policies" / f"{name}.yaml"
    path.write_text(yaml.safe_dump(policy), encoding="utf-8")
    return path


async def test_two_services_share_a_port_and_a_journal_and_obey_their_own_tokens(tmp_path: Path) -> None:
    """Both lead, each in its chain; a token of the one commands nothing of the other, by API or webhook."""
    port = free_port()
    write(tmp_path, "broken", port, router=[{"kind": "nobody"}])
    policies = [load_policy(write(tmp_path, name, port)) for name in ("shop", "books")]
    running = asyncio.create_task(serve_all([tmp_path / "policies"], WebOptions((f"127.0.0.1:{port}",))))
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        shop, books = [await stack.enter_async_context(Client.of(policy)) for policy in policies]
        stranger = Client(policies[0].receiver.url, "operator-of-books-1234567", http)

        async def notified(service: str) -> int:
            headers = {"Authorization": f"Bearer webhook-of-{service}-1234567"}
            url = f"/services/shop{WEBHOOK_PATH}"
            async with http.post(url, json={"version": "4", "alerts": []}, headers=headers) as answer:
                return answer.status

        await eventually(lambda: listens(port), "the port is open")
        await eventually(partial(_leads, shop, books), "both lead")
        for client in (shop, books):
            await client.command("start", canary="v2", stable="v1", force=True)
        with pytest.raises(SecretError):
            await stranger.command("rollback", reason="not mine")
        assert [await notified("books"), await notified("shop")] == [401, 202]
        await books.command("rollback", reason="test")
        states = [(await client.get("status"))["rollout"]["state"] for client in (shop, books)]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert states[0] == "phase"
    assert states[1] in ("rolling_back", "rolled_back")
    async with Journal.open(policies[0]) as journal:
        assert "rollback" not in [entry.label for entry in await journal.entries()]


async def test_a_policy_that_lost_its_tokens_opens_nothing(tmp_path: Path) -> None:
    """Cut off while it was written, say: it is refused, though a router changed with it, and the one before stays."""
    port = free_port()
    path = write(tmp_path, "shop", port)
    policy = load_policy(path)
    running = asyncio.create_task(serve_all([tmp_path / "policies"], WebOptions((f"127.0.0.1:{port}",))))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http, Client.of(policy) as shop:
        said: list[str] = []

        async def told() -> bool:
            async with http.get("/api/v1/services") as answer:
                said.append((await answer.json())[0]["fault"])
            return bool(said[-1])

        await eventually(lambda: listens(port), "the port is open")
        await eventually(partial(_leads, shop), "it leads")
        path.write_text(f"service: shop\nstate: {{url: '{policy.state.url}'}}\n", encoding="utf-8")
        await eventually(told, "the list says what is wrong")
        async with http.post("/services/shop/api/v1/freeze", json={"actor": "nobody", "reason": "mine"}) as answer:
            stranger = answer.status
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert "receiver.token_file and receiver.operator_token_file: no token any more" in said[-1]
    assert stranger == 401


async def _leads(*clients: Client) -> bool:
    try:
        return all([(await client.get("status"))["leading"] for client in clients])
    except CanaryError:
        return False
