"""What a person sees of the demo: a live picture in a terminal, plain lines elsewhere."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from canary.units import format_measured_ratio, format_ratio
from demo.team import Message
from demo.timeline import Moment

_ALERT_STYLES = {"rollback": "bold red", "hold": "yellow", "advance": "green"}


@dataclass(frozen=True)
class Side:
    """One version in the last seconds, as its customers met it."""

    version: str
    requests_per_second: float
    payments: int
    failed_payments: int


@dataclass(frozen=True)
class Situation:
    """One look at the running rollout.

    *weight_ratio* is what the router reads back; nothing when it cannot be read.
    """

    state: str
    phase: int
    traffic: Sequence[float]
    elapsed_ratio: float
    weight_ratio: float | None
    sides: Sequence[Side]
    alerts: Mapping[str, str]
    customers: int
    headline: str = ""


@dataclass
class Screen:
    """Prints to a console; without a terminal, one line for each thing that happens."""

    console: Console
    _live: Live | None = field(default=None, init=False)
    _last: tuple[object, ...] = field(default=(), init=False)

    def say(self, text: str) -> None:
        """One line, above the live picture when there is one."""
        self.console.print(escape(text), highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """A step of the preparation: a spinner while it lasts, a tick when it is done."""
        if self.console.is_terminal:
            with self.console.status(escape(text)):
                yield
        else:
            yield
        self.console.print(f"[green]✓[/green] {escape(text)}", highlight=False, soft_wrap=True)

    def hear(self, message: Message) -> None:
        """A notification to the team."""
        title = f"the team hears at {message.at:%H:%M:%S}"
        if self.console.is_terminal:
            text = Text.assemble((message.title, "bold"), "\n", message.text)
            self.console.print(Panel(text, title=title, border_style="magenta", expand=False))
        else:
            self.say(f"{title}: {message.title}")
            for line in message.text.splitlines():
                self.say(f"    {line}")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Show the rollout while the block runs."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, refresh_per_second=6, transient=True) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def show(self, situation: Situation) -> None:
        """One look at the rollout; without a terminal only what changed is worth a line."""
        if self._live is not None:
            self._live.update(_picture(situation))
            return
        now = (situation.state, situation.phase, situation.weight_ratio, tuple(sorted(situation.alerts)))
        if now != self._last:
            self._last = now
            self.say(_line(situation))

    def timeline(self, moments: Sequence[Moment], start: datetime) -> None:
        """The moments in the order in which they happened, with the seconds since the rollout's start."""
        table = Table(title="What happened", title_justify="left", box=None, pad_edge=False)
        table.add_column("seconds", justify="right")
        table.add_column("what")
        table.add_column("known from", style="dim")
        happened = sorted((m for m in moments if m.at is not None), key=lambda m: m.at or start)
        for moment in happened:
            assert moment.at is not None
            table.add_row(f"{(moment.at - start).total_seconds():+.1f}", moment.what, moment.source)
        for moment in moments:
            if moment.at is None:
                table.add_row("-", Text(f"{moment.what}: did not happen", style="red"), moment.source)
        self.console.print()
        self.console.print(table)
        self.console.print()

    def verdict(self, problems: Sequence[str], success: str) -> None:
        """The last word: what should have happened and did, or did not."""
        if not problems:
            self.console.print(f"[bold green]✓ {escape(success)}[/bold green]", highlight=False, soft_wrap=True)
        for problem in problems:
            self.console.print(f"[bold red]✗ {escape(problem)}[/bold red]", highlight=False, soft_wrap=True)


def _line(situation: Situation) -> str:
    weight = "?" if situation.weight_ratio is None else format_ratio(situation.weight_ratio)
    alerts = f"; firing: {', '.join(sorted(situation.alerts))}" if situation.alerts else ""
    return f"{_state(situation)}, phase {situation.phase + 1} of {len(situation.traffic)}, canary has {weight}{alerts}"


def _state(situation: Situation) -> str:
    return "running" if situation.state == "phase" else situation.state.replace("_", " ")


def _picture(situation: Situation) -> RenderableType:
    rows: list[RenderableType] = [_phases(situation), Text(), _sides(situation)]
    if situation.alerts:
        rows += [Text(), _alerts(situation.alerts)]
    title = f"{situation.headline} — {_state(situation)}"
    return Panel(Group(*rows), title=escape(title), border_style=_border(situation), width=92, padding=(1, 2))


def _border(situation: Situation) -> str:
    return {"rolling_back": "red", "rolled_back": "red", "promoted": "green", "holding": "yellow"}.get(
        situation.state, "blue"
    )


def _phases(situation: Situation) -> Table:
    table = Table.grid(padding=(0, 2))
    for number, traffic in enumerate(situation.traffic):
        done = 1.0 if number < situation.phase else situation.elapsed_ratio if number == situation.phase else 0.0
        over = situation.state == "promoted"
        style = "bold" if number == situation.phase and not over else "dim"
        bar = ProgressBar(total=1.0, completed=1.0 if over else min(1.0, done), width=50)
        table.add_row(Text(f"phase {number + 1}", style=style), Text(format_ratio(traffic), style=style), bar)
    return table


def _sides(situation: Situation) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("version", "traffic", "requests/s", "payments", "failed"):
        table.add_column(column, justify="left" if column == "version" else "right")
    weight = situation.weight_ratio
    shares = ("?", "?") if weight is None else (format_ratio(1 - weight), format_ratio(weight))
    for side, share in zip(situation.sides, shares, strict=True):
        failed_ratio = side.failed_payments / side.payments if side.payments else 0.0
        table.add_row(
            side.version,
            share,
            f"{side.requests_per_second:.0f}",
            str(side.payments),
            Text(format_measured_ratio(failed_ratio, 0), style="bold red" if failed_ratio > 0.1 else ""),
        )
    table.caption = f"the last ten seconds; {situation.customers} customers so far"
    table.caption_justify = "left"
    return table


def _alerts(alerts: Mapping[str, str]) -> Text:
    text = Text("firing: ")
    for number, (name, action) in enumerate(sorted(alerts.items())):
        text.append(", " if number else "")
        text.append(name, style=_ALERT_STYLES.get(action, ""))
    return text
