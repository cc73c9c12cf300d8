"""docs/openapi.json and docs/reference/api.md, from the table of routes that the receiver answers by."""

from collections.abc import Iterator
from typing import Any

from alertmanager.receiver.http.api import Api
from alertmanager.receiver.http.ofrep import Ofrep
from alertmanager.receiver.http.routes.table import api_table, description_of
from scripts.reference.cells import Schema, cell
from scripts.reference.commands import MADE

# The table of routes is only read here: nobody stands behind its handlers.
_NOBODY: Any = None

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


def description() -> Schema:
    """The API as OpenAPI describes it."""
    return description_of(api_table(Api(_NOBODY, _NOBODY), Ofrep(_NOBODY, _NOBODY, _NOBODY)))


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
            lines.append(f"| `{key}` | {_kind(value)} | {cell(value.get('description', ''))} |")
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
            yield f"| `{key}` | {_kind(value)} | {cell(meaning.strip())} |"
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
