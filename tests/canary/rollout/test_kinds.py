"""The journal's words: none that was ever written changes, and no cause makes a label unbounded."""

from hypothesis import given
from hypothesis import strategies as st

from canary.names import ALERTS, OTHER
from canary.rollout.kinds import CAUSES, Cause, Kind, Step, cause_label

_WRITTEN = {
    "started", "adopted", "advanced", "held", "resumed", "promoted", "rollback", "step_done", "rolled_back", "failed",
    "notified", "noted", "drilled", "elapsed", "experiment_started", "experiment_weighted", "experiment_stopped",
}  # fmt: skip


def test_no_word_that_stands_in_a_journal_is_gone() -> None:
    """Journals of every version are read, so that a word may be added here, and none changed."""
    assert {kind.value for kind in Kind} >= _WRITTEN
    assert {step.value for step in Step} >= {"traffic", "process", "notify", "log", "report"}
    assert {cause.value for cause in Cause} >= {"manual", "watchdog", "by_hand", "max_duration"}


def test_every_cause_of_ours_is_counted_under_its_own_name() -> None:
    """Alerts' names and causes that are none never meet."""
    assert all(cause_label(cause) == cause for cause in (*Cause, *ALERTS))
    assert not set(Cause) & set(ALERTS)


@given(st.text())
def test_no_cause_makes_a_label_unbounded(cause: str) -> None:
    """Alerts of the users' own rules are counted together."""
    assert cause_label(cause) in CAUSES | {OTHER}
