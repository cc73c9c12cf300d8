"""Change freezes: those of the policy as Alertmanager's time intervals.

Both have one grammar (`canary.policy.freeze`); only the short form `mon-fri 18:00-24:00` changes its own.
"""

from typing import Any

from canary.policy import Policy
from canary.policy.freeze import Freeze, zone_of
from canary.policy.values.freezegrammar import WEEKDAYS, parse_short
from canary.policy.values.timeinterval import Span


def time_intervals(policy: Policy) -> list[dict[str, Any]]:
    """One named time interval per change freeze."""
    zone = policy.receiver.timezone
    zone = policy.receiver.timezone
    return [
        {"name": f"canary-{policy.service}-freeze-{index}", "time_intervals": [_located(freeze, zone)]}
        for index, freeze in enumerate(policy.receiver.freeze)
    ]


def _located(freeze: str | Freeze, shops: str) -> dict[str, Any]:
    interval = _of_short(freeze) if isinstance(freeze, str) else _interval(freeze)
    # Without a location Alertmanager means UTC; before 0.25 it did not know the key.
    location = zone_of(freeze, shops)
    return interval if location == "UTC" else {**interval, "location": location}


def _interval(freeze: Freeze) -> dict[str, Any]:
    ranges = {
        "weekdays": freeze.weekdays,
        "days_of_month": freeze.days_of_month,
        "months": freeze.months,
        "years": freeze.years,
    }
    times = [{"start_time": one.start_time, "end_time": one.end_time} for one in freeze.times]
    interval: dict[str, Any] = {"times": times} if times else {}
    return interval | {name: [part.replace(" ", "") for part in given] for name, given in ranges.items() if given}


def _of_short(text: str) -> dict[str, Any]:
    freeze = parse_short(text)
    interval: dict[str, Any] = {"weekdays": [_days(span) for span in freeze.weekdays]}
    if freeze.times:
        interval["times"] = [{"start_time": _clock(start), "end_time": _clock(end)} for start, end in freeze.times]
    return interval


def _days(span: Span) -> str:
    first, last = span
    return WEEKDAYS[first] if first == last else f"{WEEKDAYS[first]}:{WEEKDAYS[last]}"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
