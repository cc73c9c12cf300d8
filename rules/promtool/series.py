"""Series of many scrapes, and what may happen to all of them: a missed scrape, a restart."""

from collections.abc import Collection, Iterator

from canary.policy import Policy
from rules.promtool.values import STALE, Values, constant, counter, reset_at

Key = tuple[str, tuple[tuple[str, str], ...]]


class Series:
    """Series of *count* scrapes, *step* seconds apart; the rollout begins with scrape *begin*."""

    def __init__(self, policy: Policy, *, step: float, begin: int, count: int) -> None:
        self.policy = policy
        self.step = step
        self.count = count
        self.series: dict[Key, Values] = {}
        self.begin = begin

    def put(self, metric: str, values: float | Values, **labels: str) -> None:
        """Give a series these values; a number stays the same throughout. An empty label is none."""
        labels = {label: text for label, text in labels.items() if text}
        series = constant(values, self.count) if isinstance(values, float | int) else values
        self.series[(metric, tuple(sorted(labels.items())))] = series

    def drop(self, metric: str, **labels: str) -> None:
        """Take away the series of a metric, or those of them that have these labels."""
        self.series = {
            key: values
            for key, values in self.series.items()
            if key[0] != metric or not labels.items() <= dict(key[1]).items()
        }

    def keep(self, metrics: Collection[str]) -> None:
        """Take away the series of all other metrics."""
        self.series = {key: values for key, values in self.series.items() if key[0] in metrics}

    def from_begin(self, before: float | None, then: float) -> Values:
        """One value until the rollout begins, and another one from then on."""
        return [before] * self.begin + constant(then, self.count - self.begin)

    def end(self, metric: str, **labels: str) -> None:
        """Let these series be there until the rollout begins, and gone from then on."""
        for (name, own), values in self.series.items():
            if name == metric and labels.items() <= dict(own).items():
                values[self.begin :] = [STALE, *[None] * (self.count - self.begin - 1)]

    def counter(self, total: float, window: float) -> Values:
        """A counter that grows by *total* within a window, evenly."""
        return counter(total * self.step / window, self.count)

    def miss(self, index: int) -> None:
        """No target can be scraped at *index*."""
        for values in self.series.values():
            values[index] = STALE

    def reset(self, index: int) -> None:
        """All processes of the shop are restarted at *index*."""
        for (metric, _), values in self.series.items():
            if metric.endswith(("_total", "_bucket", "_count", "_sum")):
                values[:] = reset_at(values, index)

    def items(self) -> Iterator[tuple[str, Values]]:
        """Each series as PromQL writes it, with its values."""
        for (metric, labels), values in sorted(self.series.items()):
            inside = ",".join(f'{key}="{value}"' for key, value in labels)
            yield f"{metric}{{{inside}}}" if inside else metric, values
