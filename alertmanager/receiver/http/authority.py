"""Who may send webhooks, give commands, ask for flags or for a weight: bearer tokens, compared in constant time."""

import hmac
import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Self

from canary.errors import SecretError
from canary.policy.model import Policy
from canary.policy.routers.kinds import asking
from canary.secrets import bearer_tokens, read_secret
from canary.web.options import split_address
from canary.web.routes.table import Role

_KEYS = {
    Role.WEBHOOK: "receiver.token_file",
    Role.OPERATOR: "receiver.operator_token_file",
    Role.FLAGS: "receiver.flags_token_file",
    Role.ROUTER: "receiver.router_token_file",
}


class Authority:
    """Knows the tokens of each role; several are valid at once, so that they can be replaced without a gap.

    Args:
        tokens: by role; a role without tokens is open, which only a receiver on a loopback address may have.
        people: the operators' own tokens, by name.
        asked: the roles besides Alertmanager's and the operators' that somebody needs.
    """

    def __init__(
        self,
        tokens: Mapping[Role, tuple[str, ...]],
        *,
        people: Mapping[str, tuple[str, ...]] | None = None,
        asked: Collection[Role] = (),
    ) -> None:
        self._wanted = {Role.WEBHOOK, Role.OPERATOR, *asked}
        self._people = {name: tuple(map(str.encode, own)) for name, own in (people or {}).items()}
        self._tokens = {role: tuple(token.encode() for token in tokens.get(role, ())) for role in Role if role.bearer}
        self._tokens[Role.OPERATOR] += tuple(token for own in self._people.values() for token in own)

    @classmethod
    def of(cls, policy: Policy) -> Self:
        """The authority that a policy's `receiver` section describes.

        Raises:
            SecretError: a named file or variable cannot be read, or a token is too weak.
        """
        receiver = policy.receiver

        def tokens(key: str, file: str | None, env: str | None = None) -> tuple[str, ...]:
            what = f"receiver.{key}"
            return bearer_tokens(what, read_secret(what, file=file, env=env, base=policy.base))

        people = {
            name: tokens(f"operators.{name}.token", own.token_file, own.token_env)
            for name, own in receiver.operators.items()
        }
        shared = tokens("operator_token", receiver.operator_token_file, receiver.operator_token_env)
        _require_own(people, shared)
        webhook = tokens("token", receiver.token_file, receiver.token_env)
        return cls(
            {
                Role.WEBHOOK: (*webhook, *tokens("previous_token", receiver.previous_token_file)),
                Role.OPERATOR: shared,
                Role.FLAGS: tokens("flags_token", receiver.flags_token_file, receiver.flags_token_env),
                Role.ROUTER: tokens("router_token", receiver.router_token_file, receiver.router_token_env),
            },
            people=people,
            asked=[role for role, needed in _needed(policy).items() if needed],
        )

    @property
    def operator_tokens(self) -> Sequence[bytes]:
        """The operators' tokens, the shared ones first; empty while none is needed."""
        return self._tokens[Role.OPERATOR]

    def open(self, role: Role) -> bool:
        """Whether a role needs no token."""
        return not self._tokens[role]

    def allows(self, role: Role, authorization: str | None) -> bool:
        """Whether a request's `Authorization` header holds a token of the role, or the role is open."""
        return self.open(role) or _holds(authorization, self._tokens[role])

    def name_of(self, authorization: str | None) -> str:
        """Whose own token a header holds; empty for a token that several people share, and where none is needed."""
        found = [name for name, tokens in self._people.items() if _holds(authorization, tokens)]
        return found[0] if found else ""

    def require_closed(self, addresses: Iterable[str]) -> None:
        """Refuse to listen where strangers can reach a role that is open.

        Raises:
            SecretError: an address is not a loopback one and a token is missing.
            WebConfigError: an address is not one.
        """
        missing = [key for role, key in _KEYS.items() if role in self._wanted and self.open(role)]
        for address in addresses:
            if missing and not _loopback(split_address(address)[0]):
                raise SecretError(
                    "others than this machine could give it commands",
                    place=f"--web.listen-address {address}",
                    remedy=f"set {' and '.join(missing)} in the policy, or listen on 127.0.0.1",
                )

    def require_closed_as(self, before: "Authority") -> None:
        """Refuse to let strangers into a role that has needed a token until now, as a reload would.

        A policy that is cut off, or lacks a section by mistake, is valid, and would hand its commands to everybody.

        Raises:
            SecretError: a role that was closed is open.
        """
        opened = [
            key for role, key in _KEYS.items() if role in self._wanted and self.open(role) and not before.open(role)
        ]
        if opened:
            raise SecretError(
                "no token any more, and whoever reaches the receiver could give it commands",
                place=" and ".join(opened),
                remedy="put it back; to go without it, restart the receiver",
            )


def _needed(policy: Policy) -> Mapping[Role, bool]:
    return {Role.FLAGS: bool(policy.flags or policy.experiments), Role.ROUTER: asking(policy.router)}


def _holds(authorization: str | None, tokens: Sequence[bytes]) -> bool:
    scheme, _, presented = (authorization or "").partition(" ")
    found = presented.strip().encode("utf-8", "surrogateescape")
    # Every token is compared, so that the time taken says nothing.
    matches = [hmac.compare_digest(token, found) for token in tokens]
    return scheme.lower() == "bearer" and any(matches)


def _require_own(people: Mapping[str, tuple[str, ...]], shared: Iterable[str]) -> None:
    """Refuse one token under two names: its holder would be two people."""
    owners = dict.fromkeys(shared, "everybody")
    for name, tokens in people.items():
        for token in tokens:
            if (other := owners.setdefault(token, name)) != name:
                raise SecretError(
                    f"has the token of {other} too, who would then be two people",
                    place=f"receiver.operators.{name}",
                    remedy="make each their own: openssl rand -hex 32",
                )


def local_name(host: str) -> bool:
    """Whether a request's `Host` names this machine.

    A receiver without tokens listens on this machine only. A page of another site whose name is made to lead here
    could still ask in a visitor's browser, but it cannot choose the name that it is asked by.
    """
    name, _, port = host.rpartition(":")
    return _loopback((name if name and port.isdigit() else host).strip("[]"))


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
