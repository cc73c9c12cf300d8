"""docs/reference-policy.md, from the policy's JSON schema: whatever the loader accepts is there, with its default."""

import json
from collections.abc import Iterator

from scripts.reference.cells import Schema, cell
from scripts.reference.commands import MADE

_POLICY_HEAD = f"""\
# Policy reference

{MADE}

Every key of `canary.yaml`. What a key means for your shop is told by the pages about the task; this page is for
looking things up. A duration is written `30s`, `5m`, `1h30m`; a percentage `10%`; a size `1MiB`; a version in quotes.
A value out of its bounds is refused, and so are unknown and repeated keys. Editors that know YAML schemas complete and
check the file when its first line is `# yaml-language-server: $schema=policy.schema.json`
([the schema](policy.schema.json)).
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
        if key in ("base", "technical"):
            continue
        place = f"{path}.{key}" if path else key
        children = list(_children(place, value, schema))
        inner += children
        missing = "is required" if key in node.get("required", ()) else _default(value, children)
        meaning = " ".join(value.get("description", "").split()) or _of_class(children)
        yield f"| `{key}` | {cell(meaning)} | {cell(_written(value, children))} | {cell(missing)} |"
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
    above, least, most = (value.get(key) for key in ("exclusiveMinimum", "minimum", "maximum"))
    begins = f" above {above:.12g}" if above is not None else "" if least is None else f" from {least:.12g}"
    if most is not None:
        return f"{kind}{begins} to {most:.12g}"
    return f"{kind}, at least {least:.12g}" if least is not None and least >= 1 else kind


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
