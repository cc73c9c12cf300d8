"""What can be wrong with a version of the shop, adjustable while it runs."""

from dataclasses import dataclass, fields, replace
from typing import Self


@dataclass(frozen=True)
class Faults:
    """The faults of one shop process.

    Ratios are shares of requests (or payments) between 0 and 1; the latency is added to every page, in seconds.
    """

    payment_failure_ratio: float = 0.0
    error_ratio: float = 0.0
    dropped_checkout_ratio: float = 0.0
    latency_seconds: float = 0.0

    def changed(self, changes: object) -> Self:
        """These faults with some of them changed, as the control endpoint receives them.

        Raises:
            ValueError: not an object, an unknown fault, or a value out of range.
        """
        if not isinstance(changes, dict):
            raise ValueError(f"expected a JSON object of faults, found {changes!r}")  # noqa: TRY004 - bad data
        known = [field.name for field in fields(self)]
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"unknown fault {name!r}; expected one of {', '.join(known)}")
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ValueError(f"{name}: expected a number from 0 on, found {value!r}")
            if name.endswith("_ratio") and value > 1:
                raise ValueError(f"{name}: expected a ratio from 0 to 1, found {value!r}")
        return replace(self, **changes)


PATTERNS = {
    "payments": {"payment_failure_ratio": 0.6},
    "checkout": {"dropped_checkout_ratio": 0.9},
    "errors": {"error_ratio": 0.3},
    "latency": {"latency_seconds": 12.0},
}
"""The ways in which the demo's canary can go bad, by name."""
