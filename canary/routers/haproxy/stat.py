"""What HAProxy counts, by `show stat`: who is still on a canary's servers, and which stable ones are down."""

import csv
from collections.abc import Iterator, Mapping


def left_on(table: str) -> int | None:
    """Sessions on the canary's servers, and in the queue before them; None where there is no such backend.

    Its spare servers are stable's, and what is on them may last.
    """
    rows = list(_rows(table))
    own = [row for row in rows if row.get("svname") not in ("BACKEND", None) and row.get("bck") != "1"]
    if not own:
        return None
    return sum(int(row.get("scur") or 0) for row in own) + sum(int(row.get("qcur") or 0) for row in rows)


def _rows(table: str) -> Iterator[Mapping[str, str]]:
    """The answer to `show stat`."""
    return csv.DictReader(table.removeprefix("# ").splitlines())


def down_in(table: str) -> Iterator[tuple[str, str]]:
    """Address and state of each server of the backend `stable`, as the generated configuration names it, that is down.

    Those in maintenance or drained were taken out by a person, and count too: they serve nobody.
    """
    for row in _rows(table):
        server, status = row.get("svname", ""), row.get("status", "")
        if row.get("pxname") != "stable" or server in ("FRONTEND", "BACKEND"):
            continue
        if not status.startswith(("UP", "no check")):
            yield row.get("addr") or server, f"HAProxy says {status} ({row.get('check_desc') or 'no reason given'})"
