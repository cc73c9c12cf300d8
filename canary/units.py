"""Durations, percentages and sizes as people write them: `5m`, `10%`, `1MiB`.

Each has one grammar, a pattern, that both the parsers here and the policy's JSON schema use, so that an editor and the
loader cannot disagree about how a value is written. Digits are `[0-9]`, never `\\d`, which also means the digits of
other scripts, and never a power of ten, which nobody means when writing a time.
"""

import math
import re
from typing import Final

# As Prometheus writes durations, so that one text may be copied from a policy into a rule; no months or years, whose
# length varies.
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# Both kinds, each exactly what it says.
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"

DURATION_PATTERN: Final = rf"^(?:{_NUMBER}(?:ms|[smhdw]))+$"
RATIO_PATTERN: Final = rf"^{_NUMBER} ?%?$"
SIZE_PATTERN: Final = rf"^{_NUMBER} ?(?:[KMG]i?B|B)?$"


def parse_duration(text: str) -> float:
    """Seconds in a duration such as `90s`, `1h30m` or `250ms`.

    Raises:
        ValueError: the text is not a duration.
    """
    if re.fullmatch(DURATION_PATTERN.strip("^$"), text) is None:
        raise ValueError(f"expected a duration such as 30s, 5m or 1h30m, found {text!r}")
    pieces = re.findall(rf"({_NUMBER})(ms|[smhdw])", text)
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
    match = re.fullmatch(rf"({_NUMBER}) ?(%?)", text)
    if match is None:
        raise ValueError(f"expected a percentage such as 5%, found {text!r}")
    number = float(match[1])
    # 12 digits take back what dividing by 100 adds (0.07 would be 0.07000000000000001), and nothing that was written.
    ratio = round(number / 100, 12) if match[2] else number
    if not 0 <= ratio <= 1:
        raise ValueError(f"expected a percentage from 0% to 100%, found {text!r}")
    return ratio


def format_ratio(ratio: float) -> str:
    """A share or a limit as it is written in a policy, without needless digits and exact: 0.05 -> `5%`."""
    return f"{ratio * 100:.10g}%"


def format_measured_ratio(ratio: float, digits: int = 2) -> str:
    """A ratio that was measured, with *digits* after the point, so that columns align: 0.97531 -> `97.53%`.

    Something is never shown as nothing, nor nearly all as all: 0.00001 -> `0.001%`, 0.99999 -> `99.999%`.
    """
    # What ten digits cannot show is noise of the arithmetic.
    for more in range(digits, 10):
        text = f"{100 * ratio:.{more}f}"
        if float(text) not in (0.0, 100.0) or float(text) == 100 * ratio:
            break
    return f"{text}%"


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
    match = re.fullmatch(rf"({_NUMBER}) ?([KMG]i?B|B)?", text)
    size = float(match[1]) * _BYTES[match[2] or "B"] if match else math.inf
    if math.isinf(size):
        raise ValueError(f"expected a size such as 1MiB, found {text!r}")
    return round(size)


def format_size(size: int) -> str:
    """A size in the largest unit that leaves a whole number: 1048576 -> `1MiB`."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"
