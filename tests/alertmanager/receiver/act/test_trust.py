"""Whether the journal can be what the routers were driven by: unknown is not "nobody is on the canary"."""

from datetime import UTC, datetime

import pytest

from alertmanager.receiver.act.trust import doubt_about, salts_of
from canary.rollout.folding import fold
from canary.rollout.state import Rollout
from canary.routers import Observation, Reading
from canary.routers.bucket import salt_of
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
KNOWN = fold([started("r1", NOON)])
NOTHING: dict[str, Rollout] = {}


def shows(weight: float | None, salt: int | None = None) -> dict[str, Observation | None]:
    """A router with one instance."""
    return {"edge": Observation((Reading("a", weight, salt, error="" if weight is not None else "no answer"),))}


@pytest.mark.parametrize(
    ("rollouts", "observations", "doubt"),
    [
        (KNOWN, shows(0.05, salt_of("r1")), ""),
        (KNOWN, shows(0.05), ""),
        (KNOWN, shows(0.0, salt_of("r9")), ""),
        (KNOWN, shows(None), ""),
        (KNOWN, {"edge": None}, ""),
        (KNOWN, shows(1.0, salt_of("r9")), "does not know the rollout, and router edge (a) has 100% on a canary"),
        (NOTHING, shows(0.0), ""),
        (NOTHING, shows(0.005, salt_of("r1")), "knows of no rollout, and router edge (a) has 0.5% on a canary"),
        (NOTHING, shows(0.5), "knows of no rollout, and router edge (a) has 50% on a canary"),
        (NOTHING, shows(None), "knows of no rollout, and router edge (a) cannot be read: no answer"),
        (NOTHING, {"edge": None}, "knows of no rollout, and router edge has not been read yet"),
    ],
)
def test_what_routers_show_is_held_against_the_journal(
    rollouts: dict[str, Rollout], observations: dict[str, Observation | None], doubt: str
) -> None:
    """A weight of a rollout that the journal lacks, or an unread router next to an empty one, is doubt."""
    found = doubt_about(observations, rollouts)

    assert doubt in found
    assert bool(found) == bool(doubt)


def test_one_instance_in_doubt_is_enough() -> None:
    """Of several instances the one that contradicts counts."""
    readings = (Reading("a", 0.05, salt_of("r1")), Reading("b", 0.05, salt_of("r9")))

    assert "(b)" in doubt_about({"edge": Observation(readings)}, KNOWN)
    assert set(salts_of([Observation(readings)])) == {salt_of("r1"), salt_of("r9")}
