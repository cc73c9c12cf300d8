"""What one look found, in the words of its list."""

import pytest

from canary.finding import summary


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ([], "0 findings: 0 failed, 0 warnings"),
        (["failed"], "1 finding: 1 failed, 0 warnings"),
        (["ok", "warning"], "2 findings: 0 failed, 1 warning"),
    ],
)
def test_the_line_below_a_list_counts_what_needs_somebody(found: list[str], line: str) -> None:
    """What failed and what is warned of are counted apart, in the singular where there is one."""
    assert summary(found) == line
