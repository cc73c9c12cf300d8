"""OpenAPI 3.1, made from the table of routes: what is described is what is checked, and nothing else.

A file that was kept by hand went out of step: it had keys per command, while the code took all keys for all commands.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from canary.web.routes.table import Answer, Role, Route, Table

Schema = dict[str, Any]

_REFERENCE = "#/components/schemas/{model}"


@dataclass(frozen=True)
class Scheme:
    """A role's token, as OpenAPI names it."""

    name: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a service says about its API as a whole.

    Attributes:
        server: where it listens unless told otherwise.
        fault: type of a refusal's JSON.
        limit: where the limit of bodies comes from.
        schemes: the tokens, by the role that they open.
    """

    title: str
    description: str
    server: str
    fault: Any
    limit: str
    schemes: Mapping[Role, Scheme]


def openapi(table: Table, about: Description) -> Schema:
    """The description of every route that has an operation's id."""
    routes = [route for route in table if route.operation]
    writer = _Writer(about, routes)
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(route.plain_path, {})[route.method.lower()] = writer.operation(route)
    schemes = {
        scheme.name: {"type": "http", "scheme": "bearer", "description": scheme.description}
        for scheme in about.schemes.values()
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": about.title,
            "version": "1",
            "description": about.description,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": about.server}],
        "paths": paths,
        "components": {"securitySchemes": schemes, "schemas": writer.schemas},
    }


class _Writer:
    """Writes operations; types that several of them name are described once."""

    def __init__(self, about: Description, routes: Sequence[Route]) -> None:
        self._about = about
        types = [answer.schema for route in routes for answer in route.answers.values() if answer.schema is not None]
        adapters: dict[str, TypeAdapter[Any]] = {repr(one): TypeAdapter(one) for one in (about.fault, *types)}
        bodies = {route.body for route in routes if route.body is not None}
        found, described = TypeAdapter.json_schemas(
            [(key, "serialization", adapter) for key, adapter in adapters.items()], ref_template=_REFERENCE
        )
        models, wanted = models_json_schema(
            [(body, "validation") for body in sorted(bodies, key=lambda body: body.__name__)],
            ref_template=_REFERENCE,
        )
        self._answers = {key: schema for (key, _), schema in found.items()}
        self._bodies = {body: schema for (body, _), schema in models.items()}
        exact = {name: _exact(schema) for name, schema in described.get("$defs", {}).items()}
        definitions = {**exact, **wanted.get("$defs", {})}
        self.schemas = {name: _plain(schema) for name, schema in sorted(definitions.items())}

    def operation(self, route: Route) -> Schema:
        """One method of one path."""
        written: Schema = {"operationId": route.operation, "summary": route.summary}
        if route.description:
            written["description"] = route.description
        if route.role in self._about.schemes:
            written["security"] = [{self._about.schemes[route.role].name: []}]
        if parameters := list(_parameters(route)):
            written["parameters"] = parameters
        if route.body is not None:
            content = {"schema": self._bodies[route.body]}
            written["requestBody"] = {
                "required": any(field.is_required() for field in route.body.model_fields.values()),
                "content": dict.fromkeys(route.types or ("application/json",), content),
            }
        answers = {**self._refusals(route), **route.answers}
        written["responses"] = {str(int(status)): self._response(answer) for status, answer in sorted(answers.items())}
        return written

    def _refusals(self, route: Route) -> dict[int, Answer]:
        """What every route with its role and its body answers."""
        fault = self._about.fault
        found: dict[int, Answer] = {}
        if route.role.bearer:
            found[HTTPStatus.UNAUTHORIZED] = Answer("No token, or a wrong one.", fault)
        if route.own_name is not None:
            found[HTTPStatus.FORBIDDEN] = Answer(
                "No token is set, and the host is none of this machine's names.", fault
            )
        if route.takes_body:
            found[HTTPStatus.BAD_REQUEST] = Answer("Not JSON, an unknown key, or a value that does not fit.", fault)
            found[HTTPStatus.REQUEST_ENTITY_TOO_LARGE] = Answer(f"The body is larger than {self._about.limit}.", fault)
        if route.query is not None:
            found[HTTPStatus.BAD_REQUEST] = Answer("An unknown key, or a value that does not fit.", fault)
        if route.types:
            found[HTTPStatus.UNSUPPORTED_MEDIA_TYPE] = Answer(f"Not `{'`, `'.join(route.types)}`.", fault)
        return found

    def _response(self, answer: Answer) -> Schema:
        if answer.schema is None:
            return {"description": answer.description}
        content = {"application/json": {"schema": self._answers[repr(answer.schema)]}}
        return {"description": answer.description, "content": content}


def _parameters(route: Route) -> Iterator[Schema]:
    for name, expression in route.parts.items():
        pattern = {"pattern": f"^{expression}$"} if expression else {}
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", **pattern}}
    for place, model in (("query", route.query), ("header", route.headers)):
        yield from _fields(place, model) if model is not None else ()


def _fields(place: str, model: type[BaseModel]) -> Iterator[Schema]:
    schema = _plain(model.model_json_schema())
    for name, field in schema["properties"].items():
        title = "-".join(word.capitalize() for word in name.split("_")) if place == "header" else name
        kind = {key: value for key, value in field.items() if key not in ("description", "default")}
        if isinstance(kind["type"], list):
            kind["type"] = kind["type"][0]  # left out rather than null
        yield {
            "name": title,
            "in": place,
            "required": name in schema.get("required", ()),
            "description": field.get("description", ""),
            "schema": kind,
        }


def _exact(schema: Schema) -> Schema:
    """An answer has the keys that are named and no others: this program makes it."""
    return {**schema, "additionalProperties": False} if "properties" in schema else schema


def _plain(schema: Any) -> Any:
    """A schema without titles that only repeat a key, and with *or nothing* as a type, not as an alternative."""
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _plain(value) for key, value in schema.items() if not (key == "title" and isinstance(value, str))}
    if "description" in kept and isinstance(kept["description"], str):
        kept["description"] = re.sub(r"\s+", " ", kept["description"].split("\n\n")[0]).strip()
    options = kept.get("anyOf", ())
    if len(options) == 2 and options[1] == {"type": "null"} and "type" in options[0]:
        del kept["anyOf"]
        return {**options[0], **kept, "type": [options[0]["type"], "null"]}
    return kept
