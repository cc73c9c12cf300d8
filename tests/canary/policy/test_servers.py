"""Servers as the policy names them: what other programs' configurations are told of their addresses."""

import pytest

from canary.policy.servers import address_of


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:9878", "127.0.0.1:9878"),
        ("https://canary.example/services/shop", "canary.example:443"),
        ("http://canary.example", "canary.example:80"),
        ("http://[::1]:9878/", "[::1]:9878"),
        ("http://[2001:db8::1]", "[2001:db8::1]:80"),
    ],
)
def test_an_address_has_a_port_and_one_meaning(url: str, address: str) -> None:
    """Prometheus takes `::1:80` for no target, and then scrapes nothing: an IPv6 address stands in brackets."""
    assert address_of(url) == address
