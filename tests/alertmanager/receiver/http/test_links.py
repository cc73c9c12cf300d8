"""Links in messages that roll back: what they hold, and what is made of one that was changed, copied or kept."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertmanager.receiver.http.authority import Authority
from alertmanager.receiver.http.links import Link, RollbackLinks
from canary.web.routes.table import Refusal, Role
from tests.support.clock import FakeClock

PAGE = "https://canary.example"


def links(clock: FakeClock, *, service: str = "shop", token: str = "secret", **changes: Any) -> RollbackLinks:
    """The links of a receiver."""
    authority = Authority({Role.OPERATOR: (token,) if token else ()})
    given: dict[str, Any] = {"page": PAGE, "seconds": 60.0} | changes
    return RollbackLinks(service, lambda: given["page"], given["seconds"], lambda: authority, clock)


def token_of(made: RollbackLinks) -> str:
    """The token of a link."""
    return made.url("v2.0-20260303T120000", 7).removeprefix(f"{PAGE}/page/lower/")


def test_a_link_is_known_again_until_it_is_too_old() -> None:
    """By another receiver with the same token too; a second after its time it is refused."""
    clock = FakeClock()
    token = token_of(links(clock))

    assert links(clock).read(token) == Link("v2.0-20260303T120000", 7)
    clock.advance(timedelta(seconds=61).total_seconds())
    with pytest.raises(Refusal, match="no longer good"):
        links(clock).read(token)


@pytest.mark.parametrize("other", [{"service": "other"}, {"token": "replaced"}, {"token": ""}])
def test_a_link_is_good_for_its_own_service_and_token(other: dict[str, Any]) -> None:
    """Another service, a token that was replaced, or none at all: not one of ours."""
    clock = FakeClock()

    with pytest.raises(Refusal, match="not one of ours"):
        links(clock, **other).read(token_of(links(clock)))


@pytest.mark.parametrize("without", [{"page": ""}, {"seconds": None}, {"token": ""}])
def test_no_link_is_made_that_nobody_could_use(without: dict[str, Any]) -> None:
    """Without an address for people, a lifetime or an operator's token."""
    assert links(FakeClock(), **without).url("r", 7) == ""


def test_what_is_not_in_the_journal_has_no_link() -> None:
    """Its position is what makes the link single."""
    assert links(FakeClock()).url("r", 0) == ""


@given(st.integers(0, 200), st.text(max_size=3))
def test_a_changed_link_is_refused(place: int, text: str) -> None:
    """Whatever is put in whichever place: no fault but the refusal."""
    made = links(FakeClock())
    token = token_of(made)
    changed = token[:place] + text + token[place + 1 :]

    if changed != token:
        with pytest.raises(Refusal):
            made.read(changed)
