"""Change freezes: `mon-fri 18:00-24:00` of the policy as Alertmanager's time intervals."""

import re
from typing import Any

from canary.errors import GenerateError
from canary.policy import Policy

_DAYS = {
    "mon": "monday",
    "tue": "tuesday",
    "wed": "wednesday",
    "thu": "thursday",
    "fri": "friday",
    "sat": "saturday",
    "sun": "sunday",
}
_DAY = f"(?:{'|'.join(_DAYS)})"
_DAYS_TEXT = rf"{_DAY}(?:-{_DAY})?(?:,{_DAY}(?:-{_DAY})?)*"
_FREEZE = re.compile(rf"(?P<days>{_DAYS_TEXT})(?: (?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d))?")


def time_intervals(policy: Policy) -> list[dict[str, Any]]:
    """One named time interval per change freeze.

    Raises:
        GenerateError: a freeze cannot be read.
    """
    return [
        {"name": f"canary-{policy.service}-freeze-{index}", "time_intervals": [_interval(index, text)]}
        for index, text in enumerate(policy.receiver.freeze)
    ]


def _interval(index: int, text: str) -> dict[str, Any]:
    match = _FREEZE.fullmatch(text.strip().lower())
    if match is None:
        raise GenerateError(
            f"receiver.freeze.{index}: expected days and perhaps times, such as `sat,sun` or `mon-fri 18:00-24:00`, "
            f"found {text!r}"
        )
    interval: dict[str, Any] = {"weekdays": [days for part in match["days"].split(",") for days in _weekdays(part)]}
    if match["start"]:
        if not "00:00" <= match["start"] < match["end"] <= "24:00":
            raise GenerateError(
                f"receiver.freeze.{index}: expected a start before its end within a day, found {text!r}; "
                "write a night as two freezes"
            )
        interval["times"] = [{"start_time": match["start"], "end_time": match["end"]}]
    return interval


def _weekdays(part: str) -> list[str]:
    """`mon-fri` as Alertmanager's ranges; its week begins on Sunday, so that one may become two."""
    first, _, last = part.partition("-")
    if not last:
        return [_DAYS[first]]
    week = ("sun", *(day for day in _DAYS if day != "sun"))
    if week.index(first) <= week.index(last):
        return [f"{_DAYS[first]}:{_DAYS[last]}"]
    return [f"{_DAYS[first]}:saturday", f"sunday:{_DAYS[last]}"]
