"""Who may send webhooks, give commands and ask for flags: bearer tokens, compared in constant time."""

import hmac
import ipaddress
from collections.abc import Iterable
from typing import Self

from canary.errors import SecretError
from canary.policy.model import Policy
from canary.secrets import bearer_tokens, read_secret
from canary.web.options import split_address
from canary.web.routes import Role


class Authority:
    """Knows the tokens of each role; several are valid at once, so that they can be replaced without a gap.

    Args:
        tokens: by role; a role without tokens is open, which only a receiver on a loopback address may have.
        flags: whether there are any flags to ask for.
    """

    def __init__(self, tokens: dict[Role, tuple[str, ...]], *, flags: bool = False) -> None:
        self._flags = flags
        self._tokens = {role: tuple(token.encode() for token in tokens.get(role, ())) for role in Role if role.bearer}

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

        webhook = tokens("token", receiver.token_file, receiver.token_env)
        return cls(
            {
                Role.WEBHOOK: (*webhook, *tokens("previous_token", receiver.previous_token_file)),
                Role.OPERATOR: tokens("operator_token", receiver.operator_token_file, receiver.operator_token_env),
                Role.FLAGS: tokens("flags_token", receiver.flags_token_file, receiver.flags_token_env),
            },
            flags=bool(policy.flags or policy.experiments),
        )

    def open(self, role: Role) -> bool:
        """Whether a role needs no token."""
        return not self._tokens[role]

    def allows(self, role: Role, authorization: str | None) -> bool:
        """Whether a request's `Authorization` header holds a token of the role, or the role is open."""
        tokens = self._tokens[role]
        if self.open(role):
            return True
        scheme, _, presented = (authorization or "").partition(" ")
        found = presented.strip().encode("utf-8", "surrogateescape")
        # Every token is compared, so that the time taken says nothing.
        matches = [hmac.compare_digest(token, found) for token in tokens]
        return scheme.lower() == "bearer" and any(matches)

    def require_closed(self, addresses: Iterable[str]) -> None:
        """Refuse to listen where strangers can reach a role that is open.

        Raises:
            SecretError: an address is not a loopback one and a token is missing.
            WebConfigError: an address is not one.
        """
        keys = {Role.WEBHOOK: "receiver.token_file", Role.OPERATOR: "receiver.operator_token_file"}
        if self._flags:
            keys[Role.FLAGS] = "receiver.flags_token_file"
        missing = [key for role, key in keys.items() if not self._tokens[role]]
        for address in addresses:
            if missing and not _loopback(split_address(address)[0]):
                raise SecretError(
                    "others than this machine could give it commands",
                    place=f"--web.listen-address {address}",
                    remedy=f"set {' and '.join(missing)} in the policy, or listen on 127.0.0.1",
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
