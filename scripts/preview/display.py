"""From a value to what people see: units, words and colours as the field configuration says."""

import math
from dataclasses import dataclass
from typing import Any

TEXT = "#ccccdc"
"""The colour of Grafana's dark theme for text, as the colours in `graph` and `style.css` are."""

# Each from the largest unit down, with the words that Grafana writes; the first that the value reaches is taken.
_Scale = list[tuple[float, str]]
_SECONDS: _Scale = [(86400, " days"), (3600, " hours"), (60, " mins"), (1, " s"), (1e-3, " ms"), (1e-6, " µs")]
_BYTES: _Scale = [(2**40, " TiB"), (2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"), (1, " B")]
_SHORT: _Scale = [(1e9, " Bil"), (1e6, " Mil"), (1e3, " K"), (1, "")]


@dataclass(frozen=True)
class Shown:
    """A value's text and colour."""

    text: str
    colour: str


@dataclass(frozen=True)
class Field:
    """The field configuration of one series or column: the defaults with its overrides applied."""

    config: dict[str, Any]

    @property
    def custom(self) -> dict[str, Any]:
        """Properties of the kind of panel."""
        custom: dict[str, Any] = self.config.get("custom", {})
        return custom

    def show(self, value: float | str | None) -> Shown:
        """Text and colour of a value."""
        for mapping in self.config.get("mappings", []):
            key = value if isinstance(value, str) else "" if value is None or math.isnan(value) else f"{value:g}"
            if word := mapping["options"].get(key):
                return Shown(word["text"], word.get("color") or TEXT)
        if isinstance(value, str):
            return Shown(value, TEXT)
        if value is None or math.isnan(value):
            return Shown("", TEXT)
        return Shown(unit_text(value, self.config.get("unit", "none"), self.config.get("decimals")), self.colour(value))

    def colour(self, value: float) -> str:
        """The colour of a number, fixed or by thresholds."""
        colour = self.config.get("color", {})
        if colour.get("mode") == "fixed":
            fixed = str(colour["fixedColor"])
            return TEXT if fixed == "text" else fixed
        reached = [step["color"] for step in self.steps if step["value"] is None or value >= step["value"]]
        return reached[-1] if reached else TEXT

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The thresholds."""
        steps: list[dict[str, Any]] = self.config.get("thresholds", {}).get("steps", [])
        return steps


def field_of(panel: dict[str, Any], name: str, ref: str = "") -> Field:
    """The configuration of the series or column with this name, asked by the query *ref*."""
    source = panel["fieldConfig"]
    config = {**source["defaults"], "custom": dict(source["defaults"].get("custom", {}))}
    for override in source["overrides"]:
        matcher = override["matcher"]
        wanted = ref if matcher["id"] == "byFrameRefID" else name
        if matcher["options"] == wanted:
            for prop in override["properties"]:
                if prop["id"].startswith("custom."):
                    config["custom"][prop["id"].removeprefix("custom.")] = prop["value"]
                else:
                    config[prop["id"]] = prop["value"]
    return Field(config)


def unit_text(value: float, unit: str, decimals: int | None = None) -> str:
    """A number in one of the units that the dashboards use."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if unit == "percentunit":
        return f"{_plain(value * 100, decimals)}%"
    if unit == "dtdhms":
        return _duration(value)
    if unit == "s":
        return _scaled(value, decimals, _SECONDS)
    if unit == "bytes":
        return _scaled(value, decimals, _BYTES)
    if unit == "short":
        return _scaled(value, decimals, _SHORT)
    return _plain(value, decimals) + (" req/s" if unit == "reqps" else "")


def _plain(value: float, decimals: int | None) -> str:
    if decimals is None:
        size = abs(value)
        decimals = 0 if size >= 100 or size == 0 else 1 if size >= 10 else 2
        return f"{value:.{decimals}f}".rstrip("0").rstrip(".") if decimals else f"{value:.0f}"
    return f"{value:.{decimals}f}"


def _scaled(value: float, decimals: int | None, scale: _Scale) -> str:
    for size, name in scale:
        if abs(value) >= size:
            return _plain(value / size, decimals) + name
    return _plain(value, decimals) + (" s" if scale is _SECONDS else scale[-1][1])


def _duration(seconds: float) -> str:
    whole = round(seconds)
    days, rest = divmod(whole, 86400)
    clock = f"{rest // 3600:02d}:{rest % 3600 // 60:02d}:{rest % 60:02d}"
    return f"{days} d {clock}" if days else clock
