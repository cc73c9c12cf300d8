"""Writes what is made from the code for docs/ and deploy/: references to the policy, metrics, API, commands; man page.

`make golden` calls it too; a test fails when a page is not what the code says.
"""

import ast
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alertmanager.receiver.http.api import Api
from alertmanager.receiver.http.ofrep import Ofrep
from alertmanager.receiver.http.routes import api_table, description_of
from canary import names
from canary.policy import load_policy
from canary.policy.schema import policy_schema
from canary.routers import routers_of
from scripts import manpage
from scripts.commands import MADE, commands_page

ROOT = Path(__file__).resolve().parent.parent

Schema = dict[str, Any]

# The table of routes is only read here: nobody stands behind its handlers.
NOBODY: Any = None


def pages() -> Iterator[tuple[Path, str]]:
    """Every file that is made here, with its text."""
    schema = policy_schema()
    yield ROOT / "docs" / "reference-policy.md", policy_page(schema)
    yield ROOT / "docs" / "policy.schema.json", json.dumps(schema, indent=1) + "\n"
    yield ROOT / "docs" / "reference-metrics.md", metrics_page()
    api = description_of(api_table(Api(NOBODY), Ofrep(NOBODY, NOBODY, NOBODY)))
    yield ROOT / "docs" / "openapi.json", json.dumps(api, indent=1) + "\n"
    yield ROOT / "docs" / "reference-api.md", api_page(api)
    yield ROOT / "docs" / "reference-commands.md", commands_page()
    yield manpage.PAGE, manpage.man_page()
    for folder, policy in (("haproxy", "canary.yaml"), ("nginx", "deploy/nginx/canary.yaml")):
        for router in routers_of(load_policy(ROOT / policy)):
            for name, text in router.snippet().items():
                yield ROOT / "deploy" / folder / name, text


# The policy.

_POLICY_HEAD = f"""\
# Policy reference

{MADE}

Every key of `canary.yaml`. What a key means for your shop is told by the pages about the task; this page is for
looking things up. A duration is written `30s`, `5m`, `1h30m`; a percentage `10%`; a size `1MiB`; a version in quotes.
A value out of its bounds is refused, and so are unknown and repeated keys. Editors that know YAML schemas complete and
check the file when its first line is `# yaml-language-server: $schema=policy.schema.json`
([the schema](policy.schema.json)).
"""

_METRICS_HEAD = f"""\
# Metrics reference

{MADE}

Every series carries the label `service`. Values that are no longer known are absent, never stale.

## The shop's, from the order database

| series | kind | labels | meaning |
|---|---|---|---|
| `shop_EVENT_total` | counter | `version`, of payments `outcome` | rows of the event since `database.since` |
| `shop_EVENT_value_total` | counter | `version`, `currency` | sum of the rows' values |
| `shop_KPI` | gauge | `version`, of amounts `currency` | the KPI of the units in the last `database.window` |

The events are `visits`, `carts`, `checkouts`, `orders`, `payments`, `feedback`, and your own.
"""


def policy_page(schema: Schema) -> str:
    """Every key of `canary.yaml`: what it means, what may be written, what holds when it is missing."""
    lines = [_POLICY_HEAD]
    lines += _section("The policy", "", schema, schema, depth=2, seen=set())
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, path: str, node: Schema, schema: Schema, *, depth: int, seen: set[str]) -> Iterator[str]:
    """One section's table, then the sections inside it."""
    yield f"{'#' * min(depth, 4)} {title}"
    yield ""
    if node.get("description") and path:
        yield from (" ".join(node["description"].split()), "")
    yield "| key | meaning | written | when missing |"
    yield "|---|---|---|---|"
    inner: list[tuple[str, str, Schema]] = []
    for key, value in node["properties"].items():
        if key == "base":
            continue
        place = f"{path}.{key}" if path else key
        children = list(_children(place, value, schema))
        inner += children
        missing = "is required" if key in node.get("required", ()) else _default(value, children)
        meaning = " ".join(value.get("description", "").split()) or _of_class(children)
        yield f"| `{key}` | {_cell(meaning)} | {_cell(_written(value, children))} | {_cell(missing)} |"
    yield ""
    for name, place, child in inner:
        if child["title"] not in seen:
            seen.add(child["title"])
            yield from _section(f"`{name}`", place, child, schema, depth=depth + 1, seen=seen)


def _children(path: str, value: Schema, schema: Schema) -> Iterator[tuple[str, str, Schema]]:
    """The sections that a key holds: one, one per kind, or one per name."""
    definitions: Schema = schema["$defs"]

    def resolve(reference: str) -> Schema:
        found: Schema = definitions[reference.rsplit("/", 1)[1]]
        return found

    named = next(iter(value.get("patternProperties", {}).values()), value.get("additionalProperties"))
    if isinstance(named, dict):
        yield from _children(f"{path}.NAME", named, schema)
    if isinstance(value.get("items"), dict):
        yield from _children(path, value["items"], schema)
    if "$ref" in value:
        yield path, path, resolve(value["$ref"])
    for option in [*value.get("anyOf", ()), *value.get("allOf", ())]:
        yield from _children(path, option, schema)
    for kind, reference in sorted(value.get("discriminator", {}).get("mapping", {}).items()):
        yield f"{path} of kind {kind}", path, resolve(reference)


def _of_class(children: list[tuple[str, str, Schema]]) -> str:
    return " ".join(children[0][2].get("description", "").split()) if len(children) == 1 else ""


def _written(value: Schema, children: list[tuple[str, str, Schema]]) -> str:
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{option}`" for option in value["enum"])
    options = [
        option
        for option in value.get("anyOf", ())
        if option.get("type") != "null" and "$ref" not in option and "discriminator" not in option
    ]
    if options:
        forms = [_written(option, []) for option in options]
        return " or ".join(dict.fromkeys([*forms, *(["a section"] if children else [])]))
    if "x-quantity" in value:
        return _quantity(value)
    if value.get("type") == "array":
        return "list of sections" if children else "list"
    if value.get("type") == "object" or children:
        named = "patternProperties" in value or isinstance(value.get("additionalProperties"), dict)
        return "names with sections" if named and children else "names with values" if named else "section"
    kinds = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true`, `false`"}
    kind = kinds.get(str(value.get("type")), "text")
    return f"{kind}, at least {value['minimum']:g}" if value.get("minimum", 0) >= 1 else kind


_WIDEST = {"0s", "3660d", "0%", "100%", "1B", "1048576GiB"}
"""Bounds that go without saying."""


def _quantity(value: Schema) -> str:
    """`duration from 10ms to 1h`: what is written, with the bounds that do not go without saying."""
    bounds = [
        f"{word} {value[key]}"
        for key, word in (("x-at-least", "from"), ("x-above", "above"), ("x-at-most", "to"), ("x-below", "below"))
        if key in value and not (key.startswith("x-at-") and value[key] in _WIDEST)
    ]
    return " ".join([value["x-quantity"], *bounds])


def _default(value: Schema, children: list[tuple[str, str, Schema]]) -> str:
    if "default" not in value:
        return "the defaults below" if children else "none"
    default = value["default"]
    if default is None or default in ("", [], {}):
        return "none"
    if children:
        return "the defaults below"
    return f"`{json.dumps(default) if isinstance(default, bool | list) else default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# The metrics.

_SOURCES = (("Exporter", "exporter"), ("Receiver", "alertmanager"), ("Both", "canary"))


def metrics_page() -> str:
    """Every series that exporter and receiver publish, with its labels and its help text."""
    lines = [_METRICS_HEAD]
    for title, package in _SOURCES:
        lines += [f"## {title}", "", "| series | kind | labels | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{name}` | {kind} | {_labels(name)} | {_cell(text)} |"
            for name, (kind, text) in sorted(published(package).items())
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _labels(name: str) -> str:
    return ", ".join(f"`{label}`" for label in names.LABELS.get(name, ())) or "none"


def published(package: str) -> dict[str, tuple[str, str]]:
    """Kind and help text of every series that a package's code makes, wherever a name is followed by its text."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.Tuple) else []
            for name, text in itertools.pairwise(parts):
                series = _series(name)
                if series and isinstance(text, ast.Constant) and isinstance(text.value, str):
                    histogram = isinstance(node, ast.Call) and ast.unparse(node.func) == "Histogram"
                    kind = "histogram" if histogram else "counter" if series.endswith("_total") else "gauge"
                    found[series] = kind, text.value
    return found


def _series(node: ast.expr) -> str | None:
    """The metric that `names.SOMETHING`, or `names.SOMETHING` without its suffix, stands for."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == "names":
            value = getattr(names, inner.attr, None)
            if isinstance(value, str) and value.startswith("canary_"):
                return value
    return None


# The API.

_API_HEAD = f"""\
# API reference

{MADE}

The receiver's HTTP API, on `127.0.0.1:9878` unless told otherwise. It describes itself as OpenAPI 3.1 at
`/api/v1/openapi.json`. What reads is open to whoever reaches the port (behind `--web.config.file`, to whoever it lets
in); what changes needs `Authorization: Bearer TOKEN`, with the token of Alertmanager or of an operator. A command that
raises traffic says what its sender saw, as `If-Match` or `seen`; a command that is sent again with the same
`Idempotency-Key` is answered with the first result.
Besides: `/metrics`, `/-/healthy`, `/-/ready`, `/-/reload`, and a page for people at `/`.
"""


def api_page(api: Schema) -> str:
    """Every path of the receiver's API, from its own OpenAPI description."""
    schemas = api["components"]["schemas"]
    lines = [_API_HEAD]
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            lines += list(_operation(path, method, operation, schemas))
    lines += ["## Objects", ""]
    for name, schema in schemas.items():
        lines += [f"### {name}", ""]
        if "enum" in schema:
            lines += ["One of " + ", ".join(f"`{value}`" for value in schema["enum"]) + ".", ""]
            continue
        lines += ["| key | type | meaning |", "|---|---|---|"]
        for key, value in schema.get("properties", {}).items():
            lines.append(f"| `{key}` | {_kind(value)} | {_cell(value.get('description', ''))} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _operation(path: str, method: str, operation: Schema, schemas: Schema) -> Iterator[str]:
    yield f"## {method.upper()} {path}"
    yield ""
    token = next((key for need in operation.get("security", ()) for key in need), None)
    yield operation["summary"] + "." + (f" {operation['description']}" if "description" in operation else "")
    yield ""
    if token:
        yield from (f"Needs the token of the {token}.", "")
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    body = schemas[_kind(body)] if "$ref" in body else body
    rows = [(key, value, key in body.get("required", ())) for key, value in body.get("properties", {}).items()]
    rows += [(one["name"], {**one["schema"], **one}, one.get("required")) for one in operation.get("parameters", ())]
    if rows:
        yield "| key | type | meaning |"
        yield "|---|---|---|"
        for key, value, required in rows:
            meaning = value.get("description", "") + (" Required." if required else "")
            yield f"| `{key}` | {_kind(value)} | {_cell(meaning.strip())} |"
        yield ""
    for status, response in operation["responses"].items():
        schema = response.get("content", {}).get("application/json", {}).get("schema", {})
        gives = f" ({_kind(schema)})" if schema else ""
        yield f"* {status}: {response['description']}{gives}"
    yield ""


def _kind(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[1]
    if "anyOf" in schema:
        return " or ".join(_kind(option) for option in schema["anyOf"])
    kind = schema.get("type", "object")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def main() -> None:
    """Write every file whose text has changed."""
    for path, text in pages():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
