"""Ten thousand policies written by the policy's own grammar, some right, most wrong: each is a policy or faults.

The grammar is the JSON schema that editors use, so a new key is tried on the day it appears. Every value is drawn from
what its place takes, from what another place takes, or from what attacks a parser.
"""

import random
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.errors import PolicyError
from canary.policy import load_policy
from canary.policy.schema import policy_schema

_SHARDS = 4
_PER_SHARD = 2_500

# What one policy may take of this process's own time: far above what the slowest does here, and below what a person
# who saved a file waits for.
_MOST_CPU_SECONDS = 2.0

# How often a place gets something that it does not take.
_WRONG = 0.08
_STRANGE_KEY = 0.03

_NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1e308, float("nan"), float("inf"), 10**30, "", " ", "~", "5m", "-5m", "10%", "-3%"),
    *(
        "1e999s",
        "٣%",
        "9" * 400,
        "x" * 400,
        "é",
        "\x07",
        "\x1b[31m",
        "\u202e",
        "\u2028",
        "\ud800",
        "a\nb",
        "{{ .Labels }}",
    ),
    *("${x}", "`id`", "$(id)", "; rm -rf /", "'; DROP TABLE orders; --", "../../etc/passwd", "file:///etc/passwd"),
    *("http://[::1", "http://u:p@h/", "http://h:99999999/", "postgresql://", "sqlite:///", "10.0.0.1:99999", "[::1]:1"),
    *("Europe", "Europe/Berlin", "2026-02-30", [], {}, [[]], [None], {"a": None}, ["x"] * 40, {"x" * 300: 1}, {"": ""}),
)


class _Writer:
    """Draws documents from the schema.

    Args:
        schema: the policy's JSON schema.
        chance: the shard's own randomness, so that a document that fails is drawn again.
    """

    def __init__(self, schema: dict[str, Any], chance: random.Random) -> None:
        self._schema = schema
        self._chance = chance

    def document(self) -> dict[str, Any]:
        """A policy's top level: a service, and some sections."""
        keys = self._chance.sample(sorted(self._schema["properties"]), self._chance.randint(1, 6))
        drawn = {key: self._value(self._schema["properties"][key], 0) for key in keys}
        return {"service": "shop", **drawn}

    def _value(self, schema: dict[str, Any], depth: int) -> Any:
        if self._chance.random() < _WRONG or depth > 6:
            return self._chance.choice(_NASTY)
        if "$ref" in schema:
            return self._value(self._schema["$defs"][schema["$ref"].rpartition("/")[2]], depth)
        for several in ("anyOf", "oneOf"):
            if several in schema:
                return self._value(self._chance.choice(schema[several]), depth)
        if "const" in schema or "enum" in schema:
            return self._chance.choice(schema.get("enum") or [schema["const"]])
        return self._of_type(schema, depth)

    def _of_type(self, schema: dict[str, Any], depth: int) -> Any:
        match schema.get("type"):
            case "object":
                return self._mapping(schema, depth)
            case "array":
                return [self._value(schema.get("items", {}), depth + 1) for _ in range(self._chance.randint(0, 3))]
            case "integer" | "number":
                return self._chance.choice([0, 1, 2, 5, 100, 0.5, -1, 10**9])
            case "boolean":
                return self._chance.random() < 0.5
            case "string":
                return self._chance.choice(
                    [
                        *schema.get("examples", ()),
                        schema.get("default"),
                        "5m",
                        "10%",
                        "1h",
                        "orders",
                        "created_at",
                        "v1",
                    ]
                )
            case _:
                return self._chance.choice(_NASTY)

    def _mapping(self, schema: dict[str, Any], depth: int) -> dict[Any, Any]:
        known = schema.get("properties", {})
        keys = [key for key in known if key in schema.get("required", ()) or self._chance.random() < 0.4]
        drawn: dict[Any, Any] = {key: self._value(known[key], depth + 1) for key in keys}
        more = schema.get("additionalProperties")
        if isinstance(more, dict):
            for name in self._chance.sample(["orders", "conversion_rate", "x", "payments", "v1"], 2):
                drawn[name] = self._value(more, depth + 1)
        if self._chance.random() < _STRANGE_KEY:
            drawn[self._chance.choice(["tabel", "x" * 200, "ké", 7, True, None, "a b"])] = self._chance.choice(_NASTY)
        return drawn


@pytest.mark.parametrize("shard", range(_SHARDS))
def test_whatever_the_grammar_writes_is_a_policy_or_faults(shard: int, tmp_path: Path) -> None:
    """No traceback, no fault without its place or with a line break, and nothing that takes long."""
    schema, path = policy_schema(), tmp_path / "canary.yaml"
    slowest = 0.0
    loaded = 0
    for number in range(_PER_SHARD):
        chance = random.Random(f"{shard}/{number}")  # repeatable
        text = yaml.safe_dump(_Writer(schema, chance).document(), allow_unicode=True)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        began = time.process_time()
        try:
            load_policy(path)
            loaded += 1
        except PolicyError as error:
            for fault in error.faults:
                assert fault.place, text
                assert fault.what, text
                assert len(str(fault).splitlines()) == 1, text
        except BaseException as error:
            error.add_note(f"of document {shard}/{number}:\n{text}")
            raise
        slowest = max(slowest, time.process_time() - began)

    assert slowest < _MOST_CPU_SECONDS
    assert loaded > 0, "a grammar of which nothing is right tries the first check only"
