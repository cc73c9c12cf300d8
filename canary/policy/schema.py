"""The policy as a JSON schema: for editors, for the reference page, and for the loader's own hints.

It is made from the same types that the loader reads with, so that what an editor underlines is what the loader refuses.
Three things are put right afterwards: the loader's own field, the single router that needs no list, and defaults, which
are written as a person would write them (`5m`, not 300).
"""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from canary.policy.model import Policy
from canary.units import format_duration, format_ratio, format_size

Schema = dict[str, Any]

_WRITERS: Final[dict[str, Callable[[Any], str]]] = {
    "duration": format_duration, "percentage": format_ratio, "size": format_size,
}  # fmt: skip


@functools.cache
def adapter() -> TypeAdapter[Policy]:
    """pydantic's reader and writer of policies; made on demand, because it loads the plug-ins of routers."""
    return TypeAdapter(Policy)


@functools.cache
def policy_schema() -> Schema:
    """The policy's keys as a JSON schema; made once and on demand, because making it takes longer than loading."""
    schema: Schema = adapter().json_schema()
    properties = schema["properties"]
    del properties["base"], properties["technical"]
    several = {key: properties["router"].pop(key) for key in ("type", "items")}
    properties["router"]["anyOf"] = [several, several["items"]]
    for section in (schema, *schema["$defs"].values()):
        for value in section.get("properties", {}).values():
            _write_default(value)
    return schema


def _write_default(value: Schema) -> None:
    """The default as it would stand in the file; none where it is a section, whose keys have their own."""
    default = value.get("default")
    quantity = next((form["x-quantity"] for form in (value, *value.get("anyOf", ())) if "x-quantity" in form), "")
    if isinstance(default, Mapping) or (isinstance(default, list) and default and isinstance(default[0], Mapping)):
        del value["default"]
    elif quantity and default is not None:
        value["default"] = _WRITERS[quantity](default)


def written(place: tuple[str | int, ...], value: Any, *, kind: str = "") -> str:
    """A value in base units as a person would write it at this place: 300 at `phases.0.duration` is `5m`.

    Args:
        place: keys and indices from the top.
        value: as the loaded policy has it.
        kind: of the KPI that the place is in; a floor is a share or a plain number.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        nodes = [policy_schema()]
        for step in place:
            nodes = [form for node in nodes for form in _forms(_descend(node, step), kind)]
        quantity = next((node["x-quantity"] for node in nodes if "x-quantity" in node), None)
        return _WRITERS[quantity](value) if quantity is not None else f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def _forms(node: Schema, kind: str) -> list[Schema]:
    """Every form that the value at a node may have, as far as the KPI's kind allows."""
    if "$ref" in node:
        return _forms(policy_schema()["$defs"][node["$ref"].rsplit("/", 1)[1]], kind)
    options = [*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())]
    if options:
        return [form for option in options for form in _forms(option, kind)]
    of_kind = node.get("properties", {}).get("kind", {}).get("const", kind)
    return [node] if of_kind == kind or not kind else []


def keys_at(loc: tuple[str | int, ...]) -> list[str]:
    """The keys that the section around pydantic's location *loc* has."""
    schema = policy_schema()
    definitions = schema["$defs"]
    node = schema
    for step in loc[:-1]:
        if str(step).startswith("tagged-union["):
            continue  # pydantic's name for the choice between the forms, of which the next step is one
        node = _descend(_resolve(node, definitions, step), step)
    return sorted(_resolve(node, definitions).get("properties", {}))


def _resolve(node: Schema, definitions: Schema, form: str | int = "") -> Schema:
    """The section that a node is; of several forms the one that pydantic names, else the first."""
    if "$ref" in node:
        return _resolve(definitions[node["$ref"].rsplit("/", 1)[1]], definitions)
    if "allOf" in node:
        return _resolve(node["allOf"][0], definitions)
    inner = [option for outer in node.get("anyOf", []) for option in outer.get("oneOf", (outer,))]
    options = [option for option in inner if "$ref" in option or "items" in option]
    named = [option for option in options if option.get("$ref", "").rsplit("/", 1)[-1] == form]
    return _resolve((named or options)[0], definitions) if options else node


def _descend(node: Schema, step: str | int) -> Schema:
    if isinstance(step, int):
        items: Schema = node.get("items", {})
        return items
    if node.get("title") == step:  # pydantic names the form of a union's value that it tried
        return node
    mapping = node.get("discriminator", {}).get("mapping", {})
    if step in mapping:
        return {"$ref": mapping[step]}
    values = next(iter(node.get("patternProperties", {}).values()), node.get("additionalProperties", {}))
    child = node.get("properties", {}).get(step, values)
    return child if isinstance(child, dict) else {}
