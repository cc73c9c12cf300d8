"""The shapes of Prometheus' answers, as pydantic checks them.

They are the whole of what is relied on. Keys that are not named are ignored, because servers that speak this API add
their own.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from canary.prometheus.alert import clean
from canary.timing.times import from_text

# As Prometheus writes the value of a sample, and nothing else that Python would take for a number.
_NUMBER = re.compile(r"NaN|[+-]?Inf|[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")


def _number(text: Any) -> float:
    if not isinstance(text, str) or _NUMBER.fullmatch(text) is None:
        raise ValueError("expected a number as text")
    return float(text)


def _moment(text: Any) -> datetime | None:
    """A moment in RFC 3339; Prometheus' nine digits after the point are more than Python keeps."""
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        raise ValueError("expected a moment as text")  # noqa: TRY004  # pydantic takes no TypeError
    try:
        return from_text(text)
    except OverflowError as error:
        raise ValueError("expected a moment that there is") from error


# The end of the year 9999, beyond which Python has no moments.
LAST_MOMENT = 253_402_300_799

Text = Annotated[str, AfterValidator(clean)]
Labels = dict[Text, Text]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]
_Value = Annotated[float, BeforeValidator(_number)]
_UnixSeconds = Annotated[float, Field(ge=-LAST_MOMENT, le=LAST_MOMENT, allow_inf_nan=False)]
_Point = tuple[_UnixSeconds, _Value]


class Shape(BaseModel):
    """A part of an answer: strict, so that a number is never taken for a text, and blind to keys that nobody needs."""

    model_config = ConfigDict(strict=True, extra="ignore", alias_generator=to_camel)


class Answer(Shape):
    """What every answer has around its data."""

    status: Literal["success"]
    warnings: list[Text] | None = None
    is_partial: bool = False
    """VictoriaMetrics' word for an answer that lacks series."""


class VectorOne(Shape):
    """A series of an instant vector. One with a native histogram has no value, and is not understood."""

    metric: Labels
    value: _Point


class MatrixOne(Shape):
    """A series with its values over time."""

    metric: Labels
    values: list[_Point]


class Vector(Shape):
    """The value of most expressions."""

    result_type: Literal["vector"]
    result: list[VectorOne]


class Scalar(Shape):
    """The value of `time()` and other plain numbers."""

    result_type: Literal["scalar"]
    result: _Point


class Matrix(Shape):
    """The value of a range selector, and of every expression over time."""

    result_type: Literal["matrix"]
    result: list[MatrixOne]


class Query(Answer):
    """`query` and `query_range`."""

    data: Annotated[Vector | Scalar | Matrix, Field(discriminator="result_type")]


class AlertsOne(Shape):
    """An alert that is pending or fires."""

    labels: Labels
    # Servers written in Go answer null for a list or a map that is empty.
    annotations: Labels | None = None
    state: str
    active_at: Moment = None


class AlertsData(Shape):
    """The list of alerts."""

    alerts: list[AlertsOne] | None


class Alerts(Answer):
    """`alerts`."""

    data: AlertsData


class RulesOne(Shape):
    """A rule of either kind; `duration` is an alert's."""

    name: Text
    query: str
    labels: Labels | None = None
    duration: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    last_error: str = ""


class RulesGroup(Shape):
    """A group of rules."""

    name: Text
    interval: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    rules: list[RulesOne] | None


class RulesData(Shape):
    """The list of groups."""

    groups: list[RulesGroup] | None


class Rules(Answer):
    """`rules`."""

    data: RulesData


QUERY = TypeAdapter(Query)
ALERTS = TypeAdapter(Alerts)
RULES = TypeAdapter(Rules)
