"""The sections of the page, each from a view alone."""

import html
import re
from dataclasses import replace

from alertmanager.receiver.http.page.experimentrows import Experiments
from alertmanager.receiver.http.page.parts.actions import actions
from alertmanager.receiver.http.page.parts.phases import phase_line
from alertmanager.receiver.http.page.parts.plots import plots
from alertmanager.receiver.http.page.parts.proofs import proofs
from alertmanager.receiver.http.page.parts.releases import releases
from alertmanager.receiver.http.page.parts.sources import sources
from alertmanager.receiver.http.page.parts.state import state
from alertmanager.receiver.http.page.parts.words import about
from alertmanager.receiver.http.page.render import sections
from canary.rollout.kinds import Step
from canary.rollout.state import State
from tests.support.receiving import pageview
from tests.support.receiving.experimentview import about as shop


def text(markup: str | None) -> str:
    """What a person reads."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", markup or "")))


def test_phases_are_counted_from_one_and_say_where_they_stand() -> None:
    """Over, now with the time that is left, to come with the gate; after a rollback where it was left."""
    line = text(phase_line(pageview.ROLLOUT))
    left = text(phase_line({**pageview.ROLLOUT, "state": State.ROLLED_BACK}))

    assert re.findall(r"phase (\d): ([a-z ]+?) \d", line) == [
        ("1", "over"),
        ("2", "now"),
        ("3", "to come"),
        ("4", "to come"),
    ]
    assert "3m left" in line
    assert "15m, then a person decides" in line
    assert "phase 2: left" in left
    assert "phase 3: not reached" in left


def test_what_is_waited_for_says_how_long() -> None:
    """The receiver's own words, with their moment in UTC, and how long it is until then."""
    assert "Waits for: the phase's time, until 2026-03-01 12:03:00 UTC, in 3m" in text(state(pageview.view()))


def test_what_a_release_has_come_to_is_said_in_words() -> None:
    """What has been done, in its order; and once both groups run the new version, whose servers a weight is about."""
    view = pageview.view()

    def shown(**keys: object) -> str:
        rollout = {**pageview.ROLLOUT, **keys}
        return text(state(replace(view, status={**view.status, "rollout": rollout})))  # type: ignore[typeddict-item]

    back = shown(state=State.ROLLED_BACK, weight_ratio=0.0, steps=sorted(Step))
    finished = shown(state=State.FINISHED, weight_ratio=0.0, stable_slot="b")

    done = "traffic moved, deployed to stable, canary drained, team notified, logged, report written"
    assert f"Done {done} " in back
    assert "Wanted weight 0% of the customers on the canary Router" in back
    assert "Slots b is stable, a is the canary's" in finished
    assert "Wanted weight 0% of the customers on the canary's servers Router" in finished


def test_a_running_clock_is_not_sent_every_second() -> None:
    """What is left is rounded, so that a page on which nothing happens stays as it is."""
    assert [about(seconds) for seconds in (0, 2, 61, 119, 121, 7300)] == ["0s", "5s", "60s", "120s", "2m", "2h 2m"]


def test_each_action_says_what_it_will_do() -> None:
    """With the numbers of this rollout, tied to its button for screen readers."""
    shown = actions(pageview.view())

    assert "Phase 3 begins now: 50% of the customers on v2.0. Prometheus must agree." in text(shown)
    assert "All customers go back to v1.9 at once" in text(shown)
    described, ids = re.findall(r'aria-describedby="([\w-]+)"', shown), re.findall(r' id="(what-[\w-]+)"', shown)
    assert described == ids


def test_curves_have_a_name_and_break_where_nothing_was_known() -> None:
    """Each picture says its newest numbers; a gap of several points is a gap of the line and of its band."""
    shown = plots(pageview.view()) or ""

    assert "Traffic weight of the canary over time; now 25%" in shown
    assert "payment success rate: change against stable over time; now change +1.0%, band -2.0% to +4.0%" in shown
    assert "evidence of harm over time; now e-value 10^0.8, threshold 10^2.0" in shown
    payment = shown[shown.index("payment success rate: change") :]
    drawn = re.findall(r'd="([^"]*)" class="curve main"', payment)[0]
    assert drawn.count("M") == 2
    assert "style=" not in shown


def test_a_prometheus_that_is_down_leaves_no_plot_and_says_so() -> None:
    """No picture of nothing."""
    view = pageview.view()
    down = replace(view, curves=replace(view.curves, fault="cannot reach Prometheus"))

    assert "No plots: cannot reach Prometheus" in (plots(down) or "")


def test_past_releases_lead_to_their_reports() -> None:
    """A link where a report was written, none where not."""
    shown = releases(pageview.view())

    assert re.findall(r'href="([^"]+)"', shown) == ["page/reports/2026-02-26-ffff"]
    assert "expected -10% at worst" in shown


def test_check_and_plan_show_what_needs_attention_first() -> None:
    """Faults and warnings as a list, the rest folded; a phase that can prove nothing says so."""
    shown = text(proofs(pageview.view(), pageview.checks()))

    assert "3 findings: 1 failed, 1 warning" in shown
    assert "failed router edge1: its socket is missing; start HAProxy" in shown
    assert "1 (5%) conversion rate nothing nothing over a year" in shown


def test_every_section_with_figures_says_where_they_are_from() -> None:
    """Metrics of this service and this rollout, as they can be asked of Prometheus."""
    found = sections(pageview.view(), pageview.checks())

    with_sources = [name for name, part in found.items() if f'id="{name}-sources"' in part]
    assert with_sources == ["state", "kpis", "alerts", "events", "proofs", "experiments", "releases"]
    kpis = text(sources("kpis", "shop", "r1"))
    assert 'canary_kpi_relative_change{service="shop",rollout="r1"}' in kpis


def test_times_are_told_in_the_shops_zone_with_utc_next_to_them() -> None:
    """In what is waited for, in events and below the plots; in UTC alone where the policy names no zone."""
    view = pageview.view()
    berlin = sections(replace(view, about=shop("Europe/Berlin")), pageview.checks())

    assert "until 2026-03-01 13:03:00 CET (12:03:00 UTC), in 3m" in text(berlin["state"])
    assert "2026-03-01 12:51:00 CET (11:51:00 UTC) held" in text(berlin["events"])
    assert "13:00 CET" in text(berlin["plots"])
    assert "CET" not in "".join(map(text, sections(view, pageview.checks()).values()))


def test_an_alert_says_what_it_found_and_links_only_to_the_web() -> None:
    """Its values, since when, runbook and panel; an address that is none of the web is no link."""
    shown = sections(pageview.view(), pageview.checks())["alerts"]

    assert "CanaryElevatedErrorRate warning Error rate of v2.0 is 6.1%, expected at most 5% (5m)" in text(shown)
    assert re.findall(r'href="([^"]*)"', shown) == [
        "https://example.org/runbooks/CanaryElevatedErrorRate.md",
        "https://grafana.example.org/d/kpi-canary-rollout",
    ]


def test_experiments_and_flags_say_who_gets_what() -> None:
    """Running and stopped experiments, what they have shown, and each flag's share; no section without any."""
    view = pageview.view()
    shown = text(sections(view, pageview.checks())["experiments"])

    assert "checkout running since 2026-02-25 11:48 UTC (control 50%, short 50%)" in shown
    assert "banner stopped since 2026-02-25 11:48 UTC : conversion_rate of red: harm proven; everybody gets" in shown
    assert "conversion rate (guardrail) better +6.1%" in shown
    assert "expressCheckout express for 25% of the users, as many as are on the canary; always for beta_users" in shown
    assert "darkFooter switched off in the policy" in shown
    assert "experiments" not in sections(
        replace(view, about=replace(view.about, experiments=Experiments())), pageview.checks()
    )


def test_a_thousand_notes_are_not_sent_with_each_change() -> None:
    """The newest are shown, of the others it is said where they are."""
    view = pageview.view()
    shown = sections(replace(view, notes=[*view.notes] * 1000), pageview.checks())["events"]

    assert shown.count("checkout looks slow on phones") == 25
    assert "And 975 older; `canary history --rollout latest` has all." in text(shown)
