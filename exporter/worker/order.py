"""What a worker is told when it begins."""

from dataclasses import dataclass
from pathlib import Path

from canary.errors import Fault


@dataclass(frozen=True)
class Order:
    """One service for one process.

    Attributes:
        path: the policy.
        state_file: where its counters survive a restart.
        memory_bytes: how much it may take for data; what needs more fails, and is counted.
        log_level: as the exporter's own.
        log_format: as the exporter's own.
    """

    path: Path
    state_file: str
    memory_bytes: int
    log_level: str
    log_format: str


@dataclass(frozen=True)
class Reload:
    """Asks a worker to read its policy again."""


@dataclass(frozen=True)
class Reloaded:
    """A worker's answer: what keeps it from taking the policy over; nothing when it has."""

    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Alive:
    """A worker has nothing new, and has not stopped."""
