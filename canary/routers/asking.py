"""Routers that ask the receiver for what they are to have in force, instead of being told.

Behind a firewall, or where nobody may reach a router's administration, the router can still open a connection to the
receiver. It asks, says with every question what it has in force, and is answered as soon as something else is wanted.
The receiver's HTTP side hands the questions on; what a router's protocol looks like is known to its driver alone.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

Leads = Callable[[], Awaitable[bool]]
"""Whether this receiver leads now. One that stands by must tell no router anything that another has superseded."""


@dataclass(frozen=True, slots=True)
class Question:
    """One instance of a router asks.

    Attributes:
        instance: which one, by the name that the policy has for it; empty where its protocol does not tell.
        in_force: what it has in force, in its protocol's words; empty for a process that has just begun. Where the
            protocol does not tell, the JSON that its connection was last answered with.
    """

    instance: str
    in_force: str


@runtime_checkable
class AskingRouter(Protocol):
    """A router's driver whose instances ask."""

    def opened(self) -> None:
        """From now on questions can reach it: an instance that does not ask is away."""
        ...

    async def answer(self, question: Question, leads: Leads) -> Mapping[str, Any] | None:
        """What the instance is to have in force, as JSON; None when nothing has changed for a while.

        Raises:
            RefusedError: this receiver stands by; the instance may ask another one.
            RouterError: the policy does not know the instance.
        """
        ...
