"""The report as Markdown, for a ticket or a chat."""

import re
from collections.abc import Iterator, Sequence

from canary.inert import unaddressed
from canary.report import text
from canary.report.facts import Report
from canary.timing.zones import in_zone, moment
from canary.units import format_ratio

_SPECIAL = re.compile(r"([\\`*{}\[\]<>#|]|(?<!\w)_|_(?!\w))")


def markdown_report(report: Report) -> str:
    """The whole text, times in the shop's zone."""
    return in_zone("\n".join(_lines(report)) + "\n", report.zone)


def _lines(report: Report) -> Iterator[str]:
    yield f"# {_plain(report.summary)}"
    yield ""
    yield from (f"- {term}: {_plain(what)}" for term, what in text.facts(report))
    yield ""
    yield _plain(text.exposure(report))
    yield from (f"\n**Not known:** {_plain(gap)}" for gap in report.gaps)
    if report.advice:
        yield "\n## What to look at next\n"
        yield from (f"{number}. {_plain(line)}" for number, line in enumerate(report.advice, 1))
    yield "\n## Phases\n"
    rows = [
        (str(one.number), format_ratio(one.traffic_ratio), moment(one.since), text.lasted(one.since, one.until))
        for one in report.phases
    ]
    yield from _table(("Phase", "Share", "Began", "Lasted"), rows)
    yield "\n## KPIs\n"
    yield from _table(text.KPI_TITLES, [text.kpi_cells(kpi) for kpi in report.kpis])
    yield from _reviewed(report)
    yield "\n## Alerts\n"
    alerts = [(one.name, one.action, moment(one.since), text.lasted(one.since, one.until)) for one in report.alerts]
    yield from _table(("Alert", "Action", "Fired", "For"), alerts)
    yield "\n## Decisions\n"
    for entry in report.entries:
        what = text.decision(entry)
        why = f": {_plain(entry.reason)}" if entry.reason else ""
        yield f"- {moment(entry.at)} **{what}** by {_plain(entry.actor)}{why}"
    if report.notes:
        yield "\n## Notes\n"
        for note in report.notes:
            yield f"- {moment(note.at)} {_plain(note.actor)}: {_plain(note.reason)}"


def _reviewed(report: Report) -> Iterator[str]:
    if report.review.money:
        yield "\n## Money\n"
        yield from (f"- {_plain(line)}" for one in report.review.money for line in text.money(one))
    if report.drift:
        yield f"\n## {text.DRIFT_TITLE}\n"
        yield from (f"- {_plain(str(one))}" for one in report.drift)
    if report.review.technical:
        yield "\n## Errors, response times, machines\n"
        yield from _table(text.TECHNICAL_TITLES, [text.technical_cells(one) for one in report.review.technical])
    if report.review.rows or report.review.replica is not None:
        yield f"\n## {text.ROWS_TITLE}\n"
    if report.review.rows:
        yield _plain(text.rows_looked_at(report.review.rows))
        if rows := text.faulty(report.review.rows):
            yield ""
            yield from _table(text.ROWS_TITLES, rows)
    if report.review.replica is not None:
        yield f"\n{_plain(text.replica_told(report.review.replica))}"
    if report.review.opinions:
        yield "\n## Second opinion\n"
        yield from _table(text.OPINION_TITLES, [text.opinion_cells(one) for one in report.review.opinions])


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        yield "None."
        return
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    yield from (f"| {' | '.join(_plain(cell) for cell in row)} |" for row in rows)


def _plain(words: str) -> str:
    """Text that stays text: nothing that an alert says becomes formatting, or calls somebody to the ticket."""
    return _SPECIAL.sub(r"\\\1", unaddressed(" ".join(words.split())))
