"""The pages of the shop platforms, from the files that `canary init` maps them by: what is said is what is done."""

import textwrap
from collections.abc import Iterator

from sqlalchemy.engine import make_url

from canary.policy.kpis import DEFAULT_KPIS
from canaryctl.init.platform import Platform, platforms

_ADDRESSES = {"postgresql": "postgresql://canary@db.example/shop", "mysql": "mariadb://canary@db.example/shop"}


def platform_pages() -> Iterator[tuple[str, str]]:
    """Each page's name and text, and a list of all of them."""
    known = platforms()
    yield "README.md", _list(known)
    for name, platform in known.items():
        yield f"{name}.md", _page(platform)


_FIRST = """\
# Shop platforms

`canary init` recognises these by their tables, and writes a mapping that is tested: every number that it gives was
compared with plain SQL, on rows as the platform writes them. Other shops are [guessed](../your-database.md).

| platform | KPIs |
|---|---|
"""

_PAGE = """\
# {title}

`canary init` recognises the platform by its tables, with any prefix, and writes a policy with the mapping below. The
shop is only read. These rights are enough for [its user](../your-database.md#which-databases):

```sql
{rights}
```

```console
$ export DATABASE={address}
$ {command}
{title}...
Wrote canary.yaml with the KPIs ...
$ canary check --only database --data
...database.events.orders...
$ canary plan --days 1
...
```

(A password goes into a file: `--password-file secrets/database`.)

## What is measured

| KPI | |
|---|---|
{kpis}

{notes}

## Which version

The platform does not write its version, so each row has a `unit` instead: what the router knows the customer by. Who
was served by which version stands in `database.assignments`, a table or a SELECT:
[without a version column](../your-database.md#without-a-version-column). Until then `canary plan` tells what your
traffic can prove, and the version of every row is `unknown`.

## The mapping

```yaml
database:
{mapping}
```
"""


def _list(known: dict[str, Platform]) -> str:
    rows = (f"| [{one.title}]({name}.md) | {', '.join(one.kpis)} |\n" for name, one in known.items())
    return _FIRST + "".join(rows)


def _page(platform: Platform) -> str:
    engine = "mysql" if "mysql" in platform.engines else "postgresql"
    command = f"canary init --platform {platform.name} --database $DATABASE --service shop"
    return _PAGE.format(
        title=platform.title,
        rights="\n".join(_rights(platform, engine)),
        address=_ADDRESSES[engine],
        command=command + ("" if platform.timezone or platform.timezone_sql else " --timezone Europe/Berlin"),
        kpis="\n".join(_kpi(platform, name) for name in DEFAULT_KPIS),
        notes="\n".join(f"* {note}" for note in _notes(platform)),
        mapping=textwrap.indent(platform.mapping(platform.prefix).rstrip(), "  "),
    )


def _kpi(platform: Platform, name: str) -> str:
    return f"| `{name}` | {'yes' if name in platform.kpis else 'no: ' + platform.impossible[name]} |"


def _rights(platform: Platform, engine: str) -> Iterator[str]:
    quote = make_url(f"{engine}://").get_dialect()().identifier_preparer.quote
    schema = "shop." if engine == "mysql" else ""
    for table in platform.tables:
        yield f"GRANT SELECT ON {schema}{quote(platform.prefix + table)} TO canary;"
    if platform.settings is not None:
        settings = f"{schema}{quote(platform.prefix + platform.settings)}"
        yield f"GRANT SELECT ON {settings} TO canary; -- for `canary init` alone: {platform.told}"


def _notes(platform: Platform) -> Iterator[str]:
    yield from platform.notes
    if not any(note.startswith("Times") for note in platform.notes):
        yield _zone(platform)


def _zone(platform: Platform) -> str:
    if platform.timezone is not None:
        return "Times are in UTC, or of a type that has a zone."
    if platform.timezone_sql is not None:
        return "Times are in the shop's own zone, which its settings say; `--timezone` says it otherwise."
    return (
        "Times are in the shop's own zone, which no table says: `--timezone`. `canary check --data` sees a wrong one."
    )
