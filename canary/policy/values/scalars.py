"""How a scalar of the policy is read, bounded and described: the mechanism under `canary.policy.values.types`.

A type of the policy is the only place that says what its values may be. From one declaration come three things: what
the loader accepts, the sentence that a person reads when it does not, and the JSON schema by which an editor warns
before anything is loaded. A bound next to the type, checked by hand somewhere later, was tried and forgotten for 30 of
43 durations: `router.timeout: 0s` and `gate.interval: 0s` were valid, and disarmed the guard.

Two kinds of scalar have a grammar of their own:

* `Quantity`, a number written with its unit (`5m`, `10%`, `1MiB`). JSON schema can bound numbers, not texts that mean
  numbers, so that the bounds stand in the schema under `x-at-least`, `x-above`, `x-at-most` and `x-below`, written as a
  person would write the value. Every other bound of a text is part of its pattern.
* `Grammar`, a text with a pattern (a URL, an address). The pattern is the whole truth wherever it can be; where it
  cannot (the order of two times of day, the host bits of a network), *check* sees what has passed the pattern.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema
from pydantic_core.core_schema import ValidationInfo

_SHOWN = 60
"""Characters of a faulty value that a message quotes: enough to find it, and one line whatever the file holds."""

BASE_UNITS: Final = "base units"
"""The context in which quantities are plain numbers of base units, as the journal keeps a plan. They are taken as they
stand there: what an earlier version allowed must still be read when bounds have become narrower."""


class UnfitError(ValueError):
    """A value is not what its type asks for; pydantic collects it, the loader gives it its line.

    Args:
        what: what was expected and found.
        remedy: what to write instead.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


# A faulty address may hold a password, and a fault goes into logs: whatever stands before an `@` is left out.
_CREDENTIALS = re.compile(r"//[^\s]*@")


def shown(value: object) -> str:
    """A faulty value as a message quotes it, without credentials, and cut when it is long."""
    text = _CREDENTIALS.sub("//***@", repr(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


@dataclass(frozen=True, slots=True)
class Unit:
    """How one kind of quantity is written.

    Attributes:
        noun: what a message calls it.
        parse: from text to base units; raises ValueError.
        write: from base units to text.
        pattern: what *parse* takes, as far as a pattern can tell.
        example: for messages, editors and the reference page.
        bare: whether a number without a unit is taken as well.
    """

    noun: str
    parse: Callable[[str], float]
    write: Callable[[Any], str]
    pattern: str
    example: str
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a unit, within bounds.

    Attributes:
        at_least, at_most: the bounds, which are allowed themselves.
        above, below: whether the lower and the upper bound are not allowed themselves.
    """

    unit: Unit
    at_least: float
    at_most: float
    above: bool = False
    below: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take the text (or the bare number), give the number in base units."""
        return core_schema.with_info_plain_validator_function(self._validated)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """For editors: the pattern of a text, the bounds of a bare number, and the bounds as a person writes them."""
        written: dict[str, Any] = {
            "type": ["string", "number"] if self.unit.bare else "string",
            "pattern": self.unit.pattern,
            "x-quantity": self.unit.noun,
            "x-above" if self.above else "x-at-least": self.unit.write(self.at_least),
            "x-below" if self.below else "x-at-most": self.unit.write(self.at_most),
            "examples": [self.unit.example],
        }
        if self.unit.bare:
            written["exclusiveMinimum" if self.above else "minimum"] = self.at_least
            written["exclusiveMaximum" if self.below else "maximum"] = self.at_most
        return written

    def _validated(self, value: object, info: ValidationInfo) -> float:
        if info.context == BASE_UNITS and isinstance(value, int | float) and not isinstance(value, bool):
            return value
        return self.read(value)

    def read(self, value: object) -> float:
        """The number in base units.

        Raises:
            UnfitError: it is no such quantity, or is out of bounds.
        """
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        if self.unit.bare and plain:
            number = float(cast("float", value))
        elif plain or isinstance(value, str):
            number = self.unit.parse(str(value))
        else:
            raise UnfitError(f"expected a {self.unit.noun} such as {self.unit.example}, found {shown(value)}")
        low = number > self.at_least if self.above else number >= self.at_least
        high = number < self.at_most if self.below else number <= self.at_most
        if not (low and high):
            raise UnfitError(f"expected {self._range()}, found {shown(value)}")
        return number

    def _range(self) -> str:
        low = f"{'more than ' if self.above else ''}{self.unit.write(self.at_least)}"
        return f"a {self.unit.noun} from {low} to {'less than ' if self.below else ''}{self.unit.write(self.at_most)}"


@dataclass(frozen=True, slots=True)
class Grammar:
    """A text with a pattern.

    Attributes:
        noun: what a message calls it, with its article: `an address`.
        pattern: what the whole text must match; written for both Python and JSON schema (ECMAScript).
        example: for messages and editors.
        check: sees a text that matches the pattern; raises UnfitError, or ValueError, when something else is wrong.
        remedy: what to write instead, when the example does not say it.
        bare: whether a whole number is taken as the text that it is.
    """

    noun: str
    pattern: str
    example: str
    check: Callable[[str], object] | None = None
    remedy: str = ""
    bare: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take a text, give it back unchanged."""
        text = core_schema.str_schema(strict=True)
        return core_schema.no_info_after_validator_function(
            self.read, core_schema.no_info_before_validator_function(_text, text) if self.bare else text
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """For editors: the pattern."""
        return {
            "type": ["string", "integer"] if self.bare else "string",
            "pattern": f"^(?:{self.pattern})$",
            "examples": [self.example],
        }

    def read(self, value: str) -> str:
        """The text.

        Raises:
            UnfitError: it does not fit.
        """
        if re.fullmatch(self.pattern, value) is None:
            raise UnfitError(f"expected {self.noun} such as {self.example}, found {shown(value)}", self.remedy)
        if self.check is not None:
            self.check(value)
        return value


def _text(value: object) -> object:
    """A whole number as text: YAML reads `15` as one, whatever it is meant as."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
