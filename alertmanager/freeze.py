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
    days = [":".join(_DAYS[day] for day in part.split("-")) for part in match["days"].split(",")]
    interval: dict[str, Any] = {"weekdays": days}
    if match["start"]:
        if not "00:00" <= match["start"] < match["end"] <= "24:00":
            raise GenerateError(
                f"receiver.freeze.{index}: expected a start before its end within a day, found {text!r}; "
                "write a night as two freezes"
            )
        interval["times"] = [{"start_time": match["start"], "end_time": match["end"]}]
    return interval
