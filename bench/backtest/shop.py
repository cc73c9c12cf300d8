"""A SQLite order database of many past rollouts, written as a real shop would have."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from exporter.evidence.grid import Bools, Floats

PHASES = ((5, 0.05), (15, 0.25), (20, 0.50))
SCHEMA = """
CREATE TABLE visits (id INTEGER PRIMARY KEY, visitor_id TEXT, version TEXT, created_at TEXT);
CREATE TABLE carts (id INTEGER PRIMARY KEY, visit_id INTEGER, version TEXT, created_at TEXT, checkout_started_at TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, visit_id INTEGER, cart_id INTEGER, version TEXT, status TEXT, total REAL,
                     currency TEXT, created_at TEXT);
CREATE TABLE payments (id INTEGER PRIMARY KEY, order_id INTEGER, version TEXT, status TEXT, amount REAL,
                       created_at TEXT, settled_at TEXT);
CREATE TABLE feedback (id INTEGER PRIMARY KEY, order_id INTEGER, version TEXT, score INTEGER, created_at TEXT);
"""
_INDEXES = (
    "visits created_at",
    "carts created_at",
    "carts checkout_started_at",
    "orders created_at",
    "payments created_at",
    "payments settled_at",
    "feedback created_at",
)
FIRST = datetime(2026, 1, 5, 9, tzinfo=UTC).timestamp()
MINUTES = sum(minutes for minutes, _ in PHASES)


def write(
    database: Path,
    rollouts: Path,
    count: int,
    per_minute: float,
    *,
    every_seconds: float = 7200.0,
    harm_every: int = 0,
    seed: int = 1,
) -> None:
    """Write `count` rollouts, each from version vN to vN+1, and the CSV file that names them.

    Args:
        every_seconds: from the start of one to that of the next.
        harm_every: every so manieth rollout loses 20 % of its payments; 0 for none.
    """
    rng = np.random.default_rng(seed)
    connection = sqlite3.connect(database)
    connection.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + SCHEMA)
    with rollouts.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["rollout", "stable", "canary", "traffic", "started_at", "ended_at"])
        for number in range(count):
            start = FIRST + every_seconds * number
            versions = f"v{number}", f"v{number + 1}"
            lost = 0.2 if harm_every and number % harm_every == harm_every - 1 else 0.0
            _rollout(connection, rng, start, versions, per_minute, lost)
            begun = start
            for minutes, share in PHASES:
                ended = begun + 60 * minutes
                lines.writerow([f"r{number}", *versions, f"{share:.0%}", _iso(begun), _iso(ended)])
                begun = ended
    for name in _INDEXES:
        table, column = name.split()
        connection.execute(f"CREATE INDEX {table}_{column} ON {table} ({column})")
    connection.commit()
    connection.close()


def _rollout(
    connection: sqlite3.Connection,
    rng: np.random.Generator,
    start: float,
    versions: tuple[str, str],
    per_minute: float,
    lost: float,
) -> None:  # long: the customers of one rollout, each column drawn from those before it
    count = rng.poisson(per_minute * MINUTES)
    visits = np.sort(rng.uniform(0.0, 60.0 * MINUTES, count)) + start
    ends = start + 60.0 * np.cumsum([minutes for minutes, _ in PHASES])
    shares = np.asarray([share for _, share in PHASES])[np.searchsorted(ends, visits, side="right")]
    canary = rng.random(count) < shares
    ids = _next_id(connection) + np.arange(count)
    version = [versions[int(side)] for side in canary]
    carts = np.where(rng.random(count) < 0.2, visits + rng.exponential(60, count), np.nan)
    checkouts = np.where(rng.random(count) < 0.4, carts + rng.exponential(60, count), np.nan)
    orders = np.where(rng.random(count) < 0.5, checkouts + rng.exponential(120, count), np.nan)
    paid = rng.random(count) < 0.97 * np.where(canary, 1.0 - lost, 1.0)
    total = rng.lognormal(4.0, 0.8, count).round(2)

    def rows(*columns: Iterable[object]) -> list[tuple[object, ...]]:
        return list(zip(*columns, strict=True))

    def insert(table: str, values: list[tuple[object, ...]], chosen: Bools) -> None:
        marks = ",".join("?" * len(values[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", [values[at] for at in np.flatnonzero(chosen)])

    identity = ids.tolist()
    everyone = np.ones(count, dtype=np.bool_)
    cart, checkout, order = np.isfinite(carts), np.isfinite(checkouts), np.isfinite(orders)
    insert("visits", rows(identity, map(str, identity), version, _texts(visits)), everyone)
    insert("carts", rows(identity, identity, version, _texts(carts), _texts(checkouts)), cart)
    paid_texts = ["succeeded" if good else "failed" for good in paid]
    eur = ["EUR"] * count
    insert("orders", rows(identity, identity, identity, version, ["paid"] * count, total, eur, _texts(orders)), order)
    settled = orders + rng.exponential(20, count)
    insert("payments", rows(identity, identity, version, paid_texts, total, _texts(orders), _texts(settled)), order)
    scored = order & (rng.random(count) < 0.3)
    score = rng.choice([1, 2, 3, 4, 5], count, p=[0.05, 0.05, 0.15, 0.35, 0.4]).tolist()
    insert("feedback", rows(identity, identity, version, score, _texts(orders + 600)), scored)
    assert checkout.sum() >= order.sum()


def _next_id(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(id), 0) + 1 FROM visits").fetchone()[0])


def _texts(times: Floats) -> list[str | None]:
    """ISO texts with a space and milliseconds."""
    whole = np.where(np.isfinite(times), times * 1000, 0).astype("datetime64[ms]").astype(str)
    return [
        text.replace("T", " ") if known else None
        for text, known in zip(whole, np.isfinite(times).tolist(), strict=True)
    ]


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
