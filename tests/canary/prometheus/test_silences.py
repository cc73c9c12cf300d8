"""Which silence reaches the receiver: the one that names the action, and nothing else than whom it is about."""

from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary import names
from canary.prometheus import Alert, Matcher, Silence, Suppression

ENDS_AT = datetime(2026, 3, 3, 14, 0, tzinfo=UTC)
SCOPE = (names.SERVICE, names.ROLLOUT, names.PHASE, names.KPI)
FOREIGN = ("alertname", "severity", "instance", "version", "job", "cluster", names.ACTION)
LABELS = {
    "alertname": "CanaryHighErrorRate",
    names.ACTION: "rollback",
    names.SEVERITY: "critical",
    names.SERVICE: "shop",
    names.ROLLOUT: "r1",
    names.VERSION: "v2.0",
}

values = st.sampled_from(["", "shop", "r1", "rollback", "critical", ".*", "v2.0", "a|b"])
flags = st.booleans()


def matcher(labels: tuple[str, ...]) -> st.SearchStrategy[Matcher]:
    """A matcher on one of some labels."""
    return st.builds(Matcher, st.sampled_from(labels), values, flags, flags)


def silence(*matchers: Matcher, active: bool = True) -> Silence:
    """A silence of ann's."""
    return Silence(matchers, ENDS_AT, active, "5e1f", "ann", "maintenance")


@given(action=st.sampled_from(["rollback", "hold", "advance", "stop"]), scope=st.lists(matcher(SCOPE), max_size=4))
def test_the_action_by_equality_with_any_scope_reaches_the_receiver(action: str, scope: list[Matcher]) -> None:
    """Whatever the matchers on service, rollout, phase and KPI, in whatever order."""
    for place in range(len(scope) + 1):
        whole = silence(*scope[:place], Matcher(names.ACTION, action), *scope[place:])
        assert whole.action == action


@given(scope=st.lists(matcher(SCOPE), max_size=3), foreign=matcher(FOREIGN), place=st.integers(0, 4))
def test_one_matcher_on_anything_else_makes_it_one_for_people(
    scope: list[Matcher], foreign: Matcher, place: int
) -> None:
    """A name, a severity, an instance, or a second condition on the action: then it keeps nothing from acting."""
    matchers = [Matcher(names.ACTION, "rollback"), *scope]
    matchers.insert(place, foreign)
    assert silence(*matchers).action == ""


@given(scope=st.lists(matcher(SCOPE), max_size=4), value=values, regex=flags, equal=flags)
def test_without_the_action_by_equality_it_is_one_for_people(
    scope: list[Matcher], value: str, regex: bool, equal: bool
) -> None:
    """Neither no word about the action, nor a pattern, a negation or the empty action."""
    assert silence(*scope).action == ""
    if regex or not equal or not value:
        assert silence(*scope, Matcher(names.ACTION, value, regex, equal)).action == ""


@given(matchers=st.lists(matcher((*SCOPE, *FOREIGN)), min_size=1, max_size=5), active=flags)
def test_what_is_kept_back_is_covered_in_force_and_named(matchers: list[Matcher], active: bool) -> None:
    """A rollback is kept back only by a silence in force that covers it and names `rollback`; never by less."""
    alert = Alert(LABELS, {}, firing=True)
    one = silence(*matchers, active=active)
    kept = Suppression([one]).keeps_back(alert)
    assert kept == (active and one.covers(LABELS) and one.action == "rollback")


@given(matchers=st.lists(matcher((*SCOPE, *FOREIGN)), min_size=1, max_size=5))
def test_what_covers_an_alert_of_a_rollout_concerns_it(matchers: list[Matcher]) -> None:
    """Before any alert fires, no silence is overlooked that would cover one."""
    one = silence(*matchers)
    if one.covers(LABELS):
        assert one.concerns("shop")
        assert one.concerns("shop", "r1")


def test_alertmanagers_own_button_is_for_people() -> None:
    """*Silence* next to an alert fills in every label it has."""
    button = silence(*(Matcher(name, value) for name, value in LABELS.items()))
    assert button.covers(LABELS)
    assert not button.forbids(Alert(LABELS, {}, firing=True))


@pytest.mark.parametrize(("regex", "equal"), list(product((False, True), repeat=2)))
def test_a_missing_label_is_empty(regex: bool, equal: bool) -> None:
    """As Alertmanager has it: equality with a value fails, its negation holds."""
    assert Matcher("tenant", "a", regex, equal).matches({}) is not equal
    assert Matcher("tenant", "", regex, equal).matches({}) is equal


def test_the_past_was_silent_until_the_last_end() -> None:
    """Of several silences that have ended the last one counts, and only those that forbade the alert."""
    alert = Alert(LABELS, {}, firing=True)
    rollback = Matcher(names.ACTION, "rollback")
    early = Silence((rollback,), ENDS_AT.replace(hour=10))
    late = Silence((rollback,), ENDS_AT.replace(hour=12))
    others = (Silence((Matcher(names.ACTION, "hold"),), ENDS_AT), silence(rollback))

    assert Suppression([early, late, *others]).silent_until(alert) == late.ends_at
    assert Suppression(others).silent_until(alert) is None


def test_it_is_named_with_its_author_its_end_and_why() -> None:
    """What people read, with the matchers as amtool takes them."""
    text = str(silence(Matcher(names.ACTION, "rollback"), Matcher(names.ROLLOUT, "r.*", regex=True)))
    assert text == 'silence {action="rollback",rollout=~"r.*"} by ann until 2026-03-03 14:00 UTC (maintenance)'
    assert str(Silence((Matcher("phase", "1", equal=False),), ENDS_AT)) == (
        'silence {phase!="1"} by nobody known until 2026-03-03 14:00 UTC'
    )
