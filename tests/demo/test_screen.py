"""What a person sees of the demo."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rich.console import Console

from demo.screen import Screen, Side, Situation
from demo.team import Message
from demo.timeline import Moment

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
SITUATION = Situation(
    state="phase",
    phase=1,
    traffic=(0.05, 0.25, 0.5, 1.0),
    elapsed_ratio=0.4,
    weight_ratio=0.25,
    sides=[Side("v1.0", 75, 20, 1), Side("v2.0", 25, 10, 6)],
    alerts={"CanaryPaymentSuccessLow": "rollback"},
    customers=321,
    headline="v2.0 against v1.0",
)


def _screen(*, terminal: bool, width: int = 120) -> tuple[Screen, io.StringIO]:
    out = io.StringIO()
    # Whatever terminal the tests themselves run in.
    console = Console(file=out, force_terminal=terminal, width=width, color_system=None, _environ={"TERM": "xterm"})
    return Screen(console), out


def test_without_a_terminal_each_change_is_one_plain_line() -> None:
    """A log gets a line when something changes, and no control characters."""
    screen, out = _screen(terminal=False)

    with screen.watching():
        screen.show(SITUATION)
        screen.show(replace(SITUATION, customers=400))
        screen.show(replace(SITUATION, state="rolled_back", weight_ratio=0.0))

    assert out.getvalue().splitlines() == [
        "running, phase 2 of 4, canary has 25%; firing: CanaryPaymentSuccessLow",
        "rolled back, phase 2 of 4, canary has 0%; firing: CanaryPaymentSuccessLow",
    ]
    assert "\x1b" not in out.getvalue()


def test_in_a_terminal_the_picture_shows_both_versions_and_the_alert() -> None:
    """A person sees traffic, failures and what fires at one glance."""
    screen, out = _screen(terminal=True)

    with screen.watching():
        screen.show(SITUATION)

    picture = out.getvalue()
    for part in ("v2.0 against v1.0", "25%", "75%", "60%", "CanaryPaymentSuccessLow", "321 customers"):
        assert part in picture


def test_a_weight_that_cannot_be_read_is_not_invented() -> None:
    """When the router does not tell its share, neither does the screen."""
    screen, out = _screen(terminal=False)

    screen.show(replace(SITUATION, weight_ratio=None, alerts={}))

    assert out.getvalue() == "running, phase 2 of 4, canary has ?\n"


def test_the_timeline_is_sorted_and_names_what_is_missing() -> None:
    """Moments stand in the order in which they happened; one that did not happen says so."""
    screen, out = _screen(terminal=False)
    moments = [
        Moment(START + timedelta(seconds=9), "later", "journal"),
        Moment(None, "never", "customers"),
        Moment(START + timedelta(seconds=2.5), "earlier", "journal"),
    ]

    screen.timeline(moments, START)

    lines = [line.split() for line in out.getvalue().splitlines() if line.strip()]
    assert [line[:2] for line in lines[2:]] == [["+2.5", "earlier"], ["+9.0", "later"], ["-", "never:"]]


def test_in_a_narrow_terminal_nothing_of_a_message_is_cut_off() -> None:
    """The team's news is read whole in a window of any width."""
    screen, out = _screen(terminal=True, width=40)
    news = "canary v2.0 was rolled back (CanaryPaymentSuccessDegraded)"

    screen.hear(Message(START, news, "because of proven harm"))

    said = " ".join(out.getvalue().translate(str.maketrans("", "", "│╭╮╰╯─")).split())
    assert news in said
    assert "the team hears at 12:00:00" in said


def test_messages_with_brackets_are_shown_as_they_are() -> None:
    """What others wrote is text, never markup."""
    for terminal in (False, True):
        screen, out = _screen(terminal=terminal)

        screen.hear(Message(START, "rolled back [bold]", "because [/nothing]"))
        screen.verdict(["expected [x]"], "")

        assert "rolled back [bold]" in out.getvalue()
        assert "because [/nothing]" in out.getvalue()
        assert "✗ expected [x]" in out.getvalue()
