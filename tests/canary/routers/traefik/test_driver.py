"""Traefik by its file provider, on a real one."""

import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import PolicyError, RouterError
from canary.policy import load_policy
from canary.policy.routers.withoutcustomer import WithoutCustomer
from canary.process.program import run
from canary.routers import routers_of
from canary.routers.asking import AskingRouter
from canary.routers.base import Observation, Split
from canary.routers.traefik.config import as_text, document, is_canary, weight_of
from canary.routers.traefik.driver import TraefikFileRouter
from canary.routers.traefik.section import TraefikRouter
from canary.testing.contract import router_contract
from canary.testing.routers import MemoryRouter
from tests.support.documents.pages import DOCS, blocks_of
from tests.support.programs.ports import free_port
from tests.support.programs.traefik import Traefik
from tests.support.web.asking import answering
from tests.support.web.traffic import AddressCustomer, Answer, Customer, Upstream, load

ADDRESSES = [f"127.0.{part}.{number}" for part in (1, 2) for number in range(1, 41)]


@pytest.fixture
async def traefik(tmp_path: Path, stable: Upstream, canary: Upstream) -> AsyncIterator[Traefik]:
    """A running Traefik with everybody on stable."""
    made = Traefik(tmp_path / "traefik", stable.address, canary.address)
    with contextlib.closing(made):
        await made.start()
        yield made


async def test_addresses_stay_while_the_weight_grows_and_nothing_fails(traefik: Traefik) -> None:
    """Keep-alive customers notice no switch; who is chosen is what Python computes, and growing only adds."""
    chosen: list[set[str]] = []
    async with load(traefik.port, ADDRESSES, customer_of=AddressCustomer) as answers:
        for weight_ratio in (0.05, 0.25, 0.5, 1.0):
            split = Split("r-7", weight_ratio)
            await traefik.router.set_weight(split)
            start, since = len(answers), time.perf_counter()
            while len([answer for answer in answers[start:] if answer.sent_at > since]) < 3 * len(ADDRESSES):
                await Customer(traefik.port, None).ask()
            settled = [answer for answer in answers[start:] if answer.sent_at > since]
            assert {answer.user for answer in settled} == set(ADDRESSES)
            assert all((answer.version == "canary") == is_canary(answer.user, split) for answer in settled)
            chosen.append({answer.user for answer in settled if answer.version == "canary"})
        await traefik.router.set_weight(Split("r-7", 0))
        start, closed_at = len(answers), time.perf_counter()
        while len(answers) < start + 3 * len(ADDRESSES):
            await Customer(traefik.port, None).ask()

    assert [answer for answer in answers if answer.failure] == []
    assert chosen[0] <= chosen[1] <= chosen[2] <= chosen[3] == set(ADDRESSES)
    assert chosen[1] < chosen[3]
    assert {answer.version for answer in answers if answer.sent_at > closed_at} == {"stable"}


async def test_it_keeps_the_contract_and_its_split_through_a_restart(traefik: Traefik) -> None:
    """Each look at it is the look at a `MemoryRouter`; another process is told by another name."""
    real: list[tuple[Split, Observation]] = []
    modelled: list[tuple[Split, Observation]] = []
    await router_contract(traefik.router, lambda split, seen: real.append((split, seen)))
    await router_contract(MemoryRouter("memory"), lambda split, seen: modelled.append((split, seen)))

    def bare(looks: list[tuple[Split, Observation]]) -> list[tuple[object, ...]]:
        # Traefik has no service that divides at a weight of 0, and so does not say whose weight was lowered.
        return [
            (split, one.weight_ratio, one.salt if one.weight_ratio else None, one.testers)
            for split, seen in looks
            for one in seen.readings
        ]

    assert bare(real) == bare(modelled)
    await traefik.router.set_weight(Split("r-8", 0.25))
    [before] = (await traefik.router.read()).readings
    traefik.stop()
    [away] = (await traefik.router.read()).readings
    assert (away.weight_ratio, away.error != "") == (None, True)
    with pytest.raises(RouterError, match="is written and not in force"):
        await TraefikFileRouter(dataclasses.replace(traefik.section, timeout=0.2)).set_weight(Split("r-8", 0.25))
    await traefik.start()
    [after] = (await traefik.router.read()).readings
    assert (after.weight_ratio, after.salt) == (before.weight_ratio, before.salt)
    assert after.process != before.process


async def test_one_that_asks_keeps_the_contract_too(tmp_path: Path, stable: Upstream, canary: Upstream) -> None:
    """What it was told is read back from its API, weight, salt and testers; the answers are the receiver's own."""
    port = free_port()
    made = Traefik(tmp_path / "traefik", stable.address, canary.address, receiver=f"http://127.0.0.1:{port}")
    assert isinstance(made.router, AskingRouter)
    with contextlib.closing(made):
        async with answering(made.router, port):
            await made.start()
            await made.router.set_weight(Split("r-7", 0))  # only now does it begin to divide
            await router_contract(made.router)


async def test_testers_come_in_and_go_with_the_rollout(traefik: Traefik) -> None:
    """By network, header or cookie, at any weight above 0 or alone; nobody else can say of himself that he is one."""

    async def ask(address: str = "127.0.0.1", **headers: str) -> Answer:
        customer = AddressCustomer(
            traefik.port, address, {name.replace("_", "-"): text for name, text in headers.items()}
        )
        answer = await customer.ask()
        customer.close()
        return answer

    testers = ({"address": "127.9.1.1"}, {"X_Team": "inside-1"}, {"Cookie": "a=b; team=inside"})
    others = ({"X_Team": "inside"}, {"Cookie": "team=insider"}, {"X_Canary_Tester": "1"})
    stable_at_a_hundredth = next(a for a in ADDRESSES if not is_canary(a, Split("r-7", 0.01)))
    for split, expected in (
        (Split("r-7", 0.01), "canary"),
        (Split("r-7", 0, testers_alone=True), "canary"),
        (Split("r-7", 0.01, testers=False), "stable"),
        (Split("r-7", 0), "stable"),
    ):
        await traefik.router.set_weight(split)
        for tester in testers:
            keys = {"address": stable_at_a_hundredth, **tester}
            assert (await ask(**keys)).version == expected, (split, tester)
        for other in others:
            assert (await ask(**{"address": stable_at_a_hundredth, **other})).version == "stable", (split, other)


async def test_what_no_customer_asks_for_goes_with_everybody(
    tmp_path: Path, stable: Upstream, canary: Upstream
) -> None:
    """Named by path or header, it is stable's below 100 % and the canary's with everybody, whoever asks."""
    named = WithoutCustomer(paths=("/webhooks/",), headers=("Stripe-Signature",))
    traefik = Traefik(tmp_path / "traefik", stable.address, canary.address, without_customer=named)
    with contextlib.closing(traefik):
        await traefik.start()
        for weight_ratio, expected in ((0.99, "stable"), (1, "canary"), (0, "stable")):
            await traefik.router.set_weight(Split("r-7", weight_ratio))
            for headers, path in (({}, "/webhooks/paid"), ({"Stripe-Signature": "t=1", "X-Team": "inside-1"}, "/")):
                for address in ADDRESSES[:3]:
                    customer = AddressCustomer(traefik.port, address, headers, path)
                    assert (await customer.ask("POST")).version == expected
                    customer.close()


async def test_a_file_that_traefik_refuses_is_found_out(traefik: Traefik) -> None:
    """What is written is not what is in force: neither a damaged file nor a missing one is taken for a weight."""
    assert await traefik.router.check() == []
    spoilt = traefik.file.with_suffix(".spoilt")
    spoilt.write_text("{", encoding="utf-8")
    spoilt.replace(traefik.file)  # at once: of a file that is first emptied, Traefik may take the nothing
    [damaged] = await traefik.router.check()
    assert "cannot be used" in damaged.what
    assert (await traefik.router.read()).weight_ratio == 0  # what was in force before


@pytest.mark.parametrize("damage", ["pipe", "garbage"])
async def test_a_rollback_replaces_a_file_that_cannot_be_read(tmp_path: Path, damage: str) -> None:
    """Somebody's pipe or binary garbage at the file's place is written over, and neither waited for nor read."""
    path = tmp_path / "canary.yml"
    if damage == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"\xff{")
    section = TraefikRouter(kind="traefik", file=str(path), apis=("http://127.0.0.1:1",), timeout=0.1)
    with pytest.raises(RouterError, match="written and not in force"):
        await TraefikFileRouter(section).set_weight(Split("r-7", 0))
    assert path.read_text() == as_text(document(section, Split("r-7", 0)))


@given(
    address=st.ip_addresses().map(str),
    ratios=st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)).map(sorted),
    rollout=st.sampled_from(["r-1", "r-2"]),
)
def test_growing_only_adds_addresses(address: str, ratios: list[int], rollout: str) -> None:
    """Whoever is on the canary at one weight is on it at every larger one; at 0 nobody is, at 100 % everybody."""
    less, more = (is_canary(address, Split(rollout, parts / 10_000)) for parts in ratios)
    assert less <= more
    assert not is_canary(address, Split(rollout, 0))
    assert is_canary(address, Split(rollout, 1))


def test_each_rollout_has_other_addresses() -> None:
    """The few who are first are not the same in every release."""
    first, second = ({a for a in ADDRESSES if is_canary(a, Split(rollout, 0.25))} for rollout in ("r-1", "r-2"))
    assert first != second
    assert len(first | second) > len(first)


@pytest.mark.parametrize("children", [[], [{"name": "a", "weight": 3}], None, [{"weight": 10_000}]])
def test_children_that_are_not_ours_are_no_weight(children: object) -> None:
    """Somebody else's service of this name is unknown, and not 0 %."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        weight_of(children)


def test_a_backquote_cannot_end_a_rule(tmp_path: Path) -> None:
    """What a policy says of testers stays a text."""
    policy = tmp_path / "canary.yaml"
    text = "service: s\nrouter:\n  kind: traefik\n  testers:\n    header: 'X-Team: a`)||Path(`/'\n"
    policy.write_text(text, encoding="utf-8")

    with pytest.raises(PolicyError, match="backquote"):
        load_policy(policy)


def test_the_pages_policy_gives_both_files(tmp_path: Path) -> None:
    """The policy of docs/routers-traefik.md is read, and its files name what it names."""
    text, _ = [block.text for block in blocks_of(DOCS / "routers-traefik.md") if block.language == "yaml"]
    (tmp_path / "canary.yaml").write_text(text, encoding="utf-8")

    [router] = routers_of(load_policy(tmp_path / "canary.yaml"))

    files = router.snippet()
    assert sorted(files) == ["canary.yml", "traefik.yml"]
    assert 'filename: "/etc/traefik/dynamic/canary.yml"' in files["traefik.yml"]
    static = yaml.safe_load(files["traefik.yml"])
    assert static["entryPoints"] == {"shop": {"address": ":80"}, "traefik": {"address": "127.0.0.1:8080"}}
    services = json.loads(files["canary.yml"])["http"]["services"]
    assert services["stable-0"]["loadBalancer"]["servers"] == [{"url": "http://10.0.1.10:5000"}]
    assert services["canary-0"]["loadBalancer"]["servers"] == [{"url": "http://10.0.1.11:5000"}]


async def test_the_pages_commands_put_the_token_into_its_place(tmp_path: Path) -> None:
    """Generated and prepared as docs/routers-traefik.md says, both files are what a Traefik that asks needs."""
    _, asking = [block.text for block in blocks_of(DOCS / "routers-traefik.md") if block.language == "yaml"]
    [commands] = [block.text for block in blocks_of(DOCS / "routers-traefik.md") if block.language == "sh"]
    (tmp_path / "asking.yaml").write_text(asking, encoding="utf-8")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "router-token").write_text("token-of-the-routers\n")
    path = f"PATH='{Path(sys.executable).parent}':$PATH"

    done = await run(("sh", "-e", "-c", f"cd '{tmp_path}'\n{path}\n{commands}"), timeout_seconds=150)

    assert done.fault == "", done.output
    folder = tmp_path / "asking" / "router"
    assert (folder / "traefik.yml").stat().st_mode & 0o777 == 0o600
    files = {name: (folder / name).read_text() for name in ("traefik.yml", "canary.yml")}
    provider = yaml.safe_load(files["traefik.yml"])["providers"]["http"]
    assert provider["endpoint"] == "https://receiver.internal:9878/traefik/traefik"
    assert provider["tls"] == {"ca": "/etc/traefik/ca.pem"}
    assert provider["headers"] == {"Authorization": "Bearer token-of-the-routers"}
    [(name, alone)] = json.loads(files["canary.yml"])["http"]["routers"].items()
    assert (name, alone["priority"]) == ("canary-alone", 1)


def test_authorities_without_https_are_a_fault(tmp_path: Path) -> None:
    """A key that would do nothing is not taken in silence."""
    policy = tmp_path / "canary.yaml"
    policy.write_text("service: s\nrouter:\n  kind: traefik\n  ca_file: /ca.pem\n", encoding="utf-8")

    with pytest.raises(PolicyError, match="is for a `receiver` with https"):
        load_policy(policy)
