"""What a database's refusal is about."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from canary.rollout.journal.refusals import is_about_content, is_conflict, is_contended


def _refusal(path: Path, *statements: str) -> SQLAlchemyError:
    """What SQLite says to the last statement, while another connection has written without an end."""
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 0.0, "isolation_level": None})
    with engine.connect() as other, engine.connect() as connection:
        other.exec_driver_sql("CREATE TABLE entry (previous INTEGER UNIQUE, text TEXT NOT NULL)")
        other.exec_driver_sql("INSERT INTO entry VALUES (0, 'started')")
        *before, last = statements
        for statement in before:
            other.exec_driver_sql(statement)
        with pytest.raises(SQLAlchemyError) as refused:
            connection.exec_driver_sql(last)
    engine.dispose()
    return refused.value


@pytest.mark.parametrize(
    ("statements", "kind"),
    [
        (("INSERT INTO entry VALUES (0, 'held')",), is_conflict),
        (("BEGIN IMMEDIATE", "INSERT INTO entry VALUES (1, 'held')"), is_contended),
        (("CREATE TABLE entry (previous INTEGER)",), is_contended),
        (("INSERT INTO entry VALUES (1, NULL)",), is_about_content),
        (("SELECT * FROM nowhere",), None),
    ],
)
def test_a_refusal_is_of_its_kind(tmp_path: Path, statements: tuple[str, ...], kind: object) -> None:
    """Somebody was quicker, somebody is at it, the text is not taken, or none of these: each is told apart."""
    refused = _refusal(tmp_path / "state.db", *statements)

    assert is_conflict(refused) is (kind is is_conflict)
    if kind not in (is_conflict, is_about_content):  # a table that is being made has no rows that could refuse
        assert is_contended(refused) is (kind is is_contended)
    assert is_about_content(refused) is (kind in (is_about_content, is_conflict))
