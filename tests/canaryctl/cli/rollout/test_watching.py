"""The full screen of `canary status --watch`."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from canary.timing.clock import SystemClock
from canaryctl.cli.rollout.status import _lines
from canaryctl.cli.rollout.watching import drawn, watch
from tests.support.receiving import pageview
from tests.support.receiving.receiver import Setting, order


def text(renderable: object, width: int = 110, height: int = 40) -> str:
    """What stands on the screen."""
    console = Console(width=width, height=height, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def test_the_screen_has_the_page_s_picture() -> None:
    """State and reason, the phases counted from 1 with the one that runs, each KPI with its band and e-value."""
    status = dict(pageview.RUNNING)

    shown = text(drawn(status, list(_lines(status)), pageview.view().kpis, "", "Europe/Berlin"))

    assert "canary of shop" in shown
    assert "2  25%  10m now" in shown
    assert "waits     for the phase's time" in shown
    assert "-16.0% to +8.0%" in shown
    assert "10^0.8 of 10^2.0" in shown
    assert "12:00:00 UTC" in shown


@pytest.mark.parametrize(("height", "left"), [(24, 0), (10, 6)])
def test_a_small_terminal_has_what_matters_on_it(height: int, left: int) -> None:
    """At 80 columns each KPI is one whole line; what does not fit is counted, and the nearest to harm stays."""
    status = dict(pageview.RUNNING)
    kpi = pageview.view().kpis[0]
    several = [replace(kpi, name=f"checkout_completion_{n}", evidence=n / 10) for n in range(8)]

    shown = text(drawn(status, ["books: 2 against 1", "state  phase 2 of 4"], several, "", "UTC"), 80, height)

    lines = shown.rstrip("\n").splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= 80
    assert "checkout completion 7" in shown
    assert "…" not in shown
    assert ("KPIs further from harm" in shown) == bool(left)
    assert shown.count("checkout completion") == 8 - left


@pytest.mark.parametrize("fault", ["", "Prometheus is down"])
def test_many_troubles_leave_the_kpis_on_the_screen(fault: str) -> None:
    """Below what is said of the rollout they were cut off without a word."""
    troubles = [f"silenced  silence {number}" for number in range(30)]
    kpis = [replace(pageview.view().kpis[0], name=f"completion_{n}") for n in range(3)]

    shown = text(drawn(dict(pageview.RUNNING), troubles, kpis, fault, "UTC"), 80, 24)

    assert len(shown.rstrip("\n").splitlines()) <= 24
    assert "lines more; `canary status` prints all" in shown
    assert ("KPIs: Prometheus is down" if fault else "and 2 KPIs further from harm") in shown


def test_what_is_not_known_is_said() -> None:
    """No rollout, and a Prometheus that is down; what steers a terminal is written out."""
    assert "No KPI is judged now." in text(drawn(dict(pageview.IDLE), ["nothing"], (), "", "UTC"))
    assert "KPIs: it is down" in text(drawn(dict(pageview.IDLE), ["nothing"], (), "it is down", "UTC"))
    assert "\\x1b[2J" in text(drawn(dict(pageview.IDLE), ["\x1b[2J"], (), "", "UTC"))


async def test_it_follows_the_receiver_until_it_is_interrupted(setting: Setting) -> None:
    """Asked anew at each look; a receiver without Prometheus shows the rest."""
    await order(setting, "start", canary="v2.0", stable="v1.0")
    console = Console(width=110, height=40, record=True, force_terminal=True, file=io.StringIO())

    class SeenEnoughError(Exception):
        """Somebody has seen enough."""

    class Interrupting(SystemClock):
        """Interrupts at the second look."""

        looks = 0

        async def sleep(self, seconds: float) -> None:
            """No time passes."""
            self.looks += 1
            if self.looks == 2:
                raise SeenEnoughError

    with pytest.raises(SeenEnoughError):
        await watch(setting.policy, lambda found: list(_lines(found)), console, Interrupting())
    shown = console.export_text()

    assert "v2.0 against v1.0" in shown
    assert "KPIs: " in shown
