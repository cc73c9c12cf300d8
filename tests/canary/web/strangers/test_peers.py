"""Who asks: addresses behind proxies, and names that a stranger could make lead here."""

import ipaddress

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from canary.web.options import WebOptions
from canary.web.service import Service
from canary.web.strangers.peers import Peers, host_of

_PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32"))


def _address(peer: str, *forwarded: str, trusted: bool = True) -> str:
    peers = Peers(_PROXIES if trusted else (), tuple, ())
    request = make_mocked_request("GET", "/", headers=[("X-Forwarded-For", one) for one in forwarded])
    return peers.address(request.clone(remote=peer))


def test_a_strangers_word_about_his_address_does_not_count() -> None:
    """Without trusted proxies, or from elsewhere, the address is the connection's."""
    assert _address("203.0.113.5", "198.51.100.1") == "203.0.113.5"
    assert _address("10.0.0.1", "198.51.100.1", trusted=False) == "10.0.0.1"


def test_a_trusted_proxys_word_counts_as_far_as_proxies_wrote_it() -> None:
    """What the client itself put in front of the list is not looked at."""
    assert _address("10.0.0.1", "198.51.100.1") == "198.51.100.1"
    assert _address("10.0.0.1", "1.2.3.4, 198.51.100.1, 10.9.9.9") == "198.51.100.1"
    assert _address("10.0.0.1", "1.2.3.4", "198.51.100.1") == "198.51.100.1"
    assert _address("2001:db8::7", "198.51.100.1") == "198.51.100.1"
    assert _address("::ffff:10.0.0.1", "198.51.100.1") == "198.51.100.1"
    assert _address("10.0.0.1") == "10.0.0.1"


@given(st.lists(st.text(max_size=30), max_size=5))
def test_nothing_in_the_header_ends_in_an_error(parts: list[str]) -> None:
    """Whatever a header holds, some address comes out."""
    safe = [part.encode("ascii", "ignore").decode().replace("\r", "").replace("\n", "") for part in parts]
    assert _address("10.0.0.1", ",".join(safe))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:9877", "[::1]:9877", "192.0.2.7", "localhost:9877", "canary", "exporter.shop.svc", "box.internal:80"],
)
def test_names_that_no_stranger_can_own_are_known(host: str) -> None:
    """Addresses, names without a dot, and inside domains cannot be made to lead here by a stranger."""
    assert Peers((), tuple, ()).knows(host)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:9877", "a.svc.b.com"]
)
def test_other_names_are_known_only_when_somebody_named_them(host: str) -> None:
    """A name that anybody can buy is answered when the policy or a flag has it."""
    assert not Peers((), tuple, ()).knows(host)
    assert Peers((), lambda: [host_of(host)], ()).knows(host.upper())
    assert Peers((), tuple, [host_of(host)]).knows(host)
    assert Peers((), tuple, ["*"]).knows(host)


async def test_metrics_are_not_told_to_a_page_of_another_site() -> None:
    """Under a strange name the answer says what to do; health, which tells nothing, is answered under any."""
    service = Service(name="exporter", options=WebOptions(allowed_hosts=("canary.shop.example",)))
    found = []
    async with service.serving() as urls, aiohttp.ClientSession(urls[0]) as client:
        for path, host in (
            ("/metrics", "evil.example"),
            ("/metrics", "canary.shop.example"),
            ("/", "evil.example"),
            ("/-/healthy", "evil.example"),
        ):
            async with client.get(path, headers={"Host": host}) as answer:
                found.append(answer.status)
                text = await answer.text()
                if answer.status == 403:
                    assert "--web.allowed-host" in text

    assert found == [403, 200, 403, 200]
