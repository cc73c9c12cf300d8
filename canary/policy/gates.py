"""What stands between a phase whose time is over and the next one: people, or the user's own check."""

from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from canary.policy.values.types import Approvers, HttpUrl, Interval, Timeout, section


@section
class UrlGate:
    """The user's own check before a phase may end: 2xx goes on, anything else holds and is asked again."""

    url: HttpUrl
    timeout: Timeout = 10
    interval: Interval = 30


@section
class ApprovalGate:
    """So many different people must say `canary advance`, each known by a token or password of their own."""

    approvers: Approvers
    """How many; the same person twice counts once, and a name that somebody only says of themselves counts nothing."""


def _gate(value: object) -> str:
    """Which section a gate is; only one of its keys can say so, and then each fault is told about that one only."""
    approval = isinstance(value, ApprovalGate) or (isinstance(value, dict) and "approvers" in value)
    return ApprovalGate.__name__ if approval else UrlGate.__name__


Gate = (
    Literal["manual"]
    | Annotated[
        Annotated[UrlGate, Tag(UrlGate.__name__)] | Annotated[ApprovalGate, Tag(ApprovalGate.__name__)],
        Discriminator(_gate),
    ]
)
