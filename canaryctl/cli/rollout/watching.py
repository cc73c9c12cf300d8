"""`canary status --watch`: the page's picture in a terminal, over the whole screen, renewed every second.

What does not fit is said, never cut off without a word: on a narrow terminal a KPI's change and units give way to its
band and e-value, on a low one the KPIs that are furthest from a proof of harm give way to the others.

It is drawn from what the API answers and from Prometheus' series of the KPIs, as the page is. A receiver that does not
answer, or a Prometheus, is said in its place, and asked again: who watches a release must see that nothing is known.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from alertmanager.receiver.http.page.view import KpiRow, rows
from canary import names
from canary.errors import CanaryError
from canary.policy import Policy
from canary.prometheus import Prometheus
from canary.timing.clock import Clock
from canary.timing.zones import in_zone, moment
from canary.units import format_change, format_duration, format_ratio
from canary.verdicts import verdict_words
from canary.web.client import Client
from canaryctl.cli.console import plain

_EVERY_SECONDS = 1.0

_STYLES = {"fail": "bold red", "pass": "green", "blind": "yellow"}
_STATES = {"holding": "yellow", "promoted": "green", "finished": "green", "rolling_back": "bold red"}
_WIDE_COLUMNS = 100
"""From so many columns on a KPI has all that is known of it on one line; a terminal has 80 at first."""
_WIDE_ONLY = ("change", "units")
_LEAST_KPI_LINES = 2
"""The KPI that is nearest to harm, and how many are left; what is above gives way to them."""
_RUNNING = ("phase", "baking", "holding")

Lines = Callable[[dict[str, Any]], Sequence[str]]


async def watch(policy: Policy, lines: Lines, console: Console, clock: Clock) -> None:
    """Show where the rollout stands until somebody interrupts.

    Args:
        lines: what `canary status` says of an answer.
    """
    async with Client.of(policy) as client, aiohttp.ClientSession() as http:
        prometheus = Prometheus.of(policy, http)
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(await _screen(policy, client, prometheus, lines), refresh=True)
                await clock.sleep(_EVERY_SECONDS)


async def _screen(policy: Policy, client: Client, prometheus: Prometheus, lines: Lines) -> RenderableType:
    try:
        status = await client.get("status")
    except CanaryError as error:
        return Panel(Text(plain(error), style="bold red"), title="not live: the receiver does not answer")
    rollout = status["rollout"]
    try:
        kpis: Sequence[KpiRow] = await _kpis(policy, prometheus, rollout["id"]) if rollout else ()
        fault = ""
    except CanaryError as error:
        kpis, fault = (), plain(error)
    return drawn(status, lines(status), kpis, fault, policy.receiver.timezone)


async def _kpis(policy: Policy, prometheus: Prometheus, rollout: str) -> Sequence[KpiRow]:
    about = f'{names.SERVICE}="{policy.service}",{names.ROLLOUT}="{rollout}"'
    return rows(await prometheus.query(f'{{__name__=~"canary_kpi_.+",{about}}}'))


def drawn(
    status: dict[str, Any], lines: Sequence[str], kpis: Sequence[KpiRow], fault: str, zone: str
) -> RenderableType:
    """The whole screen."""
    rollout = status["rollout"]
    state = rollout["state"] if rollout else "idle"
    panel = Panel(
        Text("\n".join(plain(line) for line in lines)),
        title=f"canary of {plain(status['service'])}",
        title_align="left",
        subtitle=in_zone(f"{moment(status['now'])}; Ctrl-C ends", zone),
        subtitle_align="right",
        border_style=_STATES.get(state, "blue" if state in _RUNNING else "white"),
    )
    above = Group(panel, _phases(rollout)) if rollout else panel
    return _Screen(above, Text(f"KPIs: {fault}", style="red") if fault else None, kpis)


@dataclass(frozen=True)
class _Screen:
    """What is above the KPIs, and as many of these as there is room for."""

    above: RenderableType
    fault: RenderableType | None
    kpis: Sequence[KpiRow]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        free = options.update(height=None)
        above = console.render_lines(self.above, free)
        if self.fault is not None or not self.kpis:
            below = self.fault or Text("No KPI is judged now.", style="dim")
            yield from _cut(above, console.height - len(console.render_lines(below, free)))
            yield below
            return
        above_kpis = console.height - 1 - min(len(self.kpis), _LEAST_KPI_LINES)  # the titles
        yield from _cut(above, above_kpis)
        room = console.height - 1 - min(len(above), above_kpis)
        left = len(self.kpis) - room
        shown = self.kpis if left <= 0 else _nearest_to_harm(self.kpis, room - 1)
        yield _kpi_table(shown, narrow=options.max_width < _WIDE_COLUMNS)
        if left > 0:
            yield Text(
                f"and {len(self.kpis) - len(shown)} KPIs further from harm; a higher window shows all", style="dim"
            )


def _cut(lines: Sequence[Sequence[Segment]], room: int) -> RenderResult:
    """So much of what is above the KPIs that these stay on the screen, and a word about the rest."""
    shown = lines if len(lines) <= room else lines[: max(room - 1, 0)]
    for line in shown:
        yield from line
        yield Segment.line()
    if len(shown) < len(lines):
        yield Text(f"and {len(lines) - len(shown)} lines more; `canary status` prints all", style="dim", no_wrap=True)


def _nearest_to_harm(kpis: Sequence[KpiRow], count: int) -> Sequence[KpiRow]:
    """In the order that they had, so that no row jumps because another one's evidence has grown."""

    def missing(row: KpiRow) -> float:
        return math.inf if row.evidence is None or row.threshold is None else row.threshold - row.evidence

    chosen = sorted(kpis, key=missing)[: max(count, 1)]
    return [row for row in kpis if row in chosen]


def _phases(rollout: dict[str, Any]) -> Table:
    """The plan as a line; what runs has a bar."""
    table = Table(box=None, expand=True, show_header=False, padding=(0, 2))
    heads: list[RenderableType] = []
    feet: list[RenderableType] = []
    for index, phase in enumerate(rollout["phases"]):
        running = index == rollout["phase"] and rollout["state"] in _RUNNING
        over = index < rollout["phase"] or rollout["state"] in ("promoted", "finishing", "finished")
        mark, style = ("over", "green") if over else ("now", "bold blue") if running else ("", "dim")
        least = phase["duration_seconds"]
        heads.append(
            Text(f"{index + 1}  {format_ratio(phase['traffic_ratio'])}  {format_duration(least)} {mark}", style)
        )
        done = rollout["phase_elapsed_seconds"] if running else least if over else 0.0
        feet.append(ProgressBar(total=max(least, 1.0), completed=min(done, least)))
        table.add_column(ratio=1)
    table.add_row(*heads)
    table.add_row(*feet)
    return table


def _kpi_table(kpis: Sequence[KpiRow], *, narrow: bool) -> Table:
    """A line for each."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    titles = ("KPI", "verdict", "change", "band", "e-value", "units")
    for title in titles:
        if not (narrow and title in _WIDE_ONLY):
            table.add_column(title, justify="right" if title in _WIDE_ONLY else "left", no_wrap=True)
    for row in kpis:
        band = f"{format_change(row.lower)} to {format_change(row.upper)}"
        threshold = "" if row.threshold is None else f" of 10^{row.threshold:.1f}"
        evidence = "" if row.evidence is None else f"10^{row.evidence:.1f}{threshold}"
        units = "" if row.units is None else f"{row.units:,.0f}"
        verdict = Text(verdict_words(row.verdict), style=_STYLES.get(row.verdict, ""))
        cells: tuple[Text | str, ...] = (
            Text(row.name.replace("_", " ")),
            verdict,
            format_change(row.change),
            band,
            evidence,
            units,
        )
        table.add_row(
            *(cell for title, cell in zip(titles, cells, strict=True) if not (narrow and title in _WIDE_ONLY))
        )
    return table


def run(policy: Policy, lines: Lines, console: Console, clock: Clock) -> None:
    """Watch until Ctrl-C, which is how it ends and no fault."""
    try:
        asyncio.run(watch(policy, lines, console, clock))
    except KeyboardInterrupt:
        return
