"""Two releases in a row, told by the customers."""

from datetime import UTC, datetime, timedelta

from demo.customers import Encounter, Memory
from demo.releases import gone_back

LEFT = datetime(2026, 1, 1, tzinfo=UTC)


def test_whoever_meets_a_version_that_was_left_is_told() -> None:
    """A request that was under way when all left is none of them, and what an earlier request came to neither."""
    under_way, later = LEFT + timedelta(seconds=0.5), LEFT + timedelta(seconds=30)
    memory = Memory(
        [
            Encounter(under_way, "anna", "v1.0", "browse", 200, failed=False),
            Encounter(later, "anna", "v1.0", "settlement", 200, failed=False),
            Encounter(later, "ben", "v2.0", "browse", 200, failed=False),
        ]
    )
    fine = gone_back(memory, {"v1.0": LEFT})
    memory.encounters.append(Encounter(later, "cleo", "v1.0", "cart", 200, failed=False))

    assert fine == []
    assert gone_back(memory, {"v1.0": LEFT, "v2.0": later}) == ["1 requests reached v1.0 after all had left it"]
