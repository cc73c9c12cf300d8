"""The statements, as each database is given them."""

import pytest

from canary.policy.model import Policy
from exporter.source.dialects import Dialect
from exporter.source.streams import streams_of


@pytest.mark.parametrize("name", ["sqlite", "postgresql", "mariadb", "duckdb", "clickhouse", "trino", "unheard_of"])
def test_groups_are_named_by_position(name: str) -> None:
    """Counts are grouped by the position of their columns, which every engine knows, Trino knowing no names there."""
    for stream in streams_of(Policy(service="shop"), Dialect(name)):
        for statement in (stream.fine, stream.coarse, stream.whole):
            _, grouped = str(statement.compile()).rsplit("GROUP BY ")

            assert all(part.isdigit() for part in grouped.split(", ")), grouped
