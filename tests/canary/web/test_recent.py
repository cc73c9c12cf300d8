"""What somebody else decided a moment ago: who types a command cannot have seen it."""

from typing import Any

import pytest

from canary.errors import RefusedError
from canary.web.recent import require_looked


def status(actor: str = "ann", seconds: float | None = 4.2, state: str = "phase") -> dict[str, Any]:
    """What the receiver says after a decision."""
    rollout = {
        "id": "v2.0-1",
        "state": state,
        "actor": actor,
        "reason": "looks good",
        "decided_seconds": seconds,
        "summary": "in phase 2 (50%)",
    }
    return {"seen": "v2.0-1/7", "rollout": rollout}


@pytest.mark.parametrize("verb", ["resume", "advance", "promote", "finish"])
def test_another_persons_decision_is_said_before_more_is_raised(verb: str) -> None:
    """Who, what and when, and the way to go on all the same."""
    with pytest.raises(RefusedError) as caught:
        require_looked(verb, status(), {"bob"})

    assert str(caught.value) == (
        f"cannot {verb}: ann decided 4s ago: looks good; rollout v2.0-1 is in phase 2 (50%) now; "
        "if that is what you saw, add --seen v2.0-1/7"
    )


@pytest.mark.parametrize(
    ("verb", "stands"),
    [
        ("advance", status("bob")),
        ("advance", status(seconds=15.1)),
        ("advance", {"seen": "none/0", "rollout": None}),
        ("advance", status(seconds=None)),
        ("advance", status("prometheus")),
        ("advance", status("alertmanager", state="holding")),
        ("finish", status("alertmanager", state="promoted")),
        ("finish", status("receiver", state="finishing")),
        ("hold", status()),
        ("rollback", status()),
        ("start", status()),
    ],
)
def test_nothing_else_is_held_up(verb: str, stands: dict[str, Any]) -> None:
    """One's own decisions, older ones, what the receiver decides, and what lowers."""
    require_looked(verb, stands, {"bob"})


def test_a_phase_that_ended_by_itself_counts_like_a_persons_advance() -> None:
    """Another advance is one phase more than was meant."""
    with pytest.raises(RefusedError, match="alertmanager decided 4s ago"):
        require_looked("advance", status("alertmanager"), {"bob"})
