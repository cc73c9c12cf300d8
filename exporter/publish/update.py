"""What the loop says after each refresh: all that the shell shows, whichever process it is in."""

from collections.abc import Callable
from dataclasses import dataclass

from exporter.publish.snapshot import Snapshot


@dataclass(frozen=True)
class Update:
    """The newest knowledge of one service, and how it came about.

    Attributes:
        digest: of the policy that is judged by.
        took_seconds: how long the refresh took; None where there was none.
        rollout: the newest rollout in words; empty when there is none.
        problems: what is wrong with the database's schema.
    """

    snapshot: Snapshot
    digest: str
    took_seconds: float | None = None
    rollout: str = ""
    problems: tuple[str, ...] = ()


Tell = Callable[[Update], None]
"""Takes each update as it is made."""
