"""Moments as text: ISO 8601 in UTC, the one form in journals, files and answers.

Always with six digits of a second and `Z`, so that sorting texts sorts moments, and SQLite, which has no type for them,
compares them rightly. Reading is wider than writing: databases and people leave out the fraction or the offset.
"""

from datetime import UTC, datetime


def to_text(moment: datetime) -> str:
    """`2026-01-31T12:00:00.123456Z`, sortable as text."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """The moment in ISO 8601 text, with `T` or a space, with or without fraction and offset (none means UTC).

    Raises:
        ValueError: the text is not a moment.
    """
    moment = datetime.fromisoformat(text.strip())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
