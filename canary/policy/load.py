"""From a policy file to a `Policy`: every fault at once, each with its line and a remedy."""

import dataclasses
import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from canary.errors import PolicyError
from canary.policy.consistency import inconsistencies
from canary.policy.document import Document, Location, read_document
from canary.policy.kpis import DEFAULT_KPIS, Kpi, events_of
from canary.policy.model import Policy
from canary.policy.orders import DEFAULT_EVENTS, Event

_ADAPTER: TypeAdapter[Policy] = TypeAdapter(Policy)

_EXPECTATIONS = {
    "string_type": "expected text",
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "dataclass_type": "expected a section with keys",
    "dict_type": "expected a section with keys",
    "tuple_type": "expected a list",
}


def load_policy(path: Path | str) -> Policy:
    """Read, check and complete a policy file.

    Raises:
        PolicyError: with one line per fault, `file:line: path: what was expected, what was found; hint`.
    """
    document = read_document(Path(path))
    return policy_from(document)


def policy_schema() -> dict[str, Any]:
    """The policy's keys as a JSON schema, for editors and for the reference page."""
    schema: dict[str, Any] = _ADAPTER.json_schema()
    return schema


def policy_from(document: Document) -> Policy:
    """The policy that a document describes, with defaults filled in.

    Raises:
        PolicyError: as `load_policy`.
    """
    data = dict(document.data)
    if isinstance(data.get("router"), dict):
        data["router"] = [data["router"]]
    faults = [document.fault(("base",), "unknown key")] if "base" in data else []
    try:
        policy = _ADAPTER.validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True)
        meant = [detail for detail in details if not _of_another_branch(document, detail)]
        faults += [_sentence(document, detail) for detail in meant or details]
        raise PolicyError(sorted(faults, key=_line)) from None  # the original would print the file's values
    kpis = policy.kpis or DEFAULT_KPIS
    completed = dataclasses.replace(
        policy,
        base=str(document.path.resolve().parent),
        kpis=kpis,
        database=dataclasses.replace(policy.database, events=_events(policy, kpis)),
    )
    faults += [document.fault(_unwrapped(document, place), text) for place, text in inconsistencies(completed)]
    if faults:
        raise PolicyError(sorted(faults, key=_line))
    return completed


def _events(policy: Policy, kpis: Mapping[str, Kpi]) -> dict[str, Event]:
    """The mapped events over the default schema's; who maps events keeps only the defaults that a KPI needs."""
    own = policy.database.events
    needed = {event for kpi in kpis.values() for event in events_of(kpi)}
    return {name: event for name, event in DEFAULT_EVENTS.items() if name in needed} | own


def _line(fault: str) -> int:
    return int(fault.split(":", 2)[1])


def _unwrapped(document: Document, location: Location) -> Location:
    """The location as the file has it: without the list around a single router."""
    if location[:2] == ("router", 0) and isinstance(document.data.get("router"), dict):
        return ("router", *location[2:])
    return location


def _sentence(document: Document, detail: ErrorDetails) -> str:
    location = _in_file(document, detail["loc"])
    found = document.sources.get(location)
    context = detail.get("ctx", {})
    match detail["type"]:
        case "unexpected_keyword_argument":
            text = "unknown key" + _did_you_mean(str(location[-1]), _keys(detail["loc"]))
        case "missing" | "missing_argument" | "missing_keyword_only_argument":
            text = "is required and missing"
        case "union_tag_invalid":
            location = (*location, "kind")
            found = document.sources.get(location)
            text = _choice(str(context["expected_tags"]), found)
        case "union_tag_not_found":
            text = "needs a key `kind`"
        case "literal_error":
            text = _choice(str(context["expected"]), found)
        case "value_error":
            text = str(context["error"])
        case "string_pattern_mismatch" if detail["loc"][-1] == "[key]":
            location = location[:-1]
            text = f"the name {location[-1]!r} does not fit {context['pattern']}"
        case "string_pattern_mismatch":
            text = f"found {found!r}, which does not fit {context['pattern']}"
        case "string_type" if found is not None:
            text = f'expected text, found {found}, which YAML reads as something else; write it quoted: "{found}"'
        case kind:
            text = _EXPECTATIONS.get(kind, detail["msg"][:1].lower() + detail["msg"][1:])
            text += f", found {found!r}" if found is not None else ""
    return document.fault(location, text)


def _choice(wanted: str, found: str | None) -> str:
    options = [option.strip(" '") for option in wanted.replace(" or ", ",").split(",")]
    return f"expected {wanted}, found {found!r}" + _did_you_mean(found or "", options, listed=False)


def _of_another_branch(document: Document, detail: ErrorDetails) -> bool:
    """Whether a fault belongs to a form of the value that the file does not use (text where it has a section)."""
    branch = str(detail["loc"][-1])
    scalar = _in_file(document, detail["loc"]) in document.sources
    if (branch == "str" and detail["type"] == "string_type") or branch.startswith("literal["):
        return not scalar
    return branch == "UrlGate" or (branch.startswith("dict[") and scalar)


def _in_file(document: Document, loc: tuple[str | int, ...]) -> Location:
    """pydantic's location without union tags: only steps that the file has, and a last one that it may lack."""
    unwrap = isinstance(document.data.get("router"), dict)
    place: Location = ()
    if loc not in document.lines and str(loc[-1]).startswith(("str", "literal[", "dict[")):
        loc = loc[:-1]
    for index, step in enumerate(loc):
        if unwrap and place == ("router",) and step == 0:
            continue
        if (*place, step) in document.lines or index == len(loc) - 1:
            place = (*place, step)
    return place


def _did_you_mean(word: str, options: list[str], *, listed: bool = True) -> str:
    near = difflib.get_close_matches(word, options, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(options)}" if listed and options else ""


def _keys(loc: tuple[str | int, ...]) -> list[str]:
    """The keys that the section around an unknown key has, found by walking the JSON schema."""
    schema: dict[str, Any] = _ADAPTER.json_schema()
    definitions = schema.get("$defs", {})
    node = schema
    for step in loc[:-1]:
        node = _descend(_resolve(node, definitions), step)
    return sorted(set(_resolve(node, definitions).get("properties", {})) - {"base"})


def _resolve(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        return _resolve(definitions[node["$ref"].rsplit("/", 1)[1]], definitions)
    if "allOf" in node:
        return _resolve(node["allOf"][0], definitions)
    options = [option for option in node.get("anyOf", []) if "$ref" in option]
    return _resolve(options[0], definitions) if options else node


def _descend(node: dict[str, Any], step: str | int) -> dict[str, Any]:
    if isinstance(step, int):
        items: dict[str, Any] = node.get("items", {})
        return items
    if node.get("title") == step:  # pydantic names the form of a union's value that it tried
        return node
    mapping = node.get("discriminator", {}).get("mapping", {})
    if step in mapping:
        return {"$ref": mapping[step]}
    values = next(iter(node.get("patternProperties", {}).values()), node.get("additionalProperties", {}))
    child = node.get("properties", {}).get(step, values)
    return child if isinstance(child, dict) else {}
