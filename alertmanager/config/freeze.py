"""Change freezes: `mon-fri 18:00-24:00` of the policy as Alertmanager's time intervals.

The policy's loader has read them already (`canary.policy.freeze`); here they only change their form.
"""

from typing import Any

from canary.policy import Policy
from canary.policy.freeze import FreezeTimes, parse_freeze

_DAYS = {
    "sun": "sunday",
    "mon": "monday",
    "tue": "tuesday",
    "wed": "wednesday",
    "thu": "thursday",
    "fri": "friday",
    "sat": "saturday",
}
"""In the order of Alertmanager's week, which begins on Sunday."""


def time_intervals(policy: Policy) -> list[dict[str, Any]]:
    """One named time interval per change freeze."""
    return [
        {"name": f"canary-{policy.service}-freeze-{index}", "time_intervals": [_interval(parse_freeze(text))]}
        for index, text in enumerate(policy.receiver.freeze)
    ]


def _interval(freeze: FreezeTimes) -> dict[str, Any]:
    interval: dict[str, Any] = {
        "weekdays": [weekdays for first, last in freeze.days for weekdays in _weekdays(first, last)]
    }
    if freeze.start:
        interval["times"] = [{"start_time": freeze.start, "end_time": freeze.end}]
    return interval


def _weekdays(first: str, last: str) -> list[str]:
    """`mon-fri` as Alertmanager's ranges; one that goes over its week's end becomes two."""
    if first == last:
        return [_DAYS[first]]
    week = tuple(_DAYS)
    if week.index(first) <= week.index(last):
        return [f"{_DAYS[first]}:{_DAYS[last]}"]
    return [f"{_DAYS[first]}:saturday", f"sunday:{_DAYS[last]}"]
