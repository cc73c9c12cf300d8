"""Durations, percentages and sizes as people write them: `5m`, `10%`, `1MiB`."""

import math
import re

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def parse_duration(text: str) -> float:
    """Seconds in a duration such as `90s`, `1h30m` or `250ms`.

    Raises:
        ValueError: the text is not a duration.
    """
    pieces = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhdw])", text)
    if not pieces or "".join(number + unit for number, unit in pieces) != text:
        raise ValueError(f"expected a duration such as 30s, 5m or 1h30m, found {text!r}")
    return sum(float(number) * _SECONDS[unit] for number, unit in pieces)


def format_duration(seconds: float) -> str:
    """The shortest exact writing that Prometheus takes, such as `90s` -> `1m30s`."""
    milliseconds = round(seconds * 1000)
    text = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            text += f"{count}{unit}"
    return text or "0s"


def parse_ratio(text: str) -> float:
    """The ratio in a percentage such as `5%` (0.05) or a plain number such as `0.05`.

    Raises:
        ValueError: the text is neither, or is not within 0 % and 100 %.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%?)", text.strip())
    if match is None:
        raise ValueError(f"expected a percentage such as 5%, found {text!r}")
    number = float(match[1])
    ratio = round(number / 100, 12) if match[2] else number
    if not 0 <= ratio <= 1:
        raise ValueError(f"expected a percentage from 0% to 100%, found {text!r}")
    return ratio


def format_ratio(ratio: float) -> str:
    """A share or a limit as it is written in a policy, without needless digits and exact: 0.05 -> `5%`."""
    return f"{ratio * 100:.10g}%"


def format_measured_ratio(ratio: float) -> str:
    """A ratio that was measured, to a hundredth of a percent: 0.97531 -> `97.53%`.

    Something is never shown as nothing, nor nearly all as all: 0.00001 -> `0.001%`, 0.99999 -> `99.999%`.
    """
    for digits in range(2, 10):
        text = f"{100 * ratio:.{digits}f}"
        if float(text) not in (0.0, 100.0) or float(text) == 100 * ratio:
            break
    return f"{text.rstrip('0').rstrip('.')}%"


def format_change(change: float | None) -> str:
    """A relative change with its sign: -0.123 -> `-12.3%`; `unknown` for none or nan, `unbounded` for infinity."""
    if change is None or math.isnan(change):
        return "unknown"
    return "unbounded" if math.isinf(change) else f"{change:+.1%}"


def parse_size(text: str) -> int:
    """Bytes in a size such as `1MiB` or `64KB`.

    Raises:
        ValueError: the text is not a size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]i?B|B)?", text.strip())
    if match is None:
        raise ValueError(f"expected a size such as 1MiB, found {text!r}")
    return round(float(match[1]) * _BYTES[match[2] or "B"])
