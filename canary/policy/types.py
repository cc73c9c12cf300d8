"""The scalar types of a policy and how they are read from YAML."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic_core import CoreSchema, core_schema

from canary.units import parse_duration, parse_ratio, parse_size

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def section(cls: type[T]) -> type[T]:
    """Make a class one section of the policy: frozen, keyword-only, unknown keys refused, docstrings as help."""
    config = ConfigDict(extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)
    cls.__pydantic_config__ = config  # type: ignore[attr-defined]  # pydantic reads it from plain dataclasses
    return dataclass(frozen=True, kw_only=True)(cls)


@dataclass(frozen=True)
class Written:
    """A number that people write as text with a unit; *parse* turns the text into base units."""

    parse: Callable[[str], float]
    example: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take the text (or a bare number, read as text), give the number."""
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, object]:
        """For editors: a text like the example."""
        return {"type": ["string", "number"], "examples": [self.example]}

    def _read(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"expected text such as {self.example}")  # noqa: TRY004  # pydantic collects ValueErrors
        return self.parse(str(value))


Seconds = Annotated[float, Written(parse_duration, "5m")]
"""A duration, written `90s`, `5m`, `1h30m`."""

Ratio = Annotated[float, Written(parse_ratio, "10%")]
"""A share of one, written `10%` or `0.1`."""

Factor = Annotated[float, Field(ge=1, allow_inf_nan=False)]
"""How many times as much: at least 1."""

Bytes = Annotated[int, Written(parse_size, "1MiB")]
"""A size, written `64KB`, `1MiB`."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""A name that becomes part of a metric name: lower-case letters, digits, underscores."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
"""A version or identifier: letters, digits, `.`, `_`, `+`, `-`; at most 64 characters."""

LabelName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
"""A Prometheus label name."""

MetricName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
"""A Prometheus metric name."""

Argv = Annotated[tuple[str, ...], "program and arguments; never passed through a shell"]
