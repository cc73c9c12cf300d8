"""Whose series the technical signals are: those of one job, scraped often enough for the windows that judge them.

A metric's name belongs to nobody. Of two applications in one Prometheus that both count `http_requests_total` by
version, the one's errors roll the other's canary back, and its requests hide a bad one. So a signal whose series come
from several jobs is refused, unless the policy itself names the jobs; and so is one that has no series at all, for a
rollout would be held at once.
"""

from collections.abc import Iterator
from typing import NamedTuple

import promql_parser

from canary.finding import Finding, failed, ok, warning
from canary.policy import Policy
from canary.prometheus import Prometheus
from canary.prometheus.promql import matchers, parse
from canary.units import format_duration
from canaryctl.check.prometheus.cadence import check_scrape


class _Signal(NamedTuple):
    """One of the shop's series that rules read.

    Attributes:
        words: what it is called in a finding.
        series: its selector.
        counted: whether windows are taken of it.
        needed: whether a rollout is held without it.
        remedy: what to do when there is none.
    """

    words: str
    series: str
    counted: bool
    needed: bool
    remedy: str


async def check_shop_series(policy: Policy, prometheus: Prometheus, *, windows: bool = True) -> list[Finding]:
    """Whether errors and response times are those of this service, and, with *windows*, can be judged within theirs.

    Raises:
        RemoteError: Prometheus does not answer properly.
    """
    place = f"prometheus {prometheus.url}"
    if not policy.technical:
        what = "errors and response times are not watched, the KPIs alone decide: the policy has no `signals` section"
        return [warning(place, what, "`signals: {}` watches http_requests_total; see docs/operate/rules.md")]
    found = [await _judged(policy, prometheus, place, signal, windows) for signal in _signals(policy)]
    return [finding for findings in found for finding in findings]


async def _judged(policy: Policy, prometheus: Prometheus, place: str, signal: _Signal, windows: bool) -> list[Finding]:
    jobs = sorted(labels.get("job", "") for labels, _ in await prometheus.query(f"count by (job) ({signal.series})"))
    if not jobs:
        say = failed if signal.needed else warning
        return [say(place, f"does not scrape {signal.words}: `count({signal.series})` has no series", signal.remedy)]
    if len(jobs) > 1 and not _names_jobs(policy.shop_selector):
        told = ", ".join(job or "(none)" for job in jobs[:5]) + (f" and {len(jobs) - 5} more" if len(jobs) > 5 else "")
        what = f"{signal.words} would be judged by series of {len(jobs)} jobs: {told}"
        chosen = f"""'job="{jobs[0] or policy.service}"'"""
        return [failed(place, what, f"let signals.selector name those of {policy.service}, such as {chosen}")]
    if windows and signal.counted:
        if seldom := await check_scrape(policy, prometheus, jobs, signal.words):
            return seldom
        window = format_duration(policy.signals.window)
        if not await prometheus.query(f"count(increase({signal.series}[{window}]))"):
            what = f"has no two samples of {signal.words} within {window}: they have only just begun, or are too seldom"
            return [failed(place, what, "wait for two scrapes; let signals.scrape_interval be what Prometheus does")]
    return [ok(place, f"scrapes {signal.words}")]


def _names_jobs(selector: str) -> bool:
    """Whether the policy says itself which jobs are the service's."""
    tree = parse(f"{{{selector}}}") if selector.strip() else None
    return isinstance(tree, promql_parser.VectorSelector) and "job" in matchers(tree)


def _signals(policy: Policy) -> Iterator[_Signal]:
    return _of_haproxy(policy) if policy.signals.preset == "haproxy" else _of_application(policy)


def _of_haproxy(policy: Policy) -> Iterator[_Signal]:
    backend = policy.signals.canary_backend
    yield _Signal(
        f"HAProxy's backend {backend}",
        _select(policy, "haproxy_backend_http_responses_total", f'proxy="{backend}"'),
        counted=True,
        needed=True,
        remedy=(
            "let a frontend of HAProxy serve its metrics, and name it in signals.haproxy_targets;"
            " see docs/operate/rules.md"
        ),
    )


def _of_application(policy: Policy) -> Iterator[_Signal]:
    signals, label = policy.signals, policy.signals.version_label
    versioned = f'{label}!=""'
    yield _Signal(
        "the shop's requests",
        _select(policy, signals.requests, versioned),
        counted=True,
        needed=True,
        remedy=f"have the shop count its requests as {signals.requests} with a label {label}; "
        "see docs/first-rollout.md",
    )
    buckets = signals.duration if signals.histograms == "native" else f"{signals.duration}_bucket"
    yield _Signal(
        "the shop's response times",
        _select(policy, buckets, versioned),
        counted=False,
        needed=signals.critical.enabled,
        remedy=f"have the shop measure them in the histogram {signals.duration} with a label {label}, or name its own "
        "in signals.duration",
    )
    if signals.query_duration:
        queries = signals.query_duration if signals.histograms == "native" else f"{signals.query_duration}_bucket"
        yield _Signal(
            "the shop's queries to its database",
            _select(policy, queries, versioned),
            counted=False,
            needed=False,
            remedy=f"have the shop measure them in the histogram {signals.query_duration} with a label {label}, or "
            "leave signals.query_duration out",
        )
    if signals.connection_errors:
        yield _Signal(
            "the shop's failed database connections",
            _select(policy, signals.connection_errors, versioned),
            counted=False,
            needed=False,
            remedy=f"have the shop count them as {signals.connection_errors}, or say signals.connection_errors: ''",
        )


def _select(policy: Policy, metric: str, matcher: str) -> str:
    return f"{metric}{{{','.join(filter(None, (policy.shop_selector, matcher)))}}}"
