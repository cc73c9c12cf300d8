"""Why a journal's database refuses: somebody was quicker, what was to be written is not taken, or it is away."""

from sqlalchemy.exc import DataError, IntegrityError

# SQLSTATE classes by which PostgreSQL says that it refuses what is written: data exceptions, constraints, limits of a
# program, and a trigger's own exceptions.
_CONTENT_CLASSES = ("22", "23", "54", "P0")
_UNIQUE_VIOLATION = "23505"


def is_conflict(error: Exception) -> bool:
    """Whether the chain refuses a second entry after the same one; other constraints are about what is written."""
    cause = getattr(error, "orig", None)
    return isinstance(error, IntegrityError) and (
        getattr(cause, "sqlstate", "") == _UNIQUE_VIOLATION
        or getattr(cause, "sqlite_errorname", "") in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")
    )


def is_contended(error: BaseException | None) -> bool:
    """Whether somebody else is making the same table, or has made it since it was looked for."""
    cause = getattr(error, "orig", None)
    return (
        isinstance(error, IntegrityError)
        or str(getattr(cause, "sqlite_errorname", "")).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
        or "already exists" in str(cause)
    )


def is_about_content(error: Exception) -> bool:
    """Whether the database answers and refuses what was to be written, rather than being away."""
    if isinstance(error, (DataError, IntegrityError, UnicodeError, OverflowError)):
        return True
    return str(getattr(getattr(error, "orig", None), "sqlstate", None) or "").startswith(_CONTENT_CLASSES)
