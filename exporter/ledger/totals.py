"""From the ledgers' totals to the published counters, and which versions have series of their own."""

from collections.abc import Collection, Mapping, Sequence

from canary.policy.orders import Event
from canary.rollout.state import Rollout
from exporter.ledger.feed import Feed
from exporter.ledger.ledger import NOTHING, Key, Tally
from exporter.publish.counters import MAX_VERSIONS, Counters


def publish(
    counters: Counters, feeds: Sequence[Feed], events: Mapping[str, Event], rollout: Rollout | None
) -> Collection[str]:
    """Let the counters follow the ledgers; an event is published once its past is counted. Gives the kept versions."""
    kept = kept_versions(feeds, rollout)
    running = () if rollout is None else (rollout.stable, rollout.canary)
    totals: dict[str, dict[Key, Tally]] = {}
    for feed in feeds:
        if feed.stream.counted:
            together = totals.setdefault(feed.stream.event, {})
            for key, tally in feed.ledger.totals.items():
                held = together.get(key, NOTHING)
                together[key] = Tally(held.rows + tally.rows, held.millionths + tally.millionths)
    unfinished = {feed.stream.event for feed in feeds if feed.stream.counted and not feed.filled}
    for event, found in totals.items():
        if event not in unfinished:
            counters.follow(event, events[event], found, kept)
            counters.start(event, events[event], running)
    return kept


def kept_versions(feeds: Sequence[Feed], rollout: Rollout | None) -> set[str]:
    """The running rollout's versions and the most recently seen ones."""
    seen = {key.version: 0 for feed in feeds for key in feed.ledger.totals}
    kept = set() if rollout is None else {rollout.stable, rollout.canary}
    if len(seen) <= MAX_VERSIONS:
        return kept | seen.keys()
    for feed in feeds:
        for version, hour in feed.ledger.last_seen().items():
            seen[version] = max(seen.get(version, 0), hour)
    return kept | set(sorted(seen, key=lambda version: (-seen[version], version))[:MAX_VERSIONS])
