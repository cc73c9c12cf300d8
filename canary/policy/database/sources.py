"""The policy's `database.sources`: further databases in which events are."""

from typing import Annotated

from pydantic import Field

from canary.policy.values.types import DatabaseUrl, EnvironmentName, Text, TimeZone, section


@section
class Source:
    """A database besides `database.url`, or several that share its rows between them (shards)."""

    url: DatabaseUrl | None = None
    """SQLAlchemy URL without a password; relative SQLite paths start at the policy file's folder."""
    urls: Annotated[tuple[DatabaseUrl, ...], Field(min_length=1)] | None = None
    """Instead of `url`: one for each shard. They are read side by side, and what is counted is added."""
    url_file: Text | None = None
    """File holding the URL, when it contains a password; of shards one on each line."""
    url_env: EnvironmentName | None = None
    """Environment variable holding the URL; of shards several, with blanks between them."""
    password_file: Text | None = None
    """File holding only the password, added to `url` and `urls`."""
    password_env: EnvironmentName | None = None
    """Environment variable holding only the password."""
    timezone: TimeZone | None = None
    """Time zone of times stored without one; `database.timezone` when missing."""
    unique_ids: bool = False
    """Whether an id is of one row in all shards. Without it each shard's ids are its own: a row comes from a row of the
    same shard."""
