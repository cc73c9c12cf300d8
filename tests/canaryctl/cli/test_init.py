"""`canary init` from an unknown database to a policy that `canary check` accepts."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import sqlalchemy as sa
import yaml
from click.testing import CliRunner

from canary.errors import CanaryError
from canary.policy import load_policy
from canary.policy.database.section import DEFAULT_EVENTS
from canary.policy.kpis import DEFAULT_KPIS
from canaryctl.check import Status
from canaryctl.check.shop.database import check_database
from canaryctl.cli.init import command
from canaryctl.generated import generated_files
from demo.shop.schema import metadata

MAKE = """
CREATE TABLE sessions (id INTEGER PRIMARY KEY, started_at TEXT, release TEXT);
CREATE TABLE purchases (id INTEGER PRIMARY KEY, session_id INTEGER REFERENCES sessions, placed_at TEXT,
  total NUMERIC, currency TEXT, state TEXT);
CREATE TABLE charges (id INTEGER PRIMARY KEY, purchase_id INTEGER REFERENCES purchases, created_at TEXT,
  result TEXT, amount NUMERIC, version TEXT);
INSERT INTO sessions VALUES (1, '2026-01-01 10:00:00', 'v1'), (2, '2026-01-01 10:00:01', 'v2');
INSERT INTO purchases VALUES (1, 1, '2026-01-01 10:05:00', 9.5, 'EUR', 'done'),
  (2, 2, '2026-01-01 10:06:00', 5, 'EUR', 'cancelled');
INSERT INTO charges VALUES (1, 1, '2026-01-01 10:05:01', 'captured', 9.5, 'v1'),
  (2, 2, '2026-01-01 10:06:01', 'declined', 5, 'v2');
"""


@pytest.fixture
def database(tmp_path: Path) -> Callable[[str], str]:
    """Makes a SQLite order database of these statements; its URL."""

    def make(statements: str) -> str:
        engine = sa.create_engine(f"sqlite:///{tmp_path / 'orders.db'}")
        with engine.begin() as connection:
            for statement in filter(str.strip, statements.split(";")):
                connection.execute(sa.text(statement))
        engine.dispose()
        return "sqlite:///orders.db"

    return make


def test_a_foreign_schema_becomes_a_policy_that_passes_check(tmp_path: Path, database: Callable[[str], str]) -> None:
    """Tables by other names, a version only on the visit, outcomes by other words: the written policy fits them."""
    output = tmp_path / "canary.yaml"
    url = database(MAKE)

    result = CliRunner().invoke(command, ["--database", url, "--service", "shop", "--output", str(output)])
    policy = load_policy(output)
    findings = asyncio.run(check_database(policy))

    assert result.exit_code == 0, result.output
    assert "v1: 1, v2: 1" in result.output
    assert sorted(policy.kpis) == ["average_order_value", "conversion_rate", "payment_success_rate"]
    assert policy.database.events["payments"].succeeded == ("captured",)
    assert policy.database.events["payments"].failed == ("declined",)
    assert policy.database.events["orders"].exclude == {"state": ("cancelled",)}
    assert [finding for finding in findings if finding.status is Status.FAILED] == []


def test_scripts_get_the_proposal(tmp_path: Path, database: Callable[[str], str]) -> None:
    """Where the policy was written, its KPIs, its zone and why, and each event's table, keys and rows by version."""
    output = tmp_path / "canary.yaml"
    argv = ["--database", database(MAKE), "--service", "shop", "--output", str(output), "--format", "json"]

    said = json.loads(CliRunner().invoke(command, argv, catch_exceptions=False).stdout)
    visits = next(event for event in said["events"] if event["event"] == "visits")

    assert said["output"] == str(output)
    assert said["timezone"] == load_policy(output).database.timezone
    assert said["timezone_reason"]
    assert sorted(said["kpis"]) == sorted(load_policy(output).kpis)
    assert (visits["table"], visits["rows"]) == ("sessions", {"v1": 1, "v2": 1})
    assert visits["keys"]["version"] == "release"


def test_the_default_schema_is_recognised_as_such(tmp_path: Path) -> None:
    """On the default schema, init proposes the strategy's six KPIs as they are by default."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    metadata.create_all(engine)
    engine.dispose()
    output = tmp_path / "canary.yaml"

    CliRunner().invoke(command, ["--database", "sqlite:///shop.db", "--service", "shop", "--output", str(output)])
    policy = load_policy(output)

    assert policy.kpis == DEFAULT_KPIS
    assert {event.table for event in policy.database.events.values()} == {
        event.table for event in DEFAULT_EVENTS.values()
    }
    assert policy.database.events["checkouts"].time == "checkout_started_at"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--database", "sqlite:///orders.db"], "--service is needed when there is no terminal to ask at"),
        (["--database", "postgresql://u:hunter2@h/d", "--service", "s"], "holds a password"),
        (["--database", "sqlite:///orders.db", "--service", "s"], "no table looks like visits"),
    ],
)
def test_what_cannot_be_proposed_is_refused(
    tmp_path: Path, database: Callable[[str], str], arguments: list[str], expected: str
) -> None:
    """Nothing is written when something is missing, and no password ends up in a file or message."""
    database("CREATE TABLE things (id INTEGER)")
    output = tmp_path / "canary.yaml"

    result = CliRunner().invoke(command, [*arguments, "--output", str(output)])

    said = f"{result.output}{result.exception}"
    assert expected in said
    assert "hunter2" not in said
    assert not output.exists()


def test_a_policy_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    """Only --force replaces a file."""
    output = tmp_path / "canary.yaml"
    output.write_text("mine\n", encoding="utf-8")

    result = CliRunner().invoke(command, ["--database", "sqlite:///x", "--service", "s", "--output", str(output)])

    assert isinstance(result.exception, CanaryError)
    assert output.read_text(encoding="utf-8") == "mine\n"


@pytest.mark.parametrize("router", ["haproxy", "nginx", "envoy", "traefik", "gateway", "command", "none"])
def test_every_choice_of_router_gives_a_valid_policy(
    tmp_path: Path, database: Callable[[str], str], router: str
) -> None:
    """Whatever router is chosen, what is written loads and generates."""
    output = tmp_path / "canary.yaml"
    arguments = ["--database", database(MAKE), "--service", "shop", "--router", router, "--output", str(output)]
    arguments += ["--selector", 'job="checkout"'] if router == "haproxy" else []

    result = CliRunner().invoke(command, arguments)
    files = generated_files(load_policy(output))

    assert result.exit_code == 0, result.output
    assert any(name.startswith("router/") for name in files) == (router not in ("command", "none"))
    policy = load_policy(output)
    assert (policy.technical, policy.shop_selector) == (
        (True, 'job="checkout"') if router == "haproxy" else (False, "")
    )


def test_a_schema_for_editors_comes_along(tmp_path: Path, database: Callable[[str], str]) -> None:
    """The first line names it, it takes the written policy, and `--schema` renews it alone."""
    output = tmp_path / "canary.yaml"
    schema = tmp_path / "policy.schema.json"
    given = ["--database", database(MAKE), "--service", "shop", "--output", str(output)]

    first = CliRunner().invoke(command, given)
    written = json.loads(schema.read_text())
    schema.write_text("{}")
    again = CliRunner().invoke(command, ["--schema", "--output", str(output)])

    assert first.exit_code == again.exit_code == 0, first.output + again.output
    assert output.read_text().startswith("# yaml-language-server: $schema=policy.schema.json\n")
    jsonschema.validate(yaml.safe_load(output.read_text()), written)
    assert json.loads(schema.read_text()) == written


@pytest.mark.parametrize("arguments", [["--schema"], ["--service", "shop"]])
def test_a_folder_that_is_not_there_is_told(
    tmp_path: Path, database: Callable[[str], str], arguments: list[str]
) -> None:
    """In a sentence with what to do, whatever was to be written into it."""
    database(MAKE)
    orders, output = f"sqlite:///{tmp_path / 'orders.db'}", str(tmp_path / "none" / "canary.yaml")
    given = ["--database", orders, "--output", output, *arguments]

    result = CliRunner().invoke(command, given)

    assert isinstance(result.exception, CanaryError)
    assert "cannot be written (No such file or directory); name a file that can be" in str(result.exception)


def test_every_bracket_of_the_mapping_is_shown(tmp_path: Path, database: Callable[[str], str]) -> None:
    """The columns of an event end as they are written in the policy."""
    result = CliRunner().invoke(
        command, ["--database", database(MAKE), "--service", "shop", "--output", str(tmp_path / "canary.yaml")]
    )

    assert result.output.count("{") == result.output.count("}") > 0


def test_a_zone_that_is_none_is_refused_by_its_option() -> None:
    """At once, and not as a fault of a file that is only tried."""
    result = CliRunner().invoke(command, ["--database", "sqlite://", "--service", "shop", "--timezone", "Mars/Base"])

    assert result.exit_code == 2
    assert "no time zone 'Mars/Base'; write one such as Europe/Berlin" in result.output
