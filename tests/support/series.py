"""Series written by hand or by a generator: kept by name and labels, and stored as OpenMetrics."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from canary import names

Values = npt.NDArray[np.float64]
Labels = tuple[tuple[str, str], ...]

STEP_SECONDS = 5
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, math.inf)


class Series:
    """Series of one service at *times* (seconds since the epoch); nan means that there is no sample.

    Those of exporter and receiver must have exactly the labels of the contract.
    """

    def __init__(self, service: str, times: Values) -> None:
        self.service = service
        self.times = times
        self.series: dict[str, dict[Labels, tuple[Values, Values]]] = {}

    def write(self, path: Path) -> None:
        """The story as OpenMetrics, for `promtool tsdb create-blocks-from openmetrics`."""
        with path.open("w", encoding="utf-8") as file:
            for name in sorted(self.series):
                file.write(f"# TYPE {name} unknown\n")
                for labels, (times, values) in self.series[name].items():
                    text = ",".join(f'{key}="{value}"' for key, value in labels)
                    known = ~np.isnan(values)
                    file.writelines(
                        f"{name}{{{text}}} {_number(value)} {time:.3f}\n"
                        for time, value in zip(times[known], values[known], strict=True)
                    )
            file.write("# EOF\n")

    def own(
        self,
        name: str,
        labels: Mapping[str, str],
        values: Values | float = 1.0,
        times: Values | None = None,
    ) -> None:
        """A series of exporter or receiver; its labels are those of the contract."""
        expected = names.LABELS.get(name)
        assert expected is None or set(labels) == set(expected), f"{name} has {sorted(labels)}, expected {expected}"
        assert expected is not None or name.startswith(names.SHOP_PREFIX) or not labels, f"{name}: {labels}"
        key = labels_of({names.SERVICE: self.service, **labels})
        self.add(name, key, self.times if times is None else times, values)

    def shops(self, name: str, labels: Mapping[str, str], values: Values | float) -> None:
        """A series of the shop or its machine."""
        self.add(name, labels_of(labels), self.times, values)

    def add(self, name: str, key: Labels, times: Values, values: Values | float) -> None:
        """Keep a series; a second piece with other times (the day before) goes before the first."""
        values = np.broadcast_to(np.asarray(values, dtype=np.float64), times.shape)
        found = self.series.setdefault(name, {})
        if key in found and times[0] < found[key][0][0]:
            later = found[key]
            times, values = np.concatenate([times, later[0]]), np.concatenate([values, later[1]])
        found[key] = (times, values)

    def histogram(self, name: str, labels: Mapping[str, str], count: Values, scale_seconds: float) -> None:
        """The buckets of *count* exponentially distributed durations."""
        own = name.startswith("canary_")
        for bound in _BUCKETS:
            below = 1 - math.exp(-bound / scale_seconds)
            key = {**({names.SERVICE: self.service} if own else {}), **labels}
            self.shops(f"{name}_bucket", key | {"le": "+Inf" if math.isinf(bound) else str(bound)}, count * below)


def labels_of(labels: Mapping[str, str]) -> Labels:
    """Labels as a key."""
    return tuple(sorted(labels.items()))


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return f"{value:.10g}"
