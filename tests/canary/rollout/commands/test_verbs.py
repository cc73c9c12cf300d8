"""What people may ask for: the same verbs everywhere, and whoever is on the canary can be taken off it."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from canary.rollout.commands.verbs import Verb, accepted, usage
from canary.rollout.entries import Entry
from canary.rollout.folding import fold
from canary.rollout.kinds import Kind
from canary.rollout.state import State
from scripts.reference.commands import tree
from tests.support.receiving.entries import entry, started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)

_COMMANDS = {command.info_name for command in tree()}


def _told(kind: Kind, **data: object) -> Entry:
    return entry("r1", kind, NOON, "bob", "because", data)


_HISTORIES = st.lists(
    st.sampled_from(
        [
            _told(Kind.ADVANCED, phase=3),
            _told(Kind.HELD, cause="manual"),
            _told(Kind.HELD, cause="CanaryBlind", lifts=True),
            _told(Kind.RESUMED),
            _told(Kind.PROMOTED),
            _told(Kind.ROLLBACK, cause="CanaryX"),
            _told(Kind.ROLLED_BACK),
        ]
    ),
    max_size=6,
)


@given(_HISTORIES)
def test_whoever_is_on_the_canary_can_be_taken_off_it(entries: list[Entry]) -> None:
    """In every state with customers on the canary a person may roll back, and no other rollout starts over a trial."""
    rollout = fold([started("r1", NOON), *entries])["r1"]

    assert rollout.weight == 0 or Verb.ROLLBACK in accepted(rollout)
    assert not (rollout.running and Verb.START in accepted(rollout))


@given(_HISTORIES)
def test_usage_names_commands_that_there_are(entries: list[Entry]) -> None:
    """What a refusal proposes can be typed: each line is a command, and one of those that fit."""
    for rollout in (None, fold([started("r1", NOON), *entries])["r1"]):
        lines = usage(rollout)

        assert lines
        words = {line.split()[1] for line in lines}
        assert words <= _COMMANDS
        assert words <= set(accepted(rollout))


def test_a_rollback_that_goes_on_is_only_given_up() -> None:
    """Rolling back a second time does nothing; a person who did it by hand says so."""
    rolling = fold([started("r1", NOON), _told(Kind.ROLLBACK, cause="CanaryX")])["r1"]

    assert rolling.state is State.ROLLING_BACK
    assert usage(rolling) == ("canary rollback --give-up --reason TEXT",)
