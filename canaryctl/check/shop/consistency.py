"""`canary check --data`: whether the rows that one version writes fit together worse than those of the others.

Each version is held against all others among the newest rows of the shop (`exporter.source.consistency.faults`), with
`evidence.alpha` split over all comparisons. While a rollout runs the exporter does the same with its two versions.
"""

from collections.abc import Iterable, Iterator

from canary.finding import Finding, ok, warning
from canary.units import format_ratio
from exporter.source.consistency.faults import Counts, RowFault, chance


def worse_versions(faults: Iterable[RowFault], alpha: float) -> Iterator[Finding]:
    """A warning for each version whose rows fit together worse; one line that says what was compared where none do.

    Args:
        faults: every way in which the newest rows may not fit together.
        alpha: error probability of all comparisons together.
    """
    compared = [(fault, counts) for fault in faults if len(counts := fault.counts()) > 1]
    comparisons = sum(len(counts) for _, counts in compared)
    found = [
        _told(fault, version, counts)
        for fault, counts in compared
        for version in counts
        if chance(version, counts) * comparisons <= alpha
    ]
    yield from found
    if compared and not found:
        versions = sorted({version for _, counts in compared for version in counts})
        listed = f"{', '.join(versions[:-1])} and {versions[-1]}"
        what = f"rows of {listed} fit together alike, compared in {len(compared)} ways"
        yield ok(compared[0][0].place, what)


def _told(fault: RowFault, version: str, counts: Counts) -> Finding:
    such, rows = counts[version]
    others, of = (
        sum(numbers) for numbers in zip(*(one for name, one in counts.items() if name != version), strict=True)
    )
    what = (
        f"{such} of {rows} {fault.event} of {version} ({_share(such, rows)}) {fault.words}, and {others} of {of} "
        f"({_share(others, of)}) of all others: more than chance explains"
    )
    return warning(fault.place, what, f"see what {version} writes there: the newest has the id {fault.newest(version)}")


def _share(count: int, of: int) -> str:
    return format_ratio(round(count / of, 3))
