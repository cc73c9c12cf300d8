"""The policy's `database.log`: where the router's log comes in, and where what is kept of it stands."""

from typing import Annotated

from pydantic import Field

from canary.policy.values.types import DatabaseUrl, EnvironmentName, HostPort, Text, lasting, section


@section
class RequestLog:
    """The router's log, from which `canary assignments` takes who was served by which version, visits and errors."""

    file: Text | None = None
    """A file that the router writes, followed through rotation; relative paths start at the policy file's folder."""
    udp: HostPort | None = None
    """Address on which syslog datagrams are taken."""
    socket: Text | None = None
    """Path of a unix socket on which syslog datagrams are taken."""
    url: DatabaseUrl = "sqlite:///requests.db"
    """SQLite or PostgreSQL, without a password: where assignments and visits are kept."""
    url_file: Text | None = None
    """File holding the URL, when it contains a password."""
    url_env: EnvironmentName | None = None
    """Environment variable holding the URL."""
    hashed: bool = False
    """Keep the SHA-256 of each customer, in hexadecimal digits, instead of the customer."""
    keep: Annotated[float, lasting(3600, 400 * 86400)] = 30 * 86400
    """Assignments and visits whose last request is older than this are deleted."""
    max_rows: Annotated[int, Field(ge=1000, le=100_000_000)] = 1_000_000
    """Of assignments, and of visits, no more than so many are kept, the newest."""
