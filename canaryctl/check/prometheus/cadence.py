"""How often jobs are really scraped and rules evaluated, held against what the policy's windows were made for.

A rate needs two samples within its window. A job that is scraped once a minute, Prometheus' own default, has none
within the windows of 15 and 30 s that `signals.scrape_interval: 5s` asks for: the rules load, promtool passes, nothing
ever fires, and a canary with 60 % errors looks like one without. No configuration is asked, as there may be several and
relabelling between them: the samples tell.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from canary.finding import Finding, failed, ok, warning
from canary.policy import Policy
from canary.prometheus import Prometheus, Rule
from canary.units import format_duration

# Enough for three samples of the slowest job that Prometheus does not forget between two of them.
_LOOKED_AT_SECONDS = 900

# Scrapes are a little late at times; half as often again is another interval.
_TOLERATED = 1.5


async def scraped_every(prometheus: Prometheus, job: str) -> float | None:
    """Seconds between two samples of a job's targets; None when nothing tells.

    Raises:
        RemoteError: Prometheus does not answer properly.
    """
    quoted = job.replace("\\", "\\\\").replace('"', '\\"')
    series = await prometheus.recorded(f'up{{job="{quoted}"}}[{_LOOKED_AT_SECONDS}s]', await prometheus.time())
    spaces = [later - earlier for one in series for (earlier, _), (later, _) in pairwise(one.points)]
    return median(spaces) if spaces else None


async def check_scrape(policy: Policy, prometheus: Prometheus, jobs: Sequence[str], words: str) -> list[Finding]:
    """Whether jobs whose counters are judged are scraped as often as the windows need.

    Raises:
        RemoteError: Prometheus does not answer properly.
    """
    expected = policy.signals.shop_interval
    key = "scrape_interval" if policy.signals.shop_scrape_interval is None else "shop_scrape_interval"
    found = []
    for job in jobs:
        every = await scraped_every(prometheus, job)
        if every is not None and every > _TOLERATED * expected:
            found.append(
                failed(
                    f"prometheus {prometheus.url}",
                    f"job {job} is scraped every {_shown(every)}, expected {format_duration(expected)} "
                    f"(signals.{key}); {words} are not judged within windows that hold no two samples",
                    f"scrape it every {format_duration(expected)}, or write signals.shop_scrape_interval: "
                    f"{_shown(every)} and a signals.window of at least {_shown(3 * every)}, and generate again",
                )
            )
    return found


async def check_sources(policy: Policy, prometheus: Prometheus, series: str, words: str) -> list[Finding]:
    """Whether exporter or receiver are scraped as often as decisions are expected to be made; later is no fault.

    Raises:
        RemoteError: Prometheus does not answer properly.
    """
    expected = policy.signals.scrape_interval
    jobs = [labels.get("job", "") for labels, _ in await prometheus.query(f"count by (job) ({series})")]
    intervals = [(job, await scraped_every(prometheus, job)) for job in sorted(jobs)]
    return [
        warning(
            f"prometheus {prometheus.url}",
            f"{words}, job {job}, is scraped every {_shown(every)}, expected {format_duration(expected)} "
            "(signals.scrape_interval); decisions come that much later",
            f"scrape it every {format_duration(expected)}",
        )
        for job, every in intervals
        if every is not None and every > _TOLERATED * expected
    ]


def check_evaluation(policy: Policy, prometheus: Prometheus, loaded: Sequence[Rule]) -> list[Finding]:
    """Whether the service's rules are evaluated as often as they were generated for.

    Args:
        loaded: one rule of each group that decides, and any of those that roll back for proven harm.
    """
    place, signals = f"prometheus {prometheus.url}", policy.signals
    every = {rule.group: rule.interval_seconds for rule in loaded}
    findings = []
    for group, seconds in sorted(every.items()):
        urgent = group.startswith("canary-fast-")
        expected = signals.fast_evaluation_interval if urgent else signals.evaluation_interval
        if seconds > _TOLERATED * expected:
            key = "verdict_interval" if urgent else "evaluation_interval"
            # Rollbacks for proven harm come later then; windows do not hang on it.
            say, then = (warning, "; rollbacks for proven harm come that much later") if urgent else (failed, "")
            what = f"group {group} is evaluated every {_shown(seconds)}, expected {format_duration(expected)}"
            remedy = "load the group as `canary generate` writes it, with its interval"
            findings.append(say(place, f"{what} (signals.{key}){then}", remedy))
    if findings:
        return findings
    return [
        ok(
            place,
            f"evaluates the alerts of service {policy.service} every {format_duration(signals.evaluation_interval)}",
        )
    ]


def _shown(seconds: float) -> str:
    return format_duration(float(round(seconds)) if seconds >= 1 else round(seconds, 2))
