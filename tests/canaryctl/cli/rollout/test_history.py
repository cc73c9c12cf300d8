"""`canary history`: what people read of the journal."""

from datetime import UTC, datetime

import pytest

from alertmanager.receiver.status import entry_data
from canary.errors import RefusedError
from canary.rollout.entries import Recorded
from canaryctl.cli.rollout.history import _details, _say_that_there_is_none, _tell


def test_there_is_no_empty_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Who mistypes an id is told, and so is who has released nothing yet."""
    with pytest.raises(RefusedError, match="there is no rollout nix; `canary history` shows all"):
        _say_that_there_is_none("nix")
    for rollout in (None, "latest"):
        _say_that_there_is_none(rollout)
        assert capsys.readouterr().out == "no rollout has been started yet; `canary start` begins one\n"


def test_what_was_decided_before_the_first_rollout_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """A freeze is in the journal, and would have left the table of rollouts empty."""
    frozen = Recorded(rollout="", at=NOON, actor="ann", reason="sale", key="known:elsewhere", occasion="")

    _tell([dict(entry_data(frozen))], None, "UTC", rows=False)

    assert capsys.readouterr().out == "no rollout has been started yet; `canary start` begins one\n"


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "occasion", "what"),
    [
        ("gate:0", "gate", "waits for a person"),
        ("dry_run:CanaryHighErrorRate", "dry_run", "dry run: would have rolled back"),
        ("pause:boot:17", "pause", "receiver was stopped"),
        ("known:elsewhere", "", "noted"),
    ],
)
def test_what_was_recorded_is_said_in_words(key: str, occasion: str, what: str) -> None:
    """The key by which the receiver writes nothing twice is none of them."""
    entry = Recorded(rollout="v2.0-1", at=NOON, actor="receiver", reason="why", key=key, occasion=occasion)

    assert _details(dict(entry_data(entry)))[3] == what
