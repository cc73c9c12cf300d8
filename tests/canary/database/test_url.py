"""Addresses as people and hosted databases write them: understood, or refused in one line without a secret."""

import os
import ssl
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.database.url import DriverAddress, driver_address, read_database_url, shown_url, sqlite_file
from canary.errors import DatabaseUnavailableError


def address(text: str, base: Path | str = "/etc/canary") -> DriverAddress:
    """An address as its driver takes it."""
    return driver_address(read_database_url(text, place="database.url", base=base))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate, and next to it its key (`server.key`) and the key with a password (`locked.key`)."""
    folder = tmp_path_factory.mktemp("tls")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    made = ("-keyout", "server.key", "-out", "server.crt", "-nodes", "-subj", "/CN=shop")
    for argv in (
        ("req", "-x509", *curve, *made),
        ("pkey", "-in", "server.key", "-aes128", "-passout", "pass:hunter2", "-out", "locked.key"),
    ):
        subprocess.run(("openssl", *argv), cwd=folder, check=True, capture_output=True)
    return folder / "server.crt"


def refusal(text: str) -> str:
    """What is said of an address that is not taken."""
    with pytest.raises(DatabaseUnavailableError) as caught:
        read_database_url(text, place="database.url")
    return str(caught.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+asyncpg"])
def test_every_way_to_say_postgresql_is_read_by_our_driver(scheme: str) -> None:
    """The scheme of libpq, of hosted databases and of other drivers all mean the same server."""
    assert address(f"{scheme}://canary@db.example/shop").url.drivername == "postgresql+asyncpg"


@pytest.mark.parametrize(
    "scheme", ["mysql", "mariadb", "mysql+pymysql", "mariadb+mariadbconnector", "mysql2", "mysqli"]
)
def test_every_way_to_say_mysql_is_read_by_our_driver(scheme: str) -> None:
    """MariaDB and MySQL have one protocol."""
    assert address(f"{scheme}://canary@db.example/shop").url.drivername == "mysql+asyncmy"


def test_libpqs_parameters_reach_the_driver_that_knows_them(tmp_path: Path, certificate: Path) -> None:
    """TLS is asked for in libpq's words; paths start at the policy; limits and settings are arguments of their own."""
    text = "postgres://canary@db.example/shop?sslmode=verify-full&sslrootcert=tls/ca.crt&connect_timeout=10"
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls/ca.crt").write_bytes(certificate.read_bytes())
    found = address(f"{text}&application_name=guard&options=-csearch_path%3Dshop&keepalives=1", tmp_path)

    assert found.url.query == {}
    assert parse_qs(urlsplit(found.options["dsn"]).query) == {
        "sslmode": ["verify-full"], "sslrootcert": [str(tmp_path / "tls/ca.crt")],
    }  # fmt: skip
    assert found.options["server_settings"] == {"application_name": "guard", "options": "-csearch_path=shop"}
    assert found.connect_timeout_seconds == 10


@pytest.mark.parametrize("text", ["postgresql:///shop?host=/run/postgresql", "postgresql://%2Frun%2Fpostgresql/shop"])
def test_both_ways_to_write_a_socket_are_one(text: str) -> None:
    """libpq writes a socket's folder as a parameter or, percent-encoded, as the host."""
    found = address(text)

    assert found.url.host is None
    assert parse_qs(urlsplit(found.options["dsn"]).query) == {"host": ["/run/postgresql"]}


@pytest.mark.parametrize(
    ("parameters", "verified", "named"),
    [
        ("ssl=true", ssl.CERT_NONE, False),
        ("ssl-mode=REQUIRED", ssl.CERT_NONE, False),
        ("ssl_verify_cert=true", ssl.CERT_REQUIRED, True),
        ("ssl=1&ssl_verify_cert=1&ssl_verify_identity=0", ssl.CERT_REQUIRED, False),
        ("ssl_mode=VERIFY_CA", ssl.CERT_REQUIRED, False),
        ("ssl_mode=VERIFY_IDENTITY", ssl.CERT_REQUIRED, True),
    ],
)
def test_mysqls_tls_checks_what_it_is_told_to(parameters: str, verified: ssl.VerifyMode, named: bool) -> None:
    """Encryption alone proves nothing; a certificate is checked when asked for, and then the host's name too."""
    context = address(f"mariadb://canary@db.example/shop?{parameters}").options["ssl"]

    assert (context.verify_mode, context.check_hostname) == (verified, named)


@pytest.mark.parametrize("parameters", ["", "?ssl=false", "?ssl-mode=DISABLED", "?charset=utf8mb4"])
def test_mysql_without_tls_says_so(parameters: str) -> None:
    """No TLS is asked for where the address does not."""
    assert "ssl" not in address(f"mysql://canary@db.example/shop{parameters}").options


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("postgresql://u@h/shop?sslmod=require", "sslmod is not understood; did you mean sslmode?"),
        ("postgresql://u@h/shop?pgbouncer=true", "leave it out: a connection pooler is recognised"),
        ("postgresql://u@h/shop?password=hunter2", "give it by password_file or password_env"),
        ("postgresql://u@h/shop?channel_binding=require", "leave it out: sslmode=verify-full with sslrootcert"),
        ("postgresql://u:hunter2@hunter2@h/shop", "has an @ too many; in a password write %3F for ?, %40 for @"),
        ("mysql://u@h:70000/shop", "the address's port is no port; write one from 1 to 65535"),
        ("postgresql://u@h/shop?sslmode=maybe", "write one of disable, allow, prefer, require, verify-ca, verify-full"),
        ("postgresql://u@h/shop?connect_timeout=soon", "write seconds, such as connect_timeout=5"),
        ("mysql://u@h/shop?sslaccept=strict", "write ssl_verify_cert=true"),
        ("mysql://u@h/shop?ssl=perhaps", "ssl has a value that it cannot have"),
        ("sqlite:///shop.db?mode=ro", "leave out everything from the question mark on"),
        ("postgres:hunter2", "not a database URL"),
        ("mongodb://u:hunter2@h/shop", "no driver for mongodb is installed"),
        ("postgresql://u:p@a?hunter2@h/shop", "in a password write %3F for ?"),
    ],
)
def test_what_is_not_understood_is_one_line_that_says_what_to_write(text: str, what: str) -> None:
    """No traceback, no value of a parameter, no part of a password."""
    said = refusal(text)

    assert what in said
    assert said.startswith("database.url: ")
    assert "\n" not in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("scheme", "parameters", "name", "file"),
    [
        ("mysql", "ssl_ca=tls/ca.crt", "ssl_ca", "tls/ca.crt"),
        ("mysql", "ssl_cert=tls/gone.crt", "ssl_cert", "tls/gone.crt"),
        ("mysql", "ssl_cert=server.crt&ssl_key=gone.key", "ssl_key", "gone.key"),
        ("postgresql", "sslmode=verify-full&sslrootcert=gone.crt", "sslrootcert", "gone.crt"),
        ("postgresql", "sslmode=require&sslrootcert=server.crt&sslcrl=gone.crl", "sslcrl", "gone.crl"),
        ("postgresql", "sslcert=gone.crt", "sslcert", "gone.crt"),
        ("postgresql", "sslcert=server.crt&sslkey=gone.key", "sslkey", "gone.key"),
        ("postgresql", "sslmode=verify-ca&sslrootcert=pipe", "sslrootcert", "pipe"),
        ("clickhouse", "secure=true&ca_cert=gone.crt", "ca_cert", "gone.crt"),
        ("clickhouse", "client_cert=server.crt&client_cert_key=gone.key", "client_cert_key", "gone.key"),
    ],
)
def test_a_certificate_that_is_not_there_is_named(
    tmp_path: Path, certificate: Path, scheme: str, parameters: str, name: str, file: str
) -> None:
    """The parameter and the file are said, and what to do; a pipe in its place is not waited for."""
    os.mkfifo(tmp_path / "pipe")
    text = f"{scheme}://u@h/shop?{parameters.replace('server.crt', str(certificate))}"

    with pytest.raises(DatabaseUnavailableError, match="let this user read it, or correct the path") as caught:
        address(text, tmp_path)

    assert f"{name} names a file that cannot be read" in str(caught.value)
    assert str(caught.value).count(f": {tmp_path / file};") == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("postgresql://u@h/shop?sslmode=verify-ca&sslrootcert=odd", "sslrootcert names a file with no certificates"),
        (
            "postgresql://u@h/shop?sslcert=odd&sslkey=odd",
            "sslcert names a certificate that cannot be used with its key",
        ),
        ("mysql://u@h/shop?ssl_ca=odd", "ssl_ca names a file with no certificates"),
        ("mysql://u@h/shop?ssl_cert=odd", "ssl_cert names a certificate that cannot be used with its key"),
        ("mysql://u@h/shop?ssl_cert=server.crt&ssl_key=locked", "give ssl_key, its own, without a password"),
    ],
)
def test_what_is_no_certificate_is_named_too(tmp_path: Path, certificate: Path, text: str, what: str) -> None:
    """A file of something else, and a key with a password, which OpenSSL would ask for on the terminal."""
    (tmp_path / "odd").write_text("no certificate")
    (tmp_path / "locked").write_bytes(certificate.with_name("locked.key").read_bytes())

    with pytest.raises(DatabaseUnavailableError) as caught:
        address(text.replace("server.crt", str(certificate)), tmp_path)

    assert what in str(caught.value)
    assert "odd" in str(caught.value) or "locked" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://u@h/shop?sslmode=disable&sslrootcert=gone.crt&sslcert=gone.crt",
        "postgresql://u@h/shop?sslmode=prefer&sslrootcert=gone.crt",
        "postgresql://u@h/shop?sslmode=verify-full&sslrootcert=system",
        "mysql://u@h/shop?ssl=false&ssl_ca=gone.crt",
        "clickhouse://u@h/shop?ca_cert=certifi",
    ],
)
def test_a_file_that_nothing_looks_at_may_be_missing(tmp_path: Path, text: str) -> None:
    """Without TLS, or in a mode that checks nobody, the driver reads none."""
    address(text, tmp_path)


@given(name=st.text(st.characters(exclude_characters="\0/\n", exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_an_sqlite_path_is_taken_to_the_letter(name: str) -> None:
    """Whatever a file or folder is called, the path is that one, for readers and for writers."""
    text = f"sqlite:///srv/{name}/shop.db"

    for read_only in (True, False):
        url = read_database_url(text, place="state.url", base="/base", read_only=read_only)
        assert sqlite_file(url) == Path("/base/srv") / name / "shop.db"


@given(password=st.text(min_size=8, max_size=20))
def test_no_password_is_shown(password: str) -> None:
    """What messages show of an address holds neither password nor parameters."""
    url = read_database_url("postgresql://u@h/shop?sslmode=require", place="database.url").set(password=password)

    assert shown_url(url) == "postgresql://u:***@h/shop"


@given(password=st.text(min_size=1))
def test_a_password_reaches_mysql_as_every_client_sends_it(password: str) -> None:
    """Whatever is in it, its UTF-8 bytes are what the driver, which writes Latin-1, puts on the wire."""
    url = read_database_url("mysql://u@h/shop", place="database.url").set(password=password)

    assert (driver_address(url).url.password or "").encode("latin-1") == password.encode()
