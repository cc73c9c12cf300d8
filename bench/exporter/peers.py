"""The exporters side by side: how each is configured and started for the same counts and the same KPI."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.support.programs.processes import SEARCH_PATH, Program

INTERVAL_SECONDS = 15
"""How often the peers ask: more often, and counting all of time would take longer than the interval."""
_VENV = Path(__file__).parent / ".venv"

_TABLES = {"visits": "created_at", "carts": "created_at", "orders": "created_at", "payments": "settled_at"}
_KPI = (
    "SELECT v.version, count(o.visit_id)::float8 / count(*) AS value FROM visits v LEFT JOIN"
    " (SELECT DISTINCT visit_id FROM orders WHERE created_at > now() - interval '1 hour') o ON o.visit_id = v.id"
    " WHERE v.created_at > now() - interval '1 hour' GROUP BY v.version"
)


@dataclass
class Peer:
    """One running exporter.

    Attributes:
        name: for the table.
        program: its process.
        url: its metrics.
        marker: what the line with the count of the version `marker` begins with, up to its value.
        refresh_seconds: how often it asks the database.
    """

    name: str
    program: Program
    url: str
    marker: str
    refresh_seconds: float


def queries(minutes: int | None) -> dict[str, str]:
    """The counts by version, of all time or of the last *minutes*, and one KPI."""
    found = {}
    for table, time in _TABLES.items():
        where = f" WHERE {time} > now() - interval '{minutes} minutes'" if minutes else ""
        found[table] = f"SELECT version, count(*)::float8 AS value FROM {table}{where} GROUP BY version"
    return {**found, "conversion": _KPI}


def ours(folder: Path, dsn: str, port: int) -> Peer:
    """`canary exporter` with its defaults."""
    policy = folder / "canary.yaml"
    policy.write_text(yaml.safe_dump({"service": "shop", "database": {"url": dsn}}))
    argv: list[str | Path] = [Path(sys.executable).with_name("canary"), "exporter", "--config.file", policy]
    program = Program([*argv, "--web.listen-address", f"127.0.0.1:{port}"], folder / "ours.log")
    url = f"http://127.0.0.1:{port}/metrics"
    return Peer("kpi-canary", program, url, 'shop_visits_total{service="shop",version="marker"} ', 1.0)


def debian(folder: Path, dsn: str, port: int, minutes: int | None) -> Peer:
    """Debian's prometheus-sql-exporter (justwatchcom/sql_exporter)."""
    config = folder / f"sql-exporter-{minutes}.yml"  # one for each, as all are prepared before the first runs
    jobs = [
        {"name": name, "help": name, "labels": ["version"], "values": ["value"], "query": query}
        for name, query in queries(minutes).items()
    ]
    connection = dsn.replace("postgresql://", "postgres://") + "?sslmode=disable"
    job = {"name": "shop", "interval": f"{INTERVAL_SECONDS}s", "connections": [connection], "queries": jobs}
    config.write_text(json.dumps({"jobs": [job]}))
    argv = ["prometheus-sql-exporter", "-config.file", str(config), "-web.listen-address", f"127.0.0.1:{port}"]
    program = Program(argv, folder / "debian.log")
    marker = 'sql_visits{col="value"'
    return Peer(_name("prometheus-sql-exporter", minutes), program, _url(port), marker, INTERVAL_SECONDS)


def query_exporter(folder: Path, dsn: str, port: int, minutes: int | None) -> Peer:
    """PyPI's query-exporter, in an environment of its own."""
    if not (_VENV / "bin" / "query-exporter").exists():
        subprocess.run([sys.executable, "-m", "venv", _VENV], check=True)
        subprocess.run([_VENV / "bin" / "pip", "install", "-q", "query-exporter==5.0.2", "psycopg2-binary"], check=True)
    config = folder / f"query-exporter-{minutes}.yml"
    wanted = queries(minutes)
    config.write_text(
        yaml.safe_dump(
            {
                "databases": {"shop": {"dsn": dsn.replace("postgresql://", "postgresql+psycopg2://")}},
                "metrics": {f"q_{name}": {"type": "gauge", "labels": ["version"]} for name in wanted},
                "queries": {
                    name: {
                        "databases": ["shop"],
                        "metrics": [f"q_{name}"],
                        "interval": INTERVAL_SECONDS,
                        "sql": query.replace("AS value", f"AS q_{name}"),
                    }
                    for name, query in wanted.items()
                },
            }
        )
    )
    argv: list[str | Path] = [
        _VENV / "bin" / "query-exporter",
        "--config",
        config,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    program = Program(argv, folder / "query-exporter.log", {"PATH": SEARCH_PATH})
    return Peer(_name("query-exporter", minutes), program, _url(port), "q_visits{", INTERVAL_SECONDS)


def _name(program: str, minutes: int | None) -> str:
    return f"{program}, every {INTERVAL_SECONDS} s, {f'last {minutes} min' if minutes else 'all time'}"


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/metrics"
