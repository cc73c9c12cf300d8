"""Two equal groups of servers, of which either may be the stable one: `router.slots`.

With `router.upstreams` a release is finished by deploying once more: to the stable servers, which then get their
traffic back. With slots nothing moves back: the group that has the new version keeps everybody, and the two change
roles. So nothing that lives at a router or at a process manager may be called after a role; it is called after a slot,
`a` or `b`, and the journal says which one is stable.
"""

from collections.abc import Iterator, Mapping, Sequence
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


def require_kept(router: Sequence[Any], stable: Slot | None, began_in: Mapping[str, Slot]) -> None:
    """Refuse routers that would send customers to the other group's servers, although nobody has decided that.

    What a router has in force is the share of slot b, and stays when the policy changes. So must what slot b is.

    Args:
        router: the policy's routers.
        stable: the slot that the newest rollout has left as the stable one; None without slots.
        began_in: by address, the slot in which the newest rollout began with a server.

    Raises:
        PolicyError: slots are missing while slot b is stable, or a server is in the other slot now.
    """
    if stable == "b" and not any(slots_of(one) is not None for one in router):
        what = "is missing, and slot b is the stable one: without it everybody would be sent to the servers of slot a"
        remedy = "put it back; it can be left out once a further release is finished, which makes slot a the stable one"
        raise PolicyError([Fault("router.slots", what, remedy)])
    faults = [
        fault
        for index, one in enumerate(router)
        for fault in _moved(f"router.{index}" if len(router) > 1 else "router", slots_of(one), began_in)
    ]
    if faults:
        raise PolicyError(faults)


def _moved(place: str, slots: Slots | None, began_in: Mapping[str, Slot]) -> Iterator[Fault]:
    if slots is None:
        return
    for slot in BOTH:
        was = other(slot)
        moved = ", ".join(address for address in slots.of(slot) if began_in.get(address) == was)
        if moved:
            what = (
                f"has {moved}, expected in slot {was} as when the last rollout began: customers would change sides "
                "without a rollout"
            )
            remedy = f"put it back into slot {was}; to move a server, leave it out of both slots until `canary start`"
            yield Fault(f"{place}.slots.{slot}", what, remedy)
