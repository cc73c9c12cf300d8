"""Database addresses as people and hosted databases write them, turned into what the drivers take.

A hosted database's page shows an address for libpq, for PyMySQL or for a framework; none of them is a driver's own.
Handed on as they are, their parameters became keyword arguments of the driver's `connect()`, and one that it does not
have ended the program with a TypeError. So each parameter is known here: handed on, read (certificates), passed over
because it changes nothing here, or refused in one line that says what to write instead. The addresses of the order
database and of the rollout's journal are both read here.

SQLite addresses hold a path and nothing else: every character after `sqlite:///` belongs to it, `#`, `?` and `%25` too.
No message quotes a parameter's value or the address itself: a password may be in either.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from canary.certificates import load_chain, tls_context
from canary.database.parameters import ESCAPES, Parameters, no_parameter
from canary.database.tlsfiles import look_at, read_all
from canary.errors import DatabaseUnavailableError

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",  # libpq's and many hosted databases' word
    "postgresql": "postgresql+asyncpg",
    "mysql": "mysql+asyncmy",
    "mariadb": "mysql+asyncmy",
    "clickhouse": "clickhousedb+connect",  # its own driver's word, which nobody else says
    # What Rails, Laravel, Doctrine and PDO call them.
    "pgsql": "postgresql+asyncpg",
    "pdo-pgsql": "postgresql+asyncpg",
    "mysql2": "mysql+asyncmy",
    "mysqli": "mysql+asyncmy",
    "pdo-mysql": "mysql+asyncmy",
}
"""The driver of each database that we know; others are read through the one that the address names, in a thread."""
_EXAMPLE = "give one such as sqlite:///shop.db or postgresql://canary@db.example/shop"

_SQLITE = re.compile(r"sqlite(?:\+\w+)?://(?:/(?P<path>.*))?", re.DOTALL)
_SQLITE_PARAMETERS = re.compile(r"\?\w+=[^/]*$")
"""What looks like parameters at a path's end; a file that really has such a name is taken as it is."""

_LIBPQ = frozenset({
    "host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslnegotiation",
    "ssl_min_protocol_version", "ssl_max_protocol_version", "target_session_attrs", "passfile", "krbsrvname", "gsslib",
})  # fmt: skip
"""libpq's parameters that asyncpg reads by itself, from an address of libpq's form."""
_LIBPQ_SETTINGS = frozenset({"application_name", "options"})
"""libpq's parameters that are settings of the session."""
_LIBPQ_IDLE = frozenset({
    "gssencmode", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
    "client_encoding", "fallback_application_name", "sslcompression", "sslsni",
})  # fmt: skip
"""libpq's parameters that change nothing here: UTF-8 is always spoken, and every answer is waited for by our limits."""
_LAST_PORT = 65_535
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_MYSQL_HANDED_ON = frozenset({"charset", "unix_socket"})
_MYSQL_TLS = frozenset({
    "ssl", "ssl_mode", "ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_cert", "ssl_verify_identity", "ssl_check_hostname",
})  # fmt: skip
_MYSQL_MODES = ("disabled", "required", "verify_ca", "verify_identity")

_OTHERS_FILES = frozenset({
    "ca_cert", "client_cert", "client_cert_key", "sslrootcert", "sslcert", "sslkey", "ssl_ca", "ssl_cert", "ssl_key",
})  # fmt: skip
"""What other drivers call certificates and keys: ClickHouse's, and those that speak as libpq or PyMySQL do."""
_PATHS = frozenset({*_OTHERS_FILES, "sslcrl", "passfile"})
_WORDS = frozenset({("sslrootcert", "system"), ("ca_cert", "certifi")})
"""Values in a path's place that mean a store of authorities."""


@dataclass(frozen=True)
class DriverAddress:
    """An address taken apart for a driver.

    Attributes:
        url: the address without parameters.
        options: arguments of the driver's `connect()`, with secrets in no place where they are printed.
        connect_timeout_seconds: how long the address says to wait for a connection; None when it says nothing.
    """

    url: URL
    options: Mapping[str, Any] = field(repr=False)
    connect_timeout_seconds: float | None = None


def read_database_url(text: str, *, place: str, base: str | Path = ".", read_only: bool = False) -> URL:
    """An address with the driver to use, its parameters looked at, its paths made absolute.

    Args:
        place: the policy's key, for messages.
        base: where relative paths start.
        read_only: whether an SQLite file is opened for reading only.

    Raises:
        DatabaseUnavailableError: it is no database address, or has a parameter that is not understood.
    """
    sqlite = _SQLITE.fullmatch(text)
    if sqlite is not None:
        return _sqlite_url(sqlite["path"] or "", place, Path(base), read_only=read_only)
    try:
        url = make_url(text)
    except (SQLAlchemyError, ValueError):
        # The original would print the text, which may hold a password.
        raise DatabaseUnavailableError("not a database URL", place=place, remedy=_EXAMPLE) from None
    if "?" in text and not url.query and "?" not in f"{url.username}{url.password}":
        raise no_parameter(place)  # SQLAlchemy passes it over
    if "@" in (url.host or ""):  # the rest of a password, which messages would show
        raise DatabaseUnavailableError("the address has an @ too many", place=place, remedy=ESCAPES)
    if (url.port or 0) > _LAST_PORT:
        what, remedy = "the address's port is no port", f"write one from 1 to {_LAST_PORT}"
        raise DatabaseUnavailableError(what, place=place, remedy=remedy)
    url = url.set(drivername=_DRIVERS.get(url.get_backend_name(), url.drivername))
    if url.host is not None and url.host.lower().startswith("%2f"):
        url = url.set(query={**url.query, "host": unquote(url.host)})._replace(host=None)  # libpq's way to say a socket
    try:
        driver = url.get_driver_name()
    except NoSuchModuleError:
        what = f"no driver for {url.drivername} is installed"
        remedy = f"install its SQLAlchemy dialect alongside kpi-canary, or {_EXAMPLE}"
        raise DatabaseUnavailableError(what, place=place, remedy=remedy) from None
    url = url.set(query={key: _resolved(key, value, Path(base)) for key, value in url.query.items()})
    if driver in ("asyncpg", "asyncmy"):
        driver_address(url, place=place, read_files=False)
    return url


def driver_address(url: URL, *, place: str = "database.url", read_files: bool = True) -> DriverAddress:
    """The address as its driver takes it.

    Args:
        place: the policy's key, for messages.
        read_files: whether certificates are read; without, the parameters are only looked at.

    Raises:
        DatabaseUnavailableError: a parameter is not understood, or a certificate cannot be read.
    """
    match url.get_driver_name():
        case "asyncpg":
            parameters = Parameters(url, place, _LIBPQ | _LIBPQ_SETTINGS | _LIBPQ_IDLE | {"connect_timeout"})
            return _postgresql(url, parameters, read_files=read_files)
        case "asyncmy":
            parameters = Parameters(url, place, _MYSQL_HANDED_ON | _MYSQL_TLS | {"connect_timeout"})
            return _mysql(url, parameters, read_files=read_files)
        case _:
            if read_files:
                _others_files(url, place)
            return DriverAddress(url, {})


def sqlite_file(url: URL) -> Path | None:
    """The file of an SQLite database; None for servers and for a database in memory."""
    name = url.database
    if url.get_backend_name() != "sqlite" or name in (None, "", ":memory:"):
        return None
    return Path(unquote(str(name).removeprefix("file:"))) if "uri" in url.query else Path(str(name))


def shown_url(url: URL) -> str:
    """An address for messages: without its password and its parameters, and the driver only where it is no default."""
    backend = url.get_backend_name()
    if backend == "sqlite":
        return f"sqlite {sqlite_file(url) or ':memory:'}"
    name = backend if _DRIVERS.get(backend) == url.drivername else url.drivername
    return url.set(drivername=name, query={}).render_as_string(hide_password=True)


def _sqlite_url(name: str, place: str, base: Path, *, read_only: bool) -> URL:
    if name in ("", ":memory:"):
        return URL.create(_DRIVERS["sqlite"], database=name or None)
    path = base / name
    if _SQLITE_PARAMETERS.search(name) and not path.exists():
        raise DatabaseUnavailableError(
            "an SQLite address has no parameters", place=place, remedy="leave out everything from the question mark on"
        )
    if not read_only:
        return URL.create(_DRIVERS["sqlite"], database=str(path))
    # A URI is SQLite's only way to be told so; in it some characters mean something.
    return URL.create(_DRIVERS["sqlite"], database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"})


def _resolved(key: str, value: str | tuple[str, ...], base: Path) -> str | tuple[str, ...]:
    name = key.lower().replace("-", "_")
    if name not in _PATHS or not isinstance(value, str) or not value or (name, value) in _WORDS:
        return value
    return str(base / value)


def _postgresql(url: URL, parameters: Parameters, *, read_files: bool) -> DriverAddress:
    """asyncpg reads libpq's TLS parameters with libpq's meaning, when they come in an address of libpq's form."""
    mode = parameters.choice("sslmode", _SSL_MODES)
    values = parameters.values
    if values.get("sslrootcert") == "system":  # libpq 16's word; asyncpg would look for a file of this name
        values["sslrootcert"] = ssl.get_default_verify_paths().cafile or "system"
    if read_files and mode != "disable":
        # Without one of these, libpq and asyncpg look at no authority.
        authorities = ("sslrootcert", "sslcrl") if mode in ("require", "verify-ca", "verify-full") else ()
        look_at(parameters, authorities=authorities, certificate="sslcert", key="sslkey", alone=False)
    options: dict[str, Any] = {}
    libpq = {key: value for key, value in values.items() if key in _LIBPQ and value}
    if libpq:
        options["dsn"] = f"postgresql://?{urlencode(libpq)}"
    settings = {key: value for key, value in values.items() if key in _LIBPQ_SETTINGS}
    if settings:
        options["server_settings"] = settings
    return DriverAddress(url.set(query={}), options, parameters.seconds("connect_timeout"))


def _mysql(url: URL, parameters: Parameters, *, read_files: bool) -> DriverAddress:
    options: dict[str, Any] = {key: value for key, value in parameters.values.items() if key in _MYSQL_HANDED_ON}
    tls = _mysql_tls(parameters, read_files=read_files)
    if tls is not None:
        options["ssl"] = tls
    timeout = parameters.seconds("connect_timeout")
    return DriverAddress(_in_bytes(url.set(query={})), options, timeout)


def _in_bytes(url: URL) -> URL:
    """The address with a password that the driver, which writes it in Latin-1, sends in UTF-8 as every client does."""
    password = url.password
    return url if password is None else url.set(password=password.encode().decode("latin-1"))


def _mysql_tls(parameters: Parameters, *, read_files: bool) -> ssl.SSLContext | None:
    """The TLS that the address asks for; None when it asks for none.

    Asked for without a word on certificates it encrypts and proves nothing, as MySQL's own client does. A certificate
    authority, or `ssl_verify_cert`, has certificate and host name checked; `ssl_mode=VERIFY_CA` the certificate alone.
    """
    mode = parameters.choice("ssl_mode", _MYSQL_MODES)
    wanted = parameters.truth("ssl")
    identity = parameters.truth("ssl_verify_identity")
    if identity is None:
        identity = parameters.truth("ssl_check_hostname")
    certificate = parameters.truth("ssl_verify_cert")
    ca, chain, key = (parameters.values.get(name) for name in ("ssl_ca", "ssl_cert", "ssl_key"))
    if certificate is None:
        certificate = bool(ca or identity or mode in ("verify_ca", "verify_identity"))
    if identity is None:
        identity = certificate and mode != "verify_ca"
    if mode == "disabled" or wanted is False or not (mode or wanted or certificate or ca or chain or key):
        return None
    if not read_files:
        return None
    look_at(parameters, authorities=("ssl_ca",), certificate="ssl_cert", key="ssl_key")
    context = tls_context(ca)
    context.check_hostname = identity and certificate
    context.verify_mode = ssl.CERT_REQUIRED if certificate else ssl.CERT_NONE
    if chain:
        load_chain(context, chain, key)
    return context


def _others_files(url: URL, place: str) -> None:
    named = {key: value for key, value in url.query.items() if key in _OTHERS_FILES and (key, value) not in _WORDS}
    read_all(Parameters(url.set(query=named), place, frozenset(named)), named)
