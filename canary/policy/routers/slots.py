"""Two equal groups of servers, of which either may be the stable one: `router.slots`.

With `router.upstreams` a release is finished by deploying once more: to the stable servers, which then get their
traffic back. With slots nothing moves back: the group that has the new version keeps everybody, and the two change
roles. So nothing that lives at a router or at a process manager may be called after a role; it is called after a slot,
`a` or `b`, and the journal says which one is stable.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field

from canary.errors import Fault, PolicyError
from canary.policy.values.types import Upstream, section

Slot = Literal["a", "b"]
"""One of the two groups."""

BOTH: tuple[Slot, Slot] = ("a", "b")

Role = Literal["stable", "canary"]
ROLES: tuple[Role, Role] = ("stable", "canary")

IN_NAMES = "{slot}"
"""What stands for the slot's letter in the names and arguments of `process`."""

_Servers = Annotated[tuple[Upstream, ...], Field(min_length=1)]


@section
class Slots:
    """Addresses of the two groups; `a` is the stable one until a release is finished for the first time."""

    a: _Servers
    b: _Servers

    def of(self, slot: Slot) -> tuple[str, ...]:
        """A group's addresses."""
        return self.a if slot == "a" else self.b


def other(slot: Slot) -> Slot:
    """The other of the two."""
    return "b" if slot == "a" else "a"


def slots_of(router: Any) -> Slots | None:
    """The slots of a router's section; None where its groups have fixed roles, as in every kind that knows no slots."""
    slots: Slots | None = getattr(router, "slots", None)
    return slots


def servers_of(router: Any, role: Role, stable: Slot | None) -> tuple[str, ...]:
    """The addresses of the servers that have a role now.

    Args:
        router: a router's section.
        stable: the slot that is stable; None where there are none, or before the first rollout.
    """
    slots = slots_of(router)
    if slots is None:
        addresses: tuple[str, ...] = getattr(router.upstreams, role)
        return addresses
    first = stable or "a"
    return slots.of(first if role == "stable" else other(first))


def require_kept(router: Iterable[Any], stable: Slot | None) -> None:
    """Refuse routers without slots while slot b is stable: a canary's weight of 0 is everybody on slot a.

    Args:
        router: the policy's routers.
        stable: the slot that the newest rollout has left as the stable one; None without slots.

    Raises:
        PolicyError: everybody would be sent to the servers of slot a.
    """
    if stable == "b" and not any(slots_of(one) is not None for one in router):
        what = "is missing, and slot b is the stable one: without it everybody would be sent to the servers of slot a"
        remedy = "put it back; it can be left out once a further release is finished, which makes slot a the stable one"
        raise PolicyError([Fault("router.slots", what, remedy)])
