"""Who is let in."""

from pathlib import Path

import pytest

from alertmanager.receiver.http.authority import Authority, local_name
from canary.errors import SecretError
from canary.policy.model import Policy
from canary.policy.release import Operator, Receiver
from canary.web.routes.table import Role

TOKENS = Authority({Role.WEBHOOK: ("alpha", "beta"), Role.OPERATOR: ("gamma",)})


@pytest.mark.parametrize(
    ("role", "header", "allowed"),
    [
        (Role.WEBHOOK, "Bearer alpha", True),
        (Role.WEBHOOK, "bearer beta", True),
        (Role.WEBHOOK, "Bearer gamma", False),
        (Role.WEBHOOK, "Basic alpha", False),
        (Role.WEBHOOK, "Bearer", False),
        (Role.WEBHOOK, "Bearer alpha beta", False),
        (Role.WEBHOOK, None, False),
        (Role.OPERATOR, "Bearer gamma", True),
        (Role.OPERATOR, "Bearer alpha", False),
        (Role.OPERATOR, "Bearer \udcff", False),
    ],
)
def test_a_token_opens_its_own_role(role: Role, header: str | None, allowed: bool) -> None:
    """Any of a role's tokens opens it, no other role's does, and only as a bearer token."""
    assert TOKENS.allows(role, header) is allowed


def test_tokens_come_from_files(tmp_path: Path) -> None:
    """The webhook's old token is valid next to the new one; operators' tokens stand one a line."""
    (tmp_path / "new").write_text("new-webhook-token\n")
    (tmp_path / "old").write_text("old-webhook-token\n")
    (tmp_path / "people").write_text("ann-s-token\nbob-s-token\n")
    section = Receiver(token_file="new", previous_token_file="old", operator_token_file="people")

    authority = Authority.of(Policy(service="shop", receiver=section, base=str(tmp_path)))

    assert all(
        authority.allows(Role.WEBHOOK, f"Bearer {token}") for token in ("new-webhook-token", "old-webhook-token")
    )
    assert all(authority.allows(Role.OPERATOR, f"Bearer {token}") for token in ("ann-s-token", "bob-s-token"))


@pytest.mark.parametrize("address", ["127.0.0.1:9878", "[::1]:9878", "localhost:9878", "127.8.9.10:1"])
def test_this_machine_needs_no_token(address: str) -> None:
    """On a loopback address a receiver may be open."""
    Authority({}).require_closed([address])


@pytest.mark.parametrize("address", [":9878", "0.0.0.0:9878", "10.0.1.5:9878", "[::]:9878", "shop.example:9878"])
def test_others_need_both_tokens(address: str) -> None:
    """Where strangers can reach it, a receiver without both tokens does not listen, and says which is missing."""
    with pytest.raises(SecretError, match=r"receiver.token_file and receiver.operator_token_file"):
        Authority({}).require_closed([address])
    with pytest.raises(SecretError, match=r"set receiver.operator_token_file in"):
        Authority({Role.WEBHOOK: ("alpha",)}).require_closed(["127.0.0.1:1", address])
    TOKENS.require_closed([address])


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1:9878", True), ("localhost:9878", True), ("localhost", True), ("[::1]:9878", True), ("[::1]", True),
        ("rebound.example:9878", False), ("127.0.0.1.rebound.example", False), ("10.0.1.5:9878", False), ("", False),
    ],
)  # fmt: skip
def test_only_this_machines_own_names_are_local(host: str, local: bool) -> None:
    """A stranger's name that is made to lead to this machine is not one of its own."""
    assert local_name(host) is local


def test_a_person_is_known_by_a_token_of_their_own(tmp_path: Path) -> None:
    """It lets in as the shared one does, and tells who it is; the shared one tells nobody."""
    for name in ("everybody", "ann", "bob"):
        (tmp_path / name).write_text(f"token-of-{name}\n")
    people = {name: Operator(token_file=name) for name in ("ann", "bob")}
    section = Receiver(operator_token_file="everybody", operators=people)

    authority = Authority.of(Policy(service="shop", receiver=section, base=str(tmp_path)))

    assert all(authority.allows(Role.OPERATOR, f"Bearer token-of-{name}") for name in ("everybody", "ann", "bob"))
    assert [authority.name_of(f"Bearer token-of-{name}") for name in ("everybody", "ann", "bob")] == ["", "ann", "bob"]
    assert authority.name_of(None) == authority.name_of("Basic token-of-ann") == ""


@pytest.mark.parametrize("twin", ["ann", "everybody"])
def test_nobody_is_two_people(tmp_path: Path, twin: str) -> None:
    """One token under two names, or as the shared one too, is refused, and not shown."""
    (tmp_path / "everybody").write_text("token-of-everybody\n")
    (tmp_path / "ann").write_text("token-of-ann\n")
    people = {"ann": Operator(token_file="ann"), "bob": Operator(token_file=twin)}
    section = Receiver(operator_token_file="everybody", operators=people)

    with pytest.raises(SecretError, match=rf"receiver.operators.bob: has the token of {twin} too") as refused:
        Authority.of(Policy(service="shop", receiver=section, base=str(tmp_path)))
    assert "token-of" not in str(refused.value)


def test_a_role_that_was_closed_is_not_opened() -> None:
    """A policy without its tokens is refused by name; one that never had any, or needs none any more, is not."""
    with pytest.raises(SecretError, match=r"receiver\.operator_token_file: no token"):
        Authority({Role.WEBHOOK: ("alpha",)}).require_closed_as(TOKENS)
    with pytest.raises(SecretError, match=r"receiver\.flags_token_file"):
        Authority({Role.WEBHOOK: ("a",), Role.OPERATOR: ("b",)}, asked=[Role.FLAGS]).require_closed_as(
            Authority({Role.FLAGS: ("c",)})
        )
    Authority({}).require_closed_as(Authority({Role.FLAGS: ("c",)}))
    TOKENS.require_closed_as(Authority({}))
