"""Connections as shops have them: TLS, sockets, poolers, servers that hang, SQLite files of any name and mode."""

import asyncio
import contextlib
import hashlib
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from canary.errors import DatabaseError, DatabaseTimeoutError, DatabaseUnavailableError
from canary.policy.database.section import Database, Replica
from canary.policy.model import Policy
from exporter.source.database import OrderDatabase, Patience, Session
from exporter.source.drivers.asynchronous import AsyncSession
from exporter.source.session import open_session, order_session
from tests.support.clock import FakeClock
from tests.support.databases.exporting import kpis, policy_for, published, refresher_on, settle
from tests.support.databases.mariadb import MariaDb
from tests.support.databases.pgbouncer import PgBouncer
from tests.support.databases.postgres import Postgres
from tests.support.databases.postgresreplica import PostgresReplica
from tests.support.databases.shopdata import ShopData, fill
from tests.support.web.certificates import Authority

_ENCRYPTED = sa.text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
_CIPHER = sa.text("SHOW SESSION STATUS LIKE 'Ssl_cipher'")


@asynccontextmanager
async def session_at(url: str, base: Path | str = ".", **settings: object) -> AsyncIterator[Session]:
    """A session as a policy with this address opens it."""
    policy = Policy(service="shop", base=str(base), database=Database(url=url))
    policy = replace(policy, database=replace(policy.database, **settings))  # type: ignore[arg-type]  # any of its fields
    async with order_session(policy, Patience.LIVE) as session:
        yield session


async def refusal(url: str, base: Path | str = ".") -> str:
    """What is said of an address at which nobody is to be trusted."""
    with pytest.raises(DatabaseUnavailableError) as caught:
        async with session_at(url, base) as session:
            await session.rows(sa.text("SELECT 1"))
    said = str(caught.value)
    assert "\n" not in said
    return said


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    """The servers' certificates come from here, where the servers' own users may read: not in pytest's own folder."""
    with tempfile.TemporaryDirectory(prefix="canary-tls-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield Authority(folder)


@pytest.fixture(scope="module")
def secured(authority: Authority) -> Iterator[Postgres]:
    """A PostgreSQL that speaks TLS."""
    certificate, key = authority.issue("postgres", "postgres")
    settings = ["ssl=on", f"ssl_cert_file={certificate}", f"ssl_key_file={key}", f"ssl_ca_file={authority.certificate}"]
    with Postgres(settings) as server:
        yield server


@pytest.fixture(scope="module")
def secured_maria(authority: Authority) -> Iterator[MariaDb]:
    """A MariaDB that speaks TLS."""
    certificate, key = authority.issue("maria", "mysql")
    with MariaDb([f"ssl-cert={certificate}", f"ssl-key={key}", f"ssl-ca={authority.certificate}"]) as server:
        yield server


def at_localhost(url: str) -> str:
    """The address with the name that the certificate has."""
    return url.replace("127.0.0.1", "localhost").replace("+asyncpg", "").replace("+asyncmy", "")


async def test_postgresql_is_asked_over_tls(secured: Postgres, authority: Authority) -> None:
    """`sslmode` does what libpq's does, with a relative certificate, client certificates and `postgres://`."""
    _, key = authority.issue("client")
    url = at_localhost(secured.new_database())
    client = f"&sslcert=client.crt&sslkey={key}"
    for parameters in (
        "sslmode=require",
        "sslmode=verify-ca&sslrootcert=authority.crt",
        f"sslmode=verify-full&sslrootcert=authority.crt{client}",
    ):
        address = f"{url.replace('postgresql', 'postgres')}?{parameters}&connect_timeout=20"
        async with session_at(address, authority.certificate.parent) as session:
            assert (await session.rows(_ENCRYPTED))[0][0] is True
    async with session_at(f"{url}?sslmode=disable") as session:
        assert (await session.rows(_ENCRYPTED))[0][0] is False


async def test_a_postgresql_that_cannot_prove_itself_is_not_asked(
    secured: Postgres, postgres: Postgres, authority: Authority, tmp_path: Path
) -> None:
    """Another authority, another name, no TLS at all, no such file: one line each, and no question."""
    other = Authority(tmp_path / "other").certificate
    url = secured.new_database().replace("+asyncpg", "")

    stranger = await refusal(f"{at_localhost(url)}?sslmode=verify-ca&sslrootcert={other}")
    misnamed = await refusal(f"{url}?sslmode=verify-full&sslrootcert={authority.certificate}")
    plain = await refusal(f"{postgres.new_database()}?sslmode=require")
    missing = await refusal(f"{url}?sslmode=verify-full&sslrootcert=none.crt", tmp_path)

    assert "its certificate is not trusted" in stranger
    assert "IP address mismatch" in misnamed
    assert "SSL" in plain
    assert "No such file" in missing


async def test_mariadb_is_asked_over_tls(secured_maria: MariaDb, authority: Authority) -> None:
    """`ssl`, `ssl_mode`, `ssl_ca` and `ssl_verify_cert` are understood as other clients understand them."""
    url = at_localhost(secured_maria.new_database()).replace("mysql", "mariadb")
    secured_maria.execute("CREATE USER IF NOT EXISTS shop@'%'; GRANT ALL ON *.* TO shop@'%'")
    for parameters in (
        "ssl=true",
        "ssl-mode=REQUIRED",
        "ssl_ca=authority.crt",
        "ssl_ca=authority.crt&ssl_verify_cert=1",
    ):
        async with session_at(f"{url}?{parameters}", authority.certificate.parent) as session:
            assert (await session.rows(_CIPHER))[0][1]
    async with session_at(url) as session:
        assert not (await session.rows(_CIPHER))[0][1]


async def test_a_mariadb_that_cannot_prove_itself_is_not_asked(
    secured_maria: MariaDb, authority: Authority, tmp_path: Path
) -> None:
    """Another authority or another name; and a server without TLS gets no password in the clear."""
    other = Authority(tmp_path / "other").certificate
    url = secured_maria.new_database()

    stranger = await refusal(f"{at_localhost(url)}?ssl_ca={other}")
    misnamed = await refusal(f"{url}?ssl_ca={authority.certificate}")
    with MariaDb(["skip-ssl"]) as plain:
        unencrypted = await refusal(f"{plain.new_database()}?ssl=true")

    assert "certificate verify failed" in stranger
    assert "IP address mismatch" in misnamed
    assert unencrypted


async def test_unix_sockets_lead_to_the_server(postgres: Postgres, mariadb: MariaDb) -> None:
    """A socket's folder for PostgreSQL, a socket for MariaDB."""
    name = postgres.new_database().rsplit("/", 1)[1]
    async with session_at(f"postgresql://shop@/{name}?host={postgres.folder}&port={postgres.port}") as session:
        assert (await session.rows(sa.text("SELECT inet_server_addr()")))[0][0] is None
    mariadb.execute("CREATE USER IF NOT EXISTS shop@localhost; GRANT ALL ON *.* TO shop@localhost")
    name = mariadb.new_database().rsplit("/", 1)[1]
    async with session_at(f"mariadb://shop@localhost/{name}?unix_socket={mariadb.socket}") as session:
        assert (await session.rows(sa.text("SELECT USER()")))[0][0] == "shop@localhost"


def test_mysqls_default_way_to_log_in_has_what_it_needs() -> None:
    """`caching_sha2_password` without TLS encrypts with the server's key, which the driver leaves to a library."""
    from asyncmy import auth

    assert auth._have_cryptography


_IGNORED = "ignore_startup_parameters = default_transaction_read_only,statement_timeout,lock_timeout,jit"


@pytest.mark.parametrize("settings", [("transaction",), ("transaction", _IGNORED), ("session",)])
async def test_the_exporter_reads_through_a_pooler(
    postgres: Postgres, clock: FakeClock, settings: tuple[str, ...]
) -> None:
    """Several exporters share one PgBouncer, and read what they read directly."""
    direct = postgres.new_database()
    data = ShopData(direct)
    await data.create()
    await fill(data, clock.now(), 60)
    await data.close()

    async def read(url: str) -> tuple[object, object]:
        async with refresher_on(policy_for(url), clock) as refresher:
            await settle(refresher, clock)
            for _ in range(3):
                await refresher.refresh()
            assert refresher.snapshot.errors == {}
            return published(refresher), kpis(refresher)

    plain = await read(direct)
    async with PgBouncer(postgres, *settings) as pooler:
        pooled = await asyncio.gather(*(read(pooler.url(direct)) for _ in range(4)))

    assert pooled == [plain] * 4


async def test_a_pool_that_allows_no_transactions_is_told_from_a_server_that_is_away(postgres: Postgres) -> None:
    """PgBouncer's third mode, in which no settings of ours would hold: what to use instead is said."""
    direct = postgres.new_database()
    async with PgBouncer(postgres, "statement") as pooler, session_at(pooler.url(direct)) as session:
        with pytest.raises(DatabaseUnavailableError, match="pool_mode = transaction or session"):
            await session.rows(sa.text("SELECT 1"))


async def test_nothing_is_left_behind_in_a_poolers_connections(postgres: Postgres) -> None:
    """Behind a pooler too we cannot write and are ended in time; the shop that comes next has its own settings."""
    direct = postgres.new_database()
    async with PgBouncer(postgres, "transaction") as pooler:
        url = pooler.url(direct)
        async with session_at(url, statement_timeout=0.5, timezone="Asia/Tokyo") as session:
            with pytest.raises(DatabaseError, match="read-only"):
                await session.rows(sa.text("CREATE TABLE nothing (id int)"))
            with pytest.raises(DatabaseTimeoutError):
                await session.rows(sa.text("SELECT pg_sleep(30)"))
            assert (await session.rows(sa.text("SHOW timezone")))[0][0] == "Asia/Tokyo"
            assert isinstance(session, AsyncSession)
            shop = ShopData(f"{url}?prepared_statement_cache_size=0")
            settings = [
                await shop.run(sa.text(f"SHOW {name}")) for name in ("statement_timeout", "lock_timeout", "jit")
            ]
            await shop.run(sa.text("CREATE TABLE fine (id int)"))
            await shop.close()

    assert [rows[0][0] for rows in settings] == ["0", "0", "on"]


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
async def test_a_server_that_hangs_is_down_before_its_limit(kind: str, clock: FakeClock) -> None:
    """A stopped server keeps its connections and answers nothing: long before a minute's statement limit it is down,
    and it is up again when it goes on."""
    with Postgres() if kind == "postgresql" else MariaDb() as server:
        data = ShopData(server.new_database())
        await data.create()
        await fill(data, clock.now(), 20)
        await data.close()
        async with refresher_on(policy_for(data.url, statement_timeout=3600), clock) as refresher:
            await settle(refresher, clock)
            server.pause()
            try:
                for _ in range(2):  # the one that was asked when it stopped, and one that has to connect
                    clock.advance(1)
                    with pytest.raises(DatabaseUnavailableError, match="does not answer"):
                        await refresher.refresh()
                    assert refresher.snapshot.database_up is False
            finally:
                server.go_on()
            clock.advance(1)
            await refresher.refresh()
            assert refresher.snapshot.database_up is True


async def test_a_slow_statement_is_not_a_server_that_hangs(postgres: Postgres) -> None:
    """While a statement runs, others are greeted: it is waited for."""
    async with session_at(postgres.new_database(), statement_timeout=60) as session:
        assert (await session.rows(sa.text("SELECT 1 FROM pg_sleep(5)")))[0][0] == 1


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
async def test_a_locked_table_is_given_up_long_before_the_statements_limit(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """A migration holds one table: the others are read on by the same connection, however long a statement may take."""
    data = ShopData(request.getfixturevalue(kind).new_database())
    await data.create()
    lock = "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE" if kind == "postgres" else "LOCK TABLES orders WRITE"
    engine = create_async_engine(data.url)
    async with session_at(data.url, statement_timeout=3600) as session, engine.connect() as migration:
        await migration.execute(sa.text(lock))
        async with asyncio.timeout(600):
            with pytest.raises(DatabaseTimeoutError):
                await session.rows(sa.text("SELECT count(*) FROM orders"))
        assert await session.rows(sa.text("SELECT count(*) FROM visits")) == [(0,)]
    await engine.dispose()
    await data.close()


def _narrow(server: Postgres | MariaDb) -> str:
    """A database with a user who may have one connection; its address."""
    url = server.new_database()
    if isinstance(server, Postgres):
        server.execute(url, "CREATE ROLE narrow LOGIN CONNECTION LIMIT 1")
    else:
        user = "narrow@'127.0.0.1'"
        server.execute(f"CREATE USER {user} WITH MAX_USER_CONNECTIONS 1; GRANT SELECT ON *.* TO {user}")
    return url.replace("shop@", "narrow@")


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
async def test_a_server_without_a_free_connection_is_down_until_there_is_one(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """The reason is the server's. One connection is enough, also while a slow statement looks like a hanging server."""
    server = request.getfixturevalue(kind)
    url, slow = _narrow(server), "pg_sleep(4)" if kind == "postgres" else "SLEEP(4)"
    async with session_at(url, statement_timeout=60) as first, session_at(url) as second:
        await first.rows(sa.text("SELECT 1"))
        with pytest.raises(DatabaseUnavailableError, match="connections"):
            await second.rows(sa.text("SELECT 1"))
        assert len(await first.rows(sa.text(f"SELECT {slow}"))) == 1
        await first.close()
        async with asyncio.timeout(60):
            while True:  # the server may take a moment to notice
                with contextlib.suppress(DatabaseUnavailableError):
                    assert await second.rows(sa.text("SELECT 1")) == [(1,)]
                    break


async def statements_of(url: str, questions: int) -> int:
    """How many statements so many questions are, once there is a connection."""
    asked = 0

    def count(*_: object) -> None:
        nonlocal asked
        asked += 1

    async with session_at(url) as session:
        assert isinstance(session, AsyncSession)
        await session.rows(sa.text("SELECT 1"))
        assert session._engine is not None
        sa.event.listen(session._engine.sync_engine, "before_cursor_execute", count)
        for _ in range(questions):
            await session.rows(sa.text("SELECT 1"))
    return asked


async def test_a_question_is_one_statement(postgres: Postgres) -> None:
    """Directly, nothing is asked besides the question; behind a pooler, one statement with the settings."""
    direct = postgres.new_database()
    async with PgBouncer(postgres, "transaction") as pooler:
        assert await statements_of(direct, 3) == 3
        assert await statements_of(pooler.url(direct), 3) == 6


async def test_a_replica_that_is_promoted_is_read_on(clock: FakeClock) -> None:
    """After a failover the exporter's connection goes on, and nothing is behind any more."""
    with Postgres(["wal_level=replica"]) as primary:
        data = ShopData(primary.new_database())
        await data.create()
        await fill(data, clock.now(), 20)
        await data.close()
        with PostgresReplica(primary) as replica:
            policy = policy_for(replica.url(data.url), replica=Replica())
            async with refresher_on(policy, clock) as refresher:
                await settle(refresher, clock)
                assert replica.sql("SELECT pg_promote(true)").returncode == 0
                clock.advance(2)
                await refresher.refresh()

                assert refresher.snapshot.database_up is True
                assert refresher.snapshot.replica_lag_seconds == 0


async def test_an_sqlite_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    """Not the one before, which nobody else sees any more; and one that was removed cannot be read."""
    for name in ("shop", "restored"):
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as written:
            written.execute(f"CREATE TABLE orders AS SELECT '{name}' AS name")
    async with session_at("sqlite:///shop.db", tmp_path) as session:
        before = await session.rows(sa.text("SELECT name FROM orders"))
        (tmp_path / "restored.db").replace(tmp_path / "shop.db")
        after = await session.rows(sa.text("SELECT name FROM orders"))
        (tmp_path / "shop.db").unlink()
        with pytest.raises(DatabaseUnavailableError):
            await session.rows(sa.text("SELECT name FROM orders"))

    assert ([tuple(row) for row in before], [tuple(row) for row in after]) == ([("shop",)], [("restored",)])


@pytest.mark.parametrize("folder", ["shop #1", "what?", "100%25", "größe & maß", "file:x", "a?mode=rw"])
async def test_an_sqlite_file_below_any_folder_is_the_one_that_is_read(tmp_path: Path, folder: str) -> None:
    """Characters that mean something in an address or a URI mean themselves in a path."""
    (tmp_path / folder).mkdir()
    with sqlite3.connect(tmp_path / folder / "shop.db") as connection:
        connection.execute("CREATE TABLE here (folder TEXT)")
        connection.execute("INSERT INTO here VALUES (?)", [folder])

    async with session_at(f"sqlite:///{folder}/shop.db", tmp_path) as session:
        assert (await session.rows(sa.text("SELECT folder FROM here")))[0][0] == folder
        with pytest.raises(DatabaseError):
            await session.rows(sa.text("DELETE FROM here"))
    assert names_in(tmp_path) == [folder]


def names_in(folder: Path) -> list[str]:
    """What is in a folder."""
    return [path.name for path in folder.iterdir()]


_READ = """
import asyncio, sys
import sqlalchemy as sa
from canary.policy.model import Policy
from canary.policy.database.section import Database, Replica
from exporter.source.database import Patience
from exporter.source.session import order_session

async def read():
    async with order_session(Policy(service="shop", database=Database(url=sys.argv[1])), Patience.LIVE) as session:
        print((await session.rows(sa.text("SELECT count(*) FROM visits")))[0][0])
try:
    asyncio.run(read())
except Exception as error:
    print(error)
"""


def test_a_reader_of_a_write_ahead_file_is_told_what_it_needs(tmp_path: Path) -> None:
    """While the shop has the file open it is read; when nobody has, the message says what to do."""
    file = tmp_path / "shop.db"
    with sqlite3.connect(file) as shop:
        shop.execute("PRAGMA journal_mode=WAL")
        shop.execute("CREATE TABLE visits (id INTEGER)")
    # Root may write everywhere, and gives up its privileges; becoming another user, it could not read a checkout below
    # /root.
    root = os.geteuid() == 0
    unprivileged = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--"] if root else []
    argv = [*unprivileged, sys.executable, "-c", _READ, f"sqlite:///{file}"]

    opened = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    shop.close()
    file.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        closed = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    finally:
        tmp_path.chmod(0o755)

    assert opened == "0"
    assert "write-ahead mode" in closed
    assert "have the shop keep one connection open" in closed
    assert str(tmp_path) in closed


async def test_a_driver_that_does_not_take_the_address_is_one_line(tmp_path: Path) -> None:
    """Whatever parameter a foreign dialect stumbles over, no traceback reaches anybody."""
    database = OrderDatabase(sa.make_url(f"duckdb:///{tmp_path}/shop.duckdb?nonsense=1"), "UTC", 5)
    session = open_session(database)
    try:
        with pytest.raises(DatabaseError) as caught:
            await session.rows(sa.text("SELECT 1"))
        assert "\n" not in str(caught.value)
    finally:
        await session.close()


async def test_a_password_of_any_letters_opens_mariadb(mariadb: MariaDb, tmp_path: Path) -> None:
    """A password outside ASCII is sent as the server keeps it."""
    password = "pä$$/wörd:€@%"
    stored = hashlib.sha1(hashlib.sha1(password.encode()).digest()).hexdigest().upper()
    mariadb.execute(
        f"CREATE USER letters@'127.0.0.1' IDENTIFIED BY PASSWORD '*{stored}';"
        " GRANT SELECT ON *.* TO letters@'127.0.0.1'"
    )
    (tmp_path / "password").write_text(password, encoding="utf-8")
    url = mariadb.new_database().replace("shop@", "letters@")
    async with session_at(url, tmp_path, password_file="password") as session:
        assert await session.rows(sa.text("SELECT 1")) == [(1,)]
