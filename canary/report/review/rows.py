"""Rows of either version that do not fit together, as the exporter counted them while both had customers."""

from collections.abc import Mapping
from dataclasses import dataclass

from canary import names
from canary.report.review.asking import Asking, matchers
from canary.rollout.state import Rollout


@dataclass(frozen=True)
class RowShare:
    """One kind of fault of one event's rows, at its worst.

    Attributes:
        event, fault, column: as the alert's labels.
        stable, canary: the largest share of faulty rows at any look; None where there were too few rows.
        broken: at some look the canary had more of them than chance explains.
    """

    event: str
    fault: str
    column: str
    stable: float | None = None
    canary: float | None = None
    broken: bool = False


@dataclass(frozen=True)
class ReplicaRows:
    """Rows of one event in the read replica that were not as in its primary, at the worst look.

    Attributes:
        fault: one of `names.REPLICA_FAULTS`.
    """

    event: str
    fault: str
    rows: int


async def replica_rows(service: str, rollout: Rollout, asking: Asking) -> list[ReplicaRows] | None:
    """Every kind that was found; None where the replica was not held against its primary.

    Raises:
        RemoteError: Prometheus does not answer.
    """
    told = matchers(f'{names.SERVICE}="{service}"', f'{names.ROLLOUT}="{rollout.id}"')
    about = f"{names.EVENT}, {names.FAULT}"
    worst = await asking.at_the_end(
        f"max by ({about}) (max_over_time({names.REPLICA_FAULTY_ROWS}{told}[{asking.window}]))"
    )
    if not worst:
        return None
    return [
        ReplicaRows(labels.get(names.EVENT, ""), labels.get(names.FAULT, ""), round(value))
        for labels, value in worst
        if value
    ]


async def row_shares(service: str, rollout: Rollout, asking: Asking) -> list[RowShare]:
    """Every kind that was looked at; empty where nobody looked.

    Raises:
        RemoteError: Prometheus does not answer.
    """
    told = matchers(f'{names.SERVICE}="{service}"', f'{names.ROLLOUT}="{rollout.id}"')
    about = f"{names.EVENT}, {names.FAULT}, {names.COLUMN}"
    by_version = f"max by ({about}, {names.VERSION})"
    share = f"{by_version} ({names.CONSISTENCY_FAULTY_ROWS}{told}) / {by_version} ({names.CONSISTENCY_ROWS}{told})"
    shares = await asking.at_the_end(f"max_over_time(({share})[{asking.window}:1m])")
    broken = await asking.at_the_end(
        f"max by ({about}) (max_over_time({names.CONSISTENCY_BROKEN}{told}[{asking.window}]))"
    )
    proven = {_about(labels) for labels, value in broken if value == 1}
    roles = {rollout.stable: "stable", rollout.canary: "canary"}
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for labels, value in shares:
        if (role := roles.get(labels.get(names.VERSION, ""))) is not None:
            found.setdefault(_about(labels), {})[role] = value
    return [
        RowShare(*key, by_role.get("stable"), by_role.get("canary"), broken=key in proven)
        for key, by_role in sorted(found.items())
    ]


def _about(labels: Mapping[str, str]) -> tuple[str, str, str]:
    return labels.get(names.EVENT, ""), labels.get(names.FAULT, ""), labels.get(names.COLUMN, "")
