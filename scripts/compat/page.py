"""`docs/compatibility.md`: which versions were tried, with what, when, and how it went."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scripts.compat.programs import PROGRAMS

_HEAD = """\
# Compatibility

What this version was run against, beyond what its tests run on every change (the programs of Debian 12). `make compat
PROGRAMS=FOLDER` takes the programs that lie in a folder, puts them first on PATH, runs what is listed here, and renews
the lines of their versions:

```sh
make compat PROGRAMS=~/programs
```

*Demo* is `canary check` and `canary drill` on the whole stack, a bad canary that an alert rolls back, one that a person
rolls back, and a healthy release to its end, `canary finish` included. A program that is not named next to a line came
from Debian 12. What a program says when it fails is replaced by what was found to be wrong, once somebody has looked.

Prometheus 3 leaves the left edge of a window out, on which promtool's scrapes stand. The generated tests have counters
that grow evenly and windows of five scrapes, of which both versions make the same number.

Thanos was built from its own sources. Its demo is a Prometheus that only scrapes, a sidecar, Query with sidecar and
ruler as endpoints, and Ruler with the rules; `receiver.prometheus` is Query.

mixtool was not run: the Go module proxy has no version of it. `.lint` has the rules of it and of dashboard-linter that
do not fit, with the reasons. dashboard-linter says no version of its own; what was run is its commit of 2024-12-24.

Debian 13's packages (HAProxy 3.0.11, nginx 1.26.3, Prometheus 2.53.3, Alertmanager 0.28.1, PostgreSQL 17, MariaDB
11.8, PgBouncer 1.24, Python 3.13) were run with the whole of `make test` on 2026-11-28: 5,607 of its 5,621 tests
passed on a machine with far too much else to do, and the others when they were run again.

HAProxy 2.6 is what every change is tested with. Of 2.4, 2.5, 2.7, 2.9, 3.1 and 3.3 no package was found, so they were
not run; 2.2, which is older, takes the generated configuration (`haproxy -c`).

| program | version | what was run | when | result |
|---|---|---|---|---|
"""
_NOT_RUN = "not run"
_ROW = re.compile(
    r"^\| (?P<program>[^|]+) \| (?P<version>[^|]+) \| (?P<what>[^|]+) \| (?P<when>[^|]+) \| (?P<result>[^|]+) \|$"
)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    program: str
    version: str
    what: str
    when: str
    result: str

    def __str__(self) -> str:
        return f"| {self.program} | {self.version} | {self.what} | {self.when} | {self.result} |"


def rows(text: str) -> list[Row]:
    """The lines of a page that say how something went."""
    found = [Row(**match.groupdict()) for line in text.splitlines() if (match := _ROW.match(line))]
    return [row for row in found if row.when != "when" and row.result != _NOT_RUN]


def page(earlier: Iterable[Row], now: Sequence[Row]) -> str:
    """The page: by program, the newest version first; what was run again has its newest result only."""
    again = {(row.program, row.version, row.what) for row in now}
    kept = [row for row in earlier if (row.program, row.version, row.what) not in again]
    every = sorted([*now, *kept], key=lambda row: _parts(row.version), reverse=True)
    lines: list[Row] = []
    for program in PROGRAMS:
        mine = [row for row in every if row.program == program.title]
        lines += mine or [Row(program.title, "-", "-", "-", _NOT_RUN)]
    return _HEAD + "".join(f"{line}\n" for line in lines)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
