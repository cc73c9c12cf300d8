"""Where a service is found, from the flags."""

import pytest

from canary.errors import WebConfigError
from canary.web.place import AT_ROOT, Place


@pytest.mark.parametrize(
    ("external", "prefix", "expected"),
    [
        ("", None, AT_ROOT),
        ("", "/", AT_ROOT),
        ("", "canary/", Place("/canary", "/canary/")),
        ("http://a.example:99", None, Place("", "/", "http", "a.example:99")),
        ("https://a.example/x/", None, Place("/x", "/x/", "https", "a.example")),
        ("https://a.example/x", "/", Place("", "/x/", "https", "a.example")),
        ("https://a.example/x", "/y", Place("/y", "/x/", "https", "a.example")),
        ("https://A.Example:443/x", None, Place("/x", "/x/", "https", "a.example")),
        ("http://a.example:80", None, Place("", "/", "http", "a.example")),
        ("https://a.example:80", None, Place("", "/", "https", "a.example:80")),
        ("http://[::1]:99", None, Place("", "/", "http", "[::1]:99")),
        ("https://bücher.example", None, Place("", "/", "https", "xn--bcher-kva.example")),
    ],
)
def test_the_flags_mean_what_they_mean_to_prometheus(external: str, prefix: str | None, expected: Place) -> None:
    """The prefix is the external address's path, unless it is given; host and port are as browsers write them."""
    assert Place.of(external, prefix) == expected


@pytest.mark.parametrize(
    ("external", "prefix", "complaint"),
    [
        ("shop.example/canary", None, "expected an address"),
        ("https://shop.example:99999/", None, "expected an address"),
        ("https://[::1/", None, "expected an address"),
        ("https://shop.example/#canary", None, "expected an address"),
        ("https://u:hunter2@shop.example/", None, "holds a user or a password"),
        ("https://u:hunter2@[::1/", None, "holds a user or a password"),
        ("", "/{service}", "expected a plain path"),
    ],
)
def test_what_is_no_place_is_refused(external: str, prefix: str | None, complaint: str) -> None:
    """With what was expected, and without a password."""
    with pytest.raises(WebConfigError, match=complaint) as refused:
        Place.of(external, prefix)

    assert "hunter2" not in str(refused.value) or external == ""


def test_a_service_is_below_its_process() -> None:
    """Its paths, its session and its page, each below what was said of all."""
    place = Place.of("https://a.example/x", "/").below("services/shop")

    assert (place.prefix, place.root, place.host) == ("/services/shop", "/x/services/shop/", "a.example")
