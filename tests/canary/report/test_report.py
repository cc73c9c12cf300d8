"""The report of a rollout, from a real Prometheus, in every format."""

import base64
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.policy import Policy
from canary.policy.kpis import DEFAULT_KPIS
from canary.prometheus import Prometheus as Questions
from canary.report.data import json_report
from canary.report.drift import drifts
from canary.report.facts import KpiStory, Report
from canary.report.gather import gather, phases
from canary.report.html import html_report
from canary.report.markdown import markdown_report
from canary.report.past import PastKpi, PastReport
from canary.rollout.entries import Entry
from canary.rollout.kinds import Kind
from tests.support.clock import FakeClock
from tests.support.programs.ports import free_port
from tests.support.programs.prometheus import Prometheus
from tests.support.receiving.entries import entry as entry_of
from tests.support.stories.story import Story


@pytest.fixture
async def report(policy: Policy, entries: list[Entry], prometheus: Prometheus, story: Story) -> Report:
    """The report of the story."""
    return await gathered(policy, entries, prometheus.url, story.ends_at)


async def gathered(policy: Policy, entries: Sequence[Entry], url: str, now: float) -> Report:
    """The report made at *now*."""
    async with aiohttp.ClientSession() as http:
        clock = FakeClock(datetime.fromtimestamp(now, UTC))
        found = await gather(policy, entries, Questions(http, url), clock, past=())
    assert found is not None
    return found


async def test_it_tells_what_happened(report: Report, story: Story) -> None:
    """Outcome, phases as they were lived, alerts with their times, decisions without bookkeeping."""
    assert report.summary == "v2.0 against v1.0 was rolled back (CanaryPaymentSuccessDegraded)."
    assert [(phase.number, phase.traffic_ratio) for phase in report.phases] == [(1, 0.05), (2, 0.25), (3, 0.5)]
    assert (report.phases[0].until - report.phases[0].since) == timedelta(minutes=5)
    assert report.phases[-1].until.timestamp() == pytest.approx(story.at(story.proven))
    assert [entry.kind for entry in report.entries][-2:] == [Kind.ROLLBACK, Kind.ROLLED_BACK]
    told = {alert.name for alert in report.alerts}
    assert "CanaryPaymentSuccessDegraded" in {name.partition(" ")[0] for name in told}
    assert {"CanaryBlind (database)", "CanaryOutOfRange (payment_success_rate)"} <= told  # about what, of several
    assert report.gaps == []


async def test_it_tells_what_the_kpis_said_and_who_was_harmed(report: Report) -> None:
    """Each KPI has its band over time; harm is counted in the canary's own units, where harm was proven."""
    kpis = {kpi.name: kpi for kpi in report.kpis}
    payments = kpis["payment_success_rate"]

    assert payments.verdict == "fail"
    assert payments.harmed is not None
    assert payments.harmed > 1
    upper = dict(payments.upper)
    assert upper
    assert all(low <= upper[at] for at, low in payments.lower if at in upper)
    assert report.exposed["visits"] > 0
    assert kpis["average_order_value"].harmed is None
    assert report.advice[0].startswith("Payments:")


async def test_it_is_the_review(report: Report) -> None:
    """Requests, errors and response times by version, money with its band, and what others would have done."""
    technical = {one.name: one for one in report.review.technical}
    (money,) = report.review.money
    literal, flagger, argo = report.review.opinions
    texts = (html_report(report), markdown_report(report))

    requests, p95 = technical["Requests"], technical["Response time, p95"]
    assert requests.stable is not None
    assert requests.canary is not None
    assert requests.stable > requests.canary > 0
    assert p95.stable is not None
    assert p95.canary is not None
    assert 0 < p95.stable < p95.canary < 1
    assert money.currency == "EUR"
    assert money.lost.lower <= money.lost.expected <= money.lost.upper
    assert money.lost.expected > 0
    assert money.per_minute.expected > 0
    assert literal.at is not None
    assert literal.why == "conversion -100.0%, limit -10%"  # the first visitors have not had the time to order
    assert (flagger.at, argo.at) == (None, None)
    for text in texts:
        assert "Second opinion" in text
        assert f"{money.turnover:,.2f} EUR" in text
        assert "Failed database connections" in text


async def test_one_html_file_needs_nothing_else(report: Report) -> None:
    """No reference leads outside, every picture is SVG with words for those who cannot see it, texts stay texts."""
    page = html_report(report)

    assert page.count('class="wide" tabindex="0" role="region"') == page.count("<table") > 0  # scrolled by the keyboard
    pictures = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)"', page)

    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "@import" not in page
    assert "url(" not in page
    assert len(pictures) == 7
    for source, words in pictures:
        ET.fromstring(base64.b64decode(source))
        assert words
    assert "payments &lt;b&gt;fail&lt;/b&gt;" in page
    _Balanced().check(page)


class _Balanced(HTMLParser):
    """Fails on an element that is not closed in its turn."""

    _VOID = frozenset({"meta", "img", "br", "input", "link"})

    def check(self, page: str) -> None:
        """Read a whole page."""
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """One more is open."""
        if tag not in self._VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """The last one is closed."""
        assert self.open.pop() == tag


async def test_markdown_keeps_texts_from_becoming_formatting(report: Report) -> None:
    """Tables have as many cells as titles, and an alert's text cannot add one."""
    text = markdown_report(report)
    rows = [line for line in text.splitlines() if line.startswith("| ")]

    assert "payments \\<b\\>fail\\</b\\> \\| \\*often\\*" in text
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {4, 5, 9}
    assert text.startswith("# v2.0 against v1.0 was rolled back")


async def test_people_read_its_times_in_the_shops_zone(report: Report) -> None:
    """HTML and Markdown tell each moment where the shop is, with UTC next to it; JSON is UTC."""
    berlin = replace(report, zone="Europe/Berlin")
    began = report.rollout.started_at
    told = f"{began.astimezone(ZoneInfo('Europe/Berlin')):%Y-%m-%d %H:%M:%S} CET ({began:%H:%M:%S} UTC)"
    assert told in markdown_report(berlin)
    assert told in html_report(berlin)
    assert f"{began:%Y-%m-%d %H:%M:%S} UTC" in markdown_report(report)
    assert json_report(berlin) == json_report(report)


async def test_json_is_what_scripts_need(report: Report) -> None:
    """The same facts as data."""
    data = json.loads(json_report(report))

    assert data["state"] == "rolled_back"
    assert data["kpis"]["payment_success_rate"]["verdict"] == "fail"
    assert data["phases"][0]["seconds"] == 300
    assert data["kpis"]["payment_success_rate"]["relative_change"]


async def test_json_has_no_number_that_is_none(report: Report) -> None:
    """Past reports are people's: the next one stays JSON whatever they hold; null is without bound."""
    absurd = PastKpi("pass", None, [(0.0, 1e300)], [(0.0, -1.0)], [(0.0, 1e308)])
    past = PastReport("shop", "one", "v1", "v2", "finished", kpis={"conversion_rate": absurd})
    found = drifts(Policy(service="shop", kpis=DEFAULT_KPIS), [past])

    (drift,) = json.loads(json_report(replace(report, drift=found)), parse_constant=pytest.fail)["drift"]

    assert drift["change"] == {"expected": None, "lower": -1.0, "upper": None}


async def test_the_same_rollout_gives_the_same_file(
    report: Report, policy: Policy, entries: list[Entry], prometheus: Prometheus, story: Story
) -> None:
    """Pictures included: what is not different does not look different."""
    again = await gathered(policy, entries, prometheus.url, story.ends_at)

    assert html_report(again) == html_report(report)


async def test_without_prometheus_the_journal_still_tells(policy: Policy, entries: list[Entry], story: Story) -> None:
    """The gap is named in every format, and nothing is guessed."""
    report = await gathered(policy, entries, f"http://127.0.0.1:{free_port()}", story.ends_at)

    assert "Prometheus is unreachable" in report.gaps[0]
    for text in (html_report(report), markdown_report(report), json_report(report)):
        assert "Prometheus is unreachable" in text
        assert "rolled back" in text


async def test_a_rollout_that_still_runs_has_a_report_so_far(
    policy: Policy, entries: list[Entry], prometheus: Prometheus, story: Story
) -> None:
    """A report can be made at any time."""
    report = await gathered(policy, entries[:2], prometheus.url, story.at(15))

    assert report.summary == "v2.0 against v1.0 is running."
    assert "So far" in html_report(report)
    assert report.phases[-1].until.timestamp() == pytest.approx(story.at(15))


_HOURS = st.lists(st.floats(0, 100, allow_nan=False), min_size=1, max_size=4).map(sorted)


@given(hours=_HOURS, end=st.floats(0, 200, allow_nan=False))
def test_phases_follow_one_another_without_gaps(hours: list[float], end: float) -> None:
    """Whatever the times, each phase begins where the one before ends, and none ends before it began."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    started = {"stable": "a", "canary": "b", "traffic": [0.1, 0.2, 0.3, 0.4], "durations_seconds": [1] * 4}
    moments = [start + timedelta(hours=hour) for hour in hours]
    entries = [entry_of("r", Kind.STARTED, moments[0], "x", "", started)]
    entries += [entry_of("r", Kind.ADVANCED, at, "x", "", {"phase": index}) for index, at in enumerate(moments[1:], 1)]

    lived = phases(entries, start + timedelta(hours=end))

    assert [phase.number for phase in lived] == list(range(1, len(moments) + 1))
    assert all(phase.since <= phase.until for phase in lived)
    assert all(before.until == after.since for before, after in itertools.pairwise(lived))


@given(
    stable=st.floats(0, 1), canary=st.floats(0, 1), units=st.floats(0, 1e6),
)  # fmt: skip
def test_harm_is_never_negative_nor_more_than_everybody(stable: float, canary: float, units: float) -> None:
    """A better canary has harmed nobody; a worse one at most all its units."""
    harmed = KpiStory("k", ratio=True, stable=stable, canary=canary, units=units).harmed

    assert harmed is not None
    assert 0 <= harmed <= units


def test_more_of_a_complement_is_worse() -> None:
    """Cart abandonment that rises harms; that falls, it does not."""
    worse = KpiStory("cart_abandonment_rate", ratio=True, complement=True, stable=0.5, canary=0.6, units=100)
    better = KpiStory("cart_abandonment_rate", ratio=True, complement=True, stable=0.6, canary=0.5, units=100)

    assert worse.harmed == pytest.approx(10)
    assert better.harmed == 0
